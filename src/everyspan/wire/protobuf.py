"""Just enough of the protobuf wire format to write OTLP and to walk it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from everyspan.errors import WireError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""The wire types; 3 and 4 are groups, which OTLP does not have."""

FIXED_64 = struct.Struct("<Q")
FIXED_32 = struct.Struct("<I")
DOUBLE = struct.Struct("<d")

_ONE_BYTE = tuple(bytes((number,)) for number in range(0x80))
_ALL_64_BITS = (1 << 64) - 1


def varint(number: int) -> bytes:
    """`number` as a varint; a negative one as its 64-bit two's complement, as protobuf does."""
    if 0 <= number < 0x80:
        return _ONE_BYTE[number]
    if 0 <= number < 0x4000:
        return b"%c%c" % (number & 0x7F | 0x80, number >> 7)
    rest = number & _ALL_64_BITS
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def field_tag(field: int, wire_type: int) -> bytes:
    """The bytes in front of a field."""
    return varint(field << 3 | wire_type)


def delimited(tag: bytes, content: bytes | bytearray) -> bytes:
    """A field of bytes, text or a message, behind a ready-made tag."""
    size = len(content)
    return b"".join((tag, _ONE_BYTE[size] if size < 0x80 else varint(size), content))


def utf8(text: str) -> bytes:
    """`text` as UTF-8; a lone surrogate, which UTF-8 does not have, is spelled out as `\\ud800`."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


class Field(NamedTuple):
    """One field of a message: where it begins, and where its value lies."""

    number: int
    wire_type: int
    start: int
    """Where the tag begins."""
    value_start: int
    """Where the value begins, behind the length when there is one."""
    end: int


def read_varint(data: bytes | bytearray, at: int, end: int) -> tuple[int, int]:
    """The varint at `at`, and where it ends.

    Raises:
        WireError: it does not end before `end`, or is longer than 64 bits.
    """
    number = shift = 0
    for place in range(at, min(at + 10, end)):
        byte = data[place]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & _ALL_64_BITS, place + 1
        shift += 7
    raise WireError(f"the number at byte {at} does not end before byte {end}")


def fields(data: bytes | bytearray, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in `data[start:end]`, without looking into them.

    Raises:
        WireError: the bytes are not a message.
    """
    at = start
    while at < end:
        tag, value_start = read_varint(data, at, end)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == LENGTH:
            length, value_start = read_varint(data, value_start, end)
            field_end = value_start + length
        elif wire_type == VARINT:
            _, field_end = read_varint(data, value_start, end)
        elif wire_type == FIXED64:
            field_end = value_start + 8
        elif wire_type == FIXED32:
            field_end = value_start + 4
        else:
            raise WireError(f"the field at byte {at} has wire type {wire_type}, which OTLP does not use")
        if number == 0 or field_end > end:
            raise WireError(f"field {number} at byte {at} runs to byte {field_end} of {end}")
        yield Field(number, wire_type, at, value_start, field_end)
        at = field_end
