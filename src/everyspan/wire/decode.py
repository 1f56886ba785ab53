"""Reading OTLP bytes and frames back, in pure Python: request bodies, identities, answers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from everyspan.errors import WireError
from everyspan.model.ids import Seq
from everyspan.wire.envelope import FRAME_HEADER, find_span, inside, unwrap, wrap
from everyspan.wire.protobuf import LENGTH, VARINT, Field, fields, read_varint
from everyspan.wire.stamp import STAMP, Stamp, parse_stamp

__all__ = [
    "FrameHeader",
    "Identity",
    "PartialSuccess",
    "Piece",
    "identify",
    "partial_success",
    "pieces",
    "span_ids",
    "unwrap",
    "wrap",
]

_FRAME_HEADER = struct.Struct("<IIIBBHQ")
_STAMP_KEY = b"\x0a%c%b" % (len(STAMP), STAMP.encode())

_WAY = ((True, 0x0A), (False, 0x12), (True, 0x0A), (False, 0x12), (True, 0x0A))
"""Whether the field is entered, and the tag that follows then."""

_ASCII_FIELDS = range(4, 16)
"""The field numbers whose tag is a printable character: HTML, JSON and plain words begin with one of them."""


class FrameHeader(NamedTuple):
    """What the header of one frame says. The receiver need not check the crc: TCP and HTTP had the bytes since."""

    crc: int
    nonce: int
    length: int
    kind: int
    """A `Kind`, or a number that a later version gave a meaning."""
    seq: Seq


class Piece(NamedTuple):
    """One top-level field of a request body."""

    header: FrameHeader | None
    """The frame that carried it; None when the sender knows nothing of frames."""
    field: int
    payload: bytes
    """What the field holds, without tag and length."""


class Identity(NamedTuple):
    """Which span a START or SPAN payload is."""

    trace_id: bytes
    span_id: bytes
    stamp: Stamp | None


class PartialSuccess(NamedTuple):
    """What a receiver says about the spans it did not take."""

    rejected: int
    message: str


def pieces(body: bytes) -> Iterator[Piece]:
    """The top-level fields of an `ExportTraceServiceRequest`, each with the frame header before it.

    Fields that nobody knows come out too; numbers (OTLP has none here) are left out. A header counts only for the
    field of the length that it announces, so a proxy that moved it can not lend it to another span.

    Raises:
        WireError: the bytes are not a protobuf message; pieces before the fault have come out by then.
    """
    header: FrameHeader | None = None
    for field in fields(body, 0, len(body)):
        if field.wire_type != LENGTH:
            header = None
        elif field.number == FRAME_HEADER and field.end - field.value_start == _FRAME_HEADER.size:
            header = _frame_header(body, field)
        else:
            fits = header is not None and header.length == field.end - field.start
            yield Piece(header if fits else None, field.number, body[field.value_start : field.end])
            header = None


def identify(payload: bytes | bytearray) -> Identity:
    """Trace id, span id and stamp of the span in a START or SPAN payload; the stamp is None where there is none.

    Raises:
        WireError: there is no span in it, or its stamp is malformed.
    """
    trace_id = span_id = b""
    stamp: Stamp | None = None
    for field in inside(payload, find_span(payload).span):
        if field.number == 1:
            trace_id = bytes(payload[field.value_start : field.end])
        elif field.number == 2:
            span_id = bytes(payload[field.value_start : field.end])
        elif field.number == 9 and payload.startswith(_STAMP_KEY, field.value_start):
            stamp = _stamp(payload, field)
    return Identity(trace_id, span_id, stamp)


def span_ids(payload: bytes | bytearray) -> bytes:
    """Trace id and span id in one, 24 bytes, of the span in a START or SPAN payload; without looking further.

    Raises:
        WireError: there is no span in it.
    """
    at = _quick_ids_at(payload)
    if at:
        return bytes(payload[at : at + 16] + payload[at + 18 : at + 26])
    ids = [b"", b""]
    for field in inside(payload, find_span(payload).span):
        if field.number > 2:
            break  # every encoder writes the ids first, and a prompt may be long
        ids[field.number - 1] = bytes(payload[field.value_start : field.end])
    return b"".join(ids)


def _quick_ids_at(payload: bytes | bytearray) -> int:
    """Where the trace id lies in a payload as our own encoder writes it; 0 for any other.

    Every frame is asked while a backlog is shipped. Into the field, past the resource, into `scope_spans`, past the
    scope, into the span: a tag of one byte and a length each. Whatever looks different is left to the general way.
    """
    try:
        at = 1 if payload[0] < 0x80 else 2
        for tag, next_tag in _WAY:
            length = payload[at]
            at += 1
            if length > 0x7F:
                length = length & 0x7F | (payload[at] & 0x7F) << 7
                while (
                    payload[at] > 0x7F
                ):  # only what is entered is that long, and its length is of no interest
                    at += 1
                    length = 0 if tag else 1 << 62
                at += 1
            if not tag:
                at += length
            if payload[at] != next_tag:
                return 0
            at += 1
        if payload[at] != 16 or payload[at + 17 : at + 19] != b"\x12\x08" or at + 27 > len(payload):
            return 0
    except IndexError:
        return 0
    return at + 1


def partial_success(answer: bytes) -> PartialSuccess:
    """What an `ExportTraceServiceResponse` says; (0, "") when everything was taken.

    Raises:
        WireError: the bytes are something else, such as a proxy's HTML page behind a 200.
    """
    found = PartialSuccess(0, "")
    for field in fields(answer, 0, len(answer)):
        if field.number == 1 and field.wire_type == LENGTH:
            found = _partial_success(answer, field)
        elif field.number == 1 or field.number in _ASCII_FIELDS:
            raise WireError(f"an answer of {len(answer)} bytes that begins {answer[:40]!r} is not OTLP")
    return found


def _partial_success(answer: bytes, outer: Field) -> PartialSuccess:
    rejected, message = 0, ""
    for field in inside(answer, outer):
        if field.number == 1 and field.wire_type == VARINT:
            rejected, _ = read_varint(answer, field.value_start, field.end)
        elif field.number == 2 and field.wire_type == LENGTH:
            message = answer[field.value_start : field.end].decode("utf-8", "replace")
        elif field.number <= 2 or field.number in _ASCII_FIELDS:
            raise WireError(f"an answer of {len(answer)} bytes that begins {answer[:40]!r} is not OTLP")
    return PartialSuccess(rejected, message)


def _frame_header(body: bytes, field: Field) -> FrameHeader:
    crc, nonce, length, kind, _, _, seq = _FRAME_HEADER.unpack_from(body, field.value_start)
    return FrameHeader(crc, nonce, length, kind, Seq(seq))


def _stamp(payload: bytes | bytearray, attribute: Field) -> Stamp:
    for field in inside(payload, attribute):
        if field.number == 2:
            for value in inside(payload, field):
                if value.number == 1:
                    return parse_stamp(
                        bytes(payload[value.value_start : value.end]).decode("utf-8", "replace")
                    )
    raise WireError(f"the stamp at byte {attribute.start} is not text")
