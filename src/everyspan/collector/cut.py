"""Cutting an OTLP request into single spans, so that a bad one never takes a good one with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from everyspan.collector.limits import Limits
from everyspan.collector.repair import repaired
from everyspan.errors import CollectorError, WireError
from everyspan.wire.protobuf import LENGTH, fields

REPAIRED = "everyspan.repaired"
"""The attribute of spans, resources and scopes of which a text was not UTF-8, or nested too deep to be read."""

_LONG_SPAN_BYTES = 64 << 10


class Decoded(NamedTuple):
    """One valid span with the parts that it shares with its neighbours."""

    span: Any
    """A protobuf `Span`."""
    raw: bytes
    """The bytes it was decoded from."""
    resource: Any
    """A protobuf `Resource`; the same object for all spans of one `ResourceSpans`."""
    scope: Any
    """A protobuf `InstrumentationScope`; the same object for all spans of one `ScopeSpans`."""


class Bad(NamedTuple):
    """A span, or more than can be told, that cannot be kept."""

    why: str
    spans: int = 1


class Budget:
    """How many spans a request may still hold. Counts on over several `ResourceSpans` of one body."""

    def __init__(self, limits: Limits) -> None:
        self._left = limits.spans
        self._shared: dict[tuple[str, bytes], Any] = {}
        self.limits = limits

    def take(self) -> None:
        """Count one span; raises CollectorError 413 when there are too many."""
        self._left -= 1
        if self._left < 0:
            raise CollectorError(
                f"the request has more than {self.limits.spans} spans; send it in smaller parts", status=413
            )

    def shared(self, message: Any, data: bytes) -> Any:
        """A decoded resource or scope, None when that is impossible; the same bytes give the same object.

        A sender that keeps each span in a message of its own repeats its resource with every one of them.
        """
        at = (message.DESCRIPTOR.name, data)
        if at not in self._shared:
            self._shared[at] = _decoded(message, data)
        return self._shared[at]


def cut(resource_spans: bytes, budget: Budget) -> Iterator[Decoded | Bad]:
    """Every span of one `ResourceSpans` message: decoded and valid, or named as bad.

    Each span is decoded alone, so what is in memory at once is one span and not what a malicious body unfolds to.

    Raises:
        CollectorError: 413 when the budget is used up.
    """
    scopes: list[bytes] = []
    resource_bytes = b""
    try:
        for field, content in _messages(resource_spans):
            if field == 1:
                resource_bytes += (
                    content  # protobuf merges a message that comes twice; so does joining its bytes
                )
            elif field == 2:
                scopes.append(content)
    except WireError as broken:
        yield Bad(f"ResourceSpans of {len(resource_spans)} bytes: {broken}")
    resource = budget.shared(Resource, resource_bytes)
    if resource is None:
        # Its spans are good: they are kept, and show that they lost it.
        resource = Resource()
        resource.attributes.add(key="everyspan.undecodable").value.string_value = "resource"
    for scope_spans in scopes:
        yield from _cut_scope(scope_spans, resource, budget)


def _cut_scope(scope_spans: bytes, resource: Any, budget: Budget) -> Iterator[Decoded | Bad]:
    spans: list[bytes] = []
    scope_bytes = b""
    try:
        for field, content in _messages(scope_spans):
            if field == 1:
                scope_bytes += content
            elif field == 2:
                budget.take()
                spans.append(content)
    except WireError as broken:
        yield Bad(f"ScopeSpans of {len(scope_spans)} bytes: {broken}")
    scope = budget.shared(InstrumentationScope, scope_bytes) or InstrumentationScope()
    for raw in spans:
        yield _judged(raw, resource, scope, budget.limits)


def _judged(raw: bytes, resource: Any, scope: Any, limits: Limits) -> Decoded | Bad:
    if len(raw) > _LONG_SPAN_BYTES and _has_more_fields_than(limits.fields, raw):
        return Bad(f"a span of {len(raw)} bytes has more than {limits.fields} attributes, events and links")
    span = _decoded(Span, raw)
    if span is None:
        return Bad(f"a span of {len(raw)} bytes cannot be decoded")
    name = span.name[:80]
    if len(span.trace_id) != 16 or not any(span.trace_id):
        return Bad(f"span {name!r}: trace_id has {len(span.trace_id)} bytes; it takes 16, not all zero")
    if len(span.span_id) != 8 or not any(span.span_id):
        return Bad(f"span {name!r}: span_id has {len(span.span_id)} bytes; it takes 8, not all zero")
    return Decoded(span, raw, resource, scope)


def _decoded(message: Any, data: bytes) -> Any:
    try:
        return message.FromString(data)
    except DecodeError:
        return _mended(message, data)


def _mended(message: Any, data: bytes) -> Any:
    sound = repaired(data, message)
    if sound is None:
        return None
    try:
        found = message.FromString(sound)
    except DecodeError:
        return None
    found.attributes.add(key=REPAIRED).value.bool_value = True
    return found


def _has_more_fields_than(most: int, message: bytes) -> bool:
    try:
        return any(count >= most for count, _ in enumerate(_messages(message)))
    except WireError:
        return False  # decoding it will say the same


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message; what comes before damage is yielded before WireError is raised."""
    for field in fields(data, 0, len(data)):
        if field.wire_type == LENGTH:
            yield field.number, data[field.value_start : field.end]
