"""PART frames: what has arrived of an answer while it still arrives, in pieces, so that each is written once.

    1   trace id and span id, 24 bytes: whose answer it is
    2   a number from 1, counting the parts of this answer
    9   attributes as they are known now; the latest word counts
    10  attributes whose text grows: what follows the text of the parts before
    11  what closes those texts when nothing more comes; the latest word counts

9, 10 and 11 are KeyValue messages; 9 is the field that a Span has its attributes in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from everyspan.errors import WireError
from everyspan.wire.envelope import inside, unwrap, wrap
from everyspan.wire.frame import Kind
from everyspan.wire.protobuf import LENGTH, VARINT, Field, delimited, fields, read_varint, varint
from everyspan.wire.values import Pieces, add_attributes

ATTRIBUTE = b"\x4a"
_GROWS, _CLOSES = b"\x52", b"\x5a"
_IDS_BYTES = 24


class Part(NamedTuple):
    """A PART frame's content, read back."""

    ids: bytes
    number: int
    attributes: dict[str, bytes]
    """Each attribute's whole field, ready to stand in a Span."""
    grows: list[tuple[str, str]]
    closes: dict[str, str]


def encode_part(
    ids: bytes,
    number: int,
    *,
    attributes: Mapping[str, object],
    grows: Iterable[tuple[str, str]],
    closes: Mapping[str, str],
) -> bytes:
    """The payload of a PART frame.

    Args:
        ids: trace id and span id in one.
    """
    content: Pieces = [delimited(b"\x0a", ids), b"\x10" + varint(number)]
    add_attributes(content, ATTRIBUTE, attributes.items())
    add_attributes(content, _GROWS, grows)
    add_attributes(content, _CLOSES, closes.items())
    return wrap(Kind.PART, b"".join(content))


def part_ids(payload: bytes) -> bytes:
    """Trace id and span id in one, 24 bytes, of a PART payload.

    Raises:
        WireError: it is none.
    """
    return _ids(unwrap(payload))


def read_part(payload: bytes) -> Part:
    """What a PART payload says.

    Raises:
        WireError: it is none.
    """
    data = unwrap(payload)
    part = Part(_ids(data), 0, {}, [], {})
    number = 0
    for field in fields(data, 0, len(data)):
        if field.number == 2 and field.wire_type == VARINT:
            number, _ = read_varint(data, field.value_start, field.end)
        elif field.number in (9, 10, 11) and field.wire_type == LENGTH:
            key, text = text_attribute(data, field)
            if field.number == 9:
                part.attributes[key] = data[field.start : field.end]
            elif field.number == 10:
                part.grows.append((key, text))
            else:
                part.closes[key] = text
    return part._replace(number=number)


def text_attribute(data: bytes, attribute: Field) -> tuple[str, str]:
    """Key and text of a KeyValue field; a whole number in digits, and an empty text for any other value.

    Raises:
        WireError: it is not one.
    """
    key = text = ""
    for field in inside(data, attribute):
        if field.number == 1:
            key = data[field.value_start : field.end].decode("utf-8", "replace")
        elif field.number == 2:
            for value in inside(data, field):
                if value.number == 1 and value.wire_type == LENGTH:
                    text = data[value.value_start : value.end].decode("utf-8", "replace")
                elif value.number == 3 and value.wire_type == VARINT:
                    text = str(read_varint(data, value.value_start, value.end)[0])
    return key, text


def _ids(data: bytes) -> bytes:
    field = next(fields(data, 0, len(data)), None)
    if field is None or field.number != 1 or field.end - field.value_start != _IDS_BYTES:
        raise WireError(f"a part of {len(data)} bytes does not begin with the ids of a span")
    return data[field.value_start : field.end]
