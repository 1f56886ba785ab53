"""Attribute values as OTLP's AnyValue, whatever the user put into a span.

What the stock exporter refuses, and with it the attribute or the whole batch, is kept here in the nearest form that
OTLP has: a whole number of 2^63 or more, a Decimal and any foreign object become text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

from everyspan.wire.protobuf import DOUBLE, delimited, utf8, varint

MAX_DEPTH = 16
"""Deeper values become JSON text: protobuf's parsers refuse a whole request for one that nests 100 messages."""

_MAX_KEYS = 4096
_SHORT = 0x78
"""Key and value of fewer bytes leave every length in a single byte."""
_MEDIUM = 0x4000 - 6
"""The same for two bytes, when the value has at least 128."""

_TEXTS = frozenset({str})
"""Types of which a tuple can not change while it is remembered, nor equal another that is written differently."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1

Attributes = Sequence[tuple[str, object]]

Pieces = list[bytes | memoryview]
"""Of a message, in order."""

_Known = tuple[bytes, bytes, object, bytes]

# By key: KeyValue.key with its tag and length; and the last short text, or tuple of texts, that was its value, with the
# tag before it and the whole field as encoded then. Names of models, providers and operations are the same object span
# after span. Keys come from a small set, but a user may build them from data.
_known: dict[str, _Known] = {}


def attributes_of(span: ReadableSpan) -> Attributes:
    """The span's attributes at this moment, copied in one step: other threads may go on changing them.

    The SDK's mapping takes a lock for each key, and does not allow itself to be changed while somebody reads it.
    """
    held = getattr(getattr(span, "_attributes", None), "_dict", None)
    return list(held.items() if isinstance(held, dict) else (span.attributes or {}).items())


def attribute(tag: bytes, key: str, value: object) -> bytes:
    """A KeyValue behind the tag of the repeated field that it belongs to."""
    parts: Pieces = []
    add_attributes(parts, tag, ((key, value),))
    return b"".join(parts)


def add_attributes(parts: Pieces, tag: bytes, items: Iterable[tuple[str, object]]) -> None:
    """Add a KeyValue for each of `items` to the pieces of a message; never raises, whatever the values are."""
    known = _known
    for key, value in items:
        name, last_tag, last, encoded = known.get(key) or _learn(key)
        if value is last and tag is last_tag and last is not None:
            parts.append(encoded)
            continue
        size = len(name)
        # Nearly all values are small numbers or text, with every length in one or two bytes. The time per span hangs
        # on them: no call is made for such a value, and formatting the whole field takes half the time of joining it.
        if type(value) is str:
            try:
                text = value.encode()
            except UnicodeEncodeError:
                text = utf8(value)
            held = len(text)
            if size + held < _SHORT:
                encoded = b"%b%c%b\x12%c\x0a%c%b" % (tag, size + held + 4, name, held + 2, held, text)
                parts.append(encoded)
                known[key] = name, tag, value, encoded
            elif 0x80 <= held < _MEDIUM - size:
                inner, whole = held + 3, size + held + 6
                parts.append(
                    b"%b%c%c%b\x12%c%c\x0a%c%c"
                    % (
                        tag, whole & 0x7F | 0x80, whole >> 7, name,
                        inner & 0x7F | 0x80, inner >> 7, held & 0x7F | 0x80, held >> 7,
                    )
                )  # fmt: skip
                parts.append(text)
            else:
                parts.append(_long(tag, name, b"\x0a" + varint(held), text))
        elif type(value) is int and 0 <= value < 0x4000 and size < _SHORT:
            if value < 0x80:
                parts.append(b"%b%c%b\x12\x02\x18%c" % (tag, size + 4, name, value))
            else:
                parts.append(
                    b"%b%c%b\x12\x03\x18%c%c" % (tag, size + 5, name, value & 0x7F | 0x80, value >> 7)
                )
        elif type(value) is tuple:
            of_texts = _TEXTS.issuperset(map(type, value))
            if not (of_texts and tag is last_tag and value == last):
                encoded = _long(tag, name, b"", any_value(value))
                if of_texts and len(encoded) < _SHORT:
                    known[key] = name, tag, value, encoded
            parts.append(encoded)
        else:
            parts.append(_long(tag, name, b"", any_value(value)))


def _long(tag: bytes, name: bytes, head: bytes, content: bytes) -> bytes:
    # `head` apart from `content`, so that a long prompt is copied once here.
    held = len(head) + len(content)
    held_length = varint(held)
    whole = varint(len(name) + 1 + len(held_length) + held)
    return b"".join((tag, whole, name, b"\x12", held_length, head, content))


def any_value(value: object, depth: int = 0) -> bytes:
    """The AnyValue message for `value`; never raises, whatever `value` is."""
    if type(value) is tuple or type(value) is list:
        return _nested(value, depth)  # asking an abstract class costs more than all of the rest
    # The order is the stock exporter's: bool is an int, str is a Sequence.
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, str):
        return delimited(b"\x0a", utf8(value))
    if isinstance(value, int):
        if _INT64_MIN <= value <= _INT64_MAX:
            return b"\x18" + varint(value)
        return delimited(b"\x0a", utf8(_shown(value)))
    if isinstance(value, float):
        return b"\x21" + DOUBLE.pack(value)
    if isinstance(value, bytes):
        return delimited(b"\x3a", value)
    if isinstance(value, (Sequence, Mapping)):
        return _nested(value, depth)
    return delimited(b"\x0a", utf8(_shown(value)))


def _nested(value: Sequence[object] | Mapping[object, object], depth: int) -> bytes:
    if depth >= MAX_DEPTH:
        return delimited(b"\x0a", utf8(_as_json(value)))
    try:
        if isinstance(value, Mapping):
            pairs = [_pair(key, held, depth) for key, held in value.items()]
            return delimited(b"\x32", b"".join(pairs))
        items = [delimited(b"\x0a", any_value(held, depth + 1)) for held in value]
        return delimited(b"\x2a", b"".join(items))
    except Exception:  # noqa: BLE001 - a foreign container may raise anything while it is read
        return delimited(b"\x0a", utf8(_shown(value)))


def _pair(key: object, value: object, depth: int) -> bytes:
    name = _key_field(key if isinstance(key, str) else _shown(key))
    return delimited(b"\x0a", name + delimited(b"\x12", any_value(value, depth + 1)))


def _learn(key: object) -> _Known:
    if not isinstance(key, str):
        return _key_field(_shown(key)), b"", None, b""
    if len(_known) >= _MAX_KEYS:
        _known.clear()
    _known[key] = learnt = _key_field(key), b"", None, b""
    return learnt


def _key_field(key: str) -> bytes:
    return delimited(b"\x0a", utf8(key)) if key else b""


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=_shown)
    except (TypeError, ValueError, RecursionError):
        return _shown(value)


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may raise anything, and must not cost the span
        return f"<{type(value).__name__} that can not be shown: {type(error).__name__}>"
