"""What surrounds a span or a note within a frame's payload: one protobuf field, known to OTLP or to us alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from everyspan.errors import WireError
from everyspan.wire.frame import Kind
from everyspan.wire.protobuf import LENGTH, Field, delimited, field_tag, fields

RESOURCE_SPANS = 1
"""`resource_spans` of an `ExportTraceServiceRequest`: what a SPAN frame holds."""

FRAME_HEADER = 1000
"""The field that every frame's header is."""

NOTE = 1001
"""JSON: what HEADER, DROP and CLOSE frames hold."""

STARTED = 1002
"""A `ResourceSpans` message of a span that has not ended: what a START frame holds."""

OPAQUE = 1003
"""Bytes that only the collector understands: what a BATCH frame holds."""

PART = 1004
"""What has arrived of an answer that is not finished: what a PART frame holds."""

ENDED = 1005
"""JSON: which calls ended though no segment holds their SPAN frame: what an ENDED frame holds."""

_FIELD_OF = {
    Kind.HEADER: NOTE,
    Kind.START: STARTED,
    Kind.SPAN: RESOURCE_SPANS,
    Kind.DROP: NOTE,
    Kind.CLOSE: NOTE,
    Kind.BATCH: OPAQUE,
    Kind.PART: PART,
    Kind.ENDED: ENDED,
}
_TAG_OF = {kind: field_tag(number, LENGTH) for kind, number in _FIELD_OF.items()}


class SpanPlace(NamedTuple):
    """The messages around a span, outermost first. `span` has ids and attributes."""

    resource_spans: Field
    scope_spans: Field
    span: Field


def tag_of(kind: Kind) -> bytes:
    """The tag in front of the payload of a frame of this kind."""
    return _TAG_OF[kind]


def wrap(kind: Kind, content: bytes) -> bytes:
    """The payload of a frame of this kind that holds `content`."""
    return delimited(_TAG_OF[kind], content)


def unwrap(payload: bytes | bytearray) -> bytes:
    """The content of a payload that `wrap` made.

    Raises:
        WireError: the payload is not one field of bytes.
    """
    field = _only_field(payload)
    return bytes(payload[field.value_start : field.end])


def find_span(payload: bytes | bytearray) -> SpanPlace:
    """Where the span lies in the payload of a START or SPAN frame.

    Raises:
        WireError: there is none.
    """
    resource_spans = _only_field(payload)
    scope_spans = _message(payload, resource_spans, 2)
    return SpanPlace(resource_spans, scope_spans, _message(payload, scope_spans, 2))


def inside(data: bytes | bytearray, field: Field) -> Iterator[Field]:
    """The fields of the message that `field` holds."""
    return fields(data, field.value_start, field.end)


def _only_field(payload: bytes | bytearray) -> Field:
    field = next(fields(payload, 0, len(payload)), None)
    if field is None or field.wire_type != LENGTH or field.end != len(payload):
        raise WireError(f"a payload of {len(payload)} bytes is not one field")
    return field


def _message(data: bytes | bytearray, outer: Field, number: int) -> Field:
    for field in inside(data, outer):
        if field.number == number and field.wire_type == LENGTH:
            return field
    raise WireError(f"field {outer.number} at byte {outer.start} has no field {number}, so it holds no span")
