"""Messages that protobuf refuses for one of their texts, made into messages that it takes."""

from __future__ import annotations

from typing import Any

from everyspan.errors import WireError
from everyspan.wire.protobuf import LENGTH, delimited, field_tag, fields

_STRING, _MESSAGE = 9, 11
"""Types of a field, as `google.protobuf.FieldDescriptorProto` numbers them."""

_DEEPEST = 64
"""Messages within one another: 32 lists within lists. protobuf's own limit lies somewhat higher."""


def repaired(data: bytes, message: Any) -> bytes | None:
    """The bytes of a `message` with U+FFFD where a text is not UTF-8, and without what nests too deep.

    None when they are no message at all. A prompt that was cut in the middle of a character, or a tool that answered
    in another encoding, must not cost the span that carries it.
    """
    try:
        return _repaired(data, message.DESCRIPTOR, 0)
    except WireError:
        return None


def _repaired(data: bytes, descriptor: Any, depth: int) -> bytes:
    parts: list[bytes] = []
    for field in fields(data, 0, len(data)):
        known = descriptor.fields_by_number.get(field.number)
        kind = known.type if known is not None and field.wire_type == LENGTH else 0
        if kind not in (_STRING, _MESSAGE):
            parts.append(data[field.start : field.end])
            continue
        content = data[field.value_start : field.end]
        if kind == _STRING:
            content = content.decode("utf-8", "replace").encode()
        else:
            content = _repaired(content, known.message_type, depth + 1) if depth < _DEEPEST else b""
        parts.append(delimited(field_tag(field.number, LENGTH), content))
    return b"".join(parts)
