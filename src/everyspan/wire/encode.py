"""An OpenTelemetry span as OTLP bytes, in pure Python.

Equal to `opentelemetry-exporter-otlp-proto-common` on everything that one encodes (a differential test says so), in
a fifth of the time, without protobuf in the user's process; and no value of one attribute costs the span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceState
from opentelemetry.trace.span import DEFAULT_TRACE_STATE
from opentelemetry.util.types import AttributeValue

from everyspan.errors import WireError
from everyspan.wire.envelope import find_span, inside, tag_of
from everyspan.wire.frame import Kind
from everyspan.wire.protobuf import FIXED64, FIXED_32, FIXED_64, Field, delimited, utf8, varint
from everyspan.wire.stamp import PLACEHOLDER, STAMP, STAMP_LENGTH
from everyspan.wire.values import Attributes, Pieces, add_attributes, attribute, attributes_of

_SPAN, _START = tag_of(Kind.SPAN), tag_of(Kind.START)
_SPAN_ATTRIBUTE = b"\x4a"
_STAMP_ATTRIBUTE = attribute(_SPAN_ATTRIBUTE, STAMP, PLACEHOLDER.decode())
_STAMP_HEAD = len(_STAMP_ATTRIBUTE) - STAMP_LENGTH

_INTERRUPTED = attribute(_SPAN_ATTRIBUTE, "everyspan.end", "interrupted")
_DIED = "the process ended before the call did"

_REMOTE_KNOWN = 0x100
_REMOTE = 0x200

_FROM_HERE = b"\x85\x01" + FIXED_32.pack(_REMOTE_KNOWN)
_FROM_AFAR = b"\x85\x01" + FIXED_32.pack(_REMOTE_KNOWN | _REMOTE)
# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_UNSET = StatusCode.UNSET
_STATUS_UNSET = b"\x7a\x00"
_NONE_DROPPED = (0, 0, 0)
_DROPPED_TAGS = (b"\x50", b"\x60", b"\x70")

_Identity = tuple[int, int, TraceState, int | None, bool]
"""Trace id, span id, trace state, the parent's span id, whether the parent is remote."""

_Read = tuple[
    _Identity,
    list[Any],
    tuple[Event, ...],
    tuple[Link, ...],
    tuple[int, int, int],
]
"""A span as the encoder needs it: identity, the fields of `_public`, events, links, dropped counts."""

_public = attrgetter("name", "kind", "start_time", "end_time", "status", "resource", "instrumentation_scope")
_private = itemgetter(
    "_context", "_parent", "_attributes", "_events", "_links",
    "_name", "_kind", "_start_time", "_end_time", "_status", "_resource", "_instrumentation_scope",
)  # fmt: skip
_later = itemgetter("_end_time", "_status", "_attributes", "_events", "_links")
_NO_PARENT = (None, None, False, None, None, None)

_Around = tuple[bytes, bytes, bytes, bytes, Resource, InstrumentationScope | None]
"""Resource, scope, and the schema URLs of scope and resource, as fields; then the two objects themselves."""

# By object: hashing a Resource costs more than encoding the span. The objects are in the entry, so that their ids can
# not be reused while it is there.
_MAX_CACHED = 64
_around: dict[tuple[int, int], _Around] = {}

_MAX_NAMES = 1024
_named: dict[tuple[str, int], bytes] = {}


class Encoded(NamedTuple):
    """A frame's payload, where in it the log writes the stamp, and whose it is."""

    payload: bytearray
    stamp_at: int
    span_id: int
    span_at: int
    """Where the Span message's fields begin; 0 when a SPAN frame can not go on from them."""

    @property
    def begun(self) -> memoryview:
        """The fields of a START frame's span, apart from the stamp, for `encode_ended`; empty where they are no use."""
        return memoryview(self.payload)[self.span_at : self.stamp_at - _STAMP_HEAD if self.span_at else 0]


_new = tuple.__new__  # as `Encoded(...)`, without a Python call for each frame


def encode_span(
    span: ReadableSpan,
    *,
    extra: Mapping[str, AttributeValue] | None = None,
    attributes: Attributes | None = None,
) -> Encoded:
    """The payload of a SPAN frame: `resource_spans` with this span, `extra` behind its own attributes.

    Args:
        attributes: written in place of the span's own.

    Raises:
        WireError: the span has no context, so nothing can refer to it.
    """
    parts, span_id, resource, scope, _ = _span_parts(span)
    add_attributes(parts, _SPAN_ATTRIBUTE, attributes_of(span) if attributes is None else attributes)
    if extra:
        add_attributes(parts, _SPAN_ATTRIBUTE, extra.items())
    return _encoded(_SPAN, parts, span_id, resource, scope)


def encode_ended(
    span: ReadableSpan,
    begun: memoryview,
    *,
    attributes: Attributes,
    extra: Mapping[str, AttributeValue] | None = None,
) -> Encoded:
    """The same of a span whose START frame was encoded here: its fields, and what came since.

    A parser merges the two: of a field that stands twice, such as the status, the later one counts.

    Args:
        begun: `Encoded.begun`. The span's name and the attributes in it must not have changed since.
        attributes: those that came since.
    """
    context = span.context
    if context is None:
        raise WireError(f"span {span.name!r} has no context")
    parts = [begun, *_since(span)]
    add_attributes(parts, _SPAN_ATTRIBUTE, attributes)
    if extra:
        add_attributes(parts, _SPAN_ATTRIBUTE, extra.items())
    return _encoded(_SPAN, parts, context[1], span.resource, span.instrumentation_scope)


def encode_started(span: ReadableSpan, *, attributes: Attributes | None = None) -> Encoded:
    """The payload of a START frame: the same message, of a span that has not ended.

    Other threads may go on changing the span; each attribute is there as it was or is not there.

    Args:
        attributes: written in place of the span's own.

    Raises:
        WireError: the span has no context.
    """
    parts, span_id, resource, scope, is_plain = _span_parts(span)
    add_attributes(parts, _SPAN_ATTRIBUTE, attributes_of(span) if attributes is None else attributes)
    encoded = _encoded(_START, parts, span_id, resource, scope)
    return encoded if is_plain else encoded._replace(span_at=0)


def encode_interrupted(start_payload: bytes, *, end_ns: int, more: bytes = b"", why: str = _DIED) -> bytes:
    """The payload of the SPAN frame that stands for a call whose process died.

    The same span as in the START frame's payload, stamp included, ended at `end_ns` (never before it began) with
    status ERROR and `everyspan.end` = `interrupted`. The same arguments make the same bytes.

    Args:
        more: further fields of the Span message, such as attributes.
        why: the status's message.

    Raises:
        WireError: there is no span in `start_payload`.
    """
    resource_spans, scope_spans, span = find_span(start_payload)
    began_ns = 0
    for field in inside(start_payload, span):
        if field.number == 7 and field.wire_type == FIXED64:
            (began_ns,) = FIXED_64.unpack_from(start_payload, field.value_start)
    # Status: message and code ERROR. A START frame's own, unset status stands before it; parsers merge the two.
    status = delimited(b"\x7a", _text(b"\x12", why) + b"\x18\x02")
    ended = _fixed64(b"\x41", max(end_ns, began_ns)) + more + _INTERRUPTED + status
    # From the inside out: each message that holds the span is longer by what its own content is longer.
    whole_span = delimited(b"\x12", start_payload[span.value_start : span.end] + ended)
    scoped = delimited(b"\x12", _replaced(start_payload, scope_spans, span, whole_span))
    return delimited(tag_of(Kind.SPAN), _replaced(start_payload, resource_spans, scope_spans, scoped))


def _replaced(data: bytes, outer: Field, inner: Field, content: bytes) -> bytes:
    return data[outer.value_start : inner.start] + content + data[inner.end : outer.end]


def _encoded(
    tag: bytes, parts: Pieces, span_id: int, resource: Resource, scope: InstrumentationScope | None
) -> Encoded:
    """The fields of a Span message with the stamp behind them, and all that stands around it."""
    parts.append(_STAMP_ATTRIBUTE)
    span_size = sum(map(len, parts))
    before, named, scope_url, after, _, _ = _around.get((id(resource), id(scope))) or _encode_around(
        resource, scope
    )
    size = len(before) + len(named) + span_size + len(scope_url) + len(after)
    if span_size >= 0x80 and size < 0x4000 - 8:  # each length in two bytes: nearly always
        scope_size = len(named) + span_size + len(scope_url) + 3
        size += 6
        head = b"%b%c%c%b\x12%c%c%b\x12%c%c" % (
            tag, size & 0x7F | 0x80, size >> 7, before, scope_size & 0x7F | 0x80, scope_size >> 7, named,
            span_size & 0x7F | 0x80, span_size >> 7,
        )  # fmt: skip
    else:
        span_head = b"\x12" + varint(span_size)
        scope_size = len(named) + len(span_head) + span_size + len(scope_url)
        scope_head = b"\x12" + varint(scope_size)
        size = len(before) + len(scope_head) + scope_size + len(after)
        head = b"".join((tag, varint(size), before, scope_head, named, span_head))
    payload = bytearray().join((head, *parts, scope_url, after))
    end = len(payload) - len(scope_url) - len(after)
    return _new(Encoded, (payload, end - STAMP_LENGTH, span_id, end - span_size))


def _span_parts(span: ReadableSpan) -> tuple[Pieces, int, Resource, InstrumentationScope | None, bool]:
    """The fields of the Span message, apart from its attributes; its id; what the span belongs to.

    Also whether they are few enough to go on from: a later list of events or links would stand behind the first.
    """
    try:
        identity, rest, events, links, dropped = _read_privately(span)
    except (AttributeError, KeyError, TypeError, ValueError):
        identity, rest, events, links, dropped = _read_publicly(span)
    trace_id, span_id, trace_state, parent_id, remote = identity
    name, kind, start_ns, end_ns, status, resource, scope = rest
    number = kind._value_
    parts: Pieces = [
        b"\x0a\x10%b\x12\x08%b%b%b%b"
        % (
            trace_id.to_bytes(16, "big"),
            span_id.to_bytes(8, "big"),
            b"" if parent_id is None else b"\x22\x08" + parent_id.to_bytes(8, "big"),
            _named.get((name, number)) or _learn_name(name, number),
            _FROM_AFAR if remote else _FROM_HERE,
        )
    ]
    if trace_state is not DEFAULT_TRACE_STATE and trace_state:
        parts.append(_text(b"\x1a", ",".join([f"{key}={value}" for key, value in trace_state.items()])))
    if start_ns:
        parts.append(b"\x39" + FIXED_64.pack(start_ns))
    _add_end(parts, end_ns, status, dropped)
    if events or links:
        _add_lists(parts, events, links)
    return parts, span_id, resource, scope, not events and not links and dropped == _NONE_DROPPED


def _since(span: ReadableSpan) -> Pieces:
    """The fields of the Span message that a span does not have when it begins, apart from attributes."""
    events: Sequence[Event]
    links: Sequence[Link]
    try:
        end_ns, status, attributes, held_events, held_links = _later(span.__dict__)
        events, links = held_events._dq, held_links._dq  # it has ended, so nobody changes them any more
        dropped = attributes.dropped, held_events.dropped, held_links.dropped
    except (AttributeError, KeyError):
        end_ns, status, events, links = span.end_time, span.status, span.events, span.links
        dropped = span.dropped_attributes, span.dropped_events, span.dropped_links
    parts: Pieces = []
    _add_end(parts, end_ns, status, dropped)
    if events or links:
        _add_lists(parts, events, links)
    return parts


def _add_end(parts: Pieces, end_ns: int | None, status: Status | None, dropped: tuple[int, int, int]) -> None:
    if end_ns:
        parts.append(b"\x41" + FIXED_64.pack(end_ns))
    if status is not None:
        unset = status.status_code is _UNSET
        parts.append(_STATUS_UNSET if unset else _status(status))
    if dropped != _NONE_DROPPED:
        parts += map(_number, _DROPPED_TAGS, dropped)


def _add_lists(parts: Pieces, events: Sequence[Event], links: Sequence[Link]) -> None:
    if events:
        parts += [delimited(b"\x5a", _event(event)) for event in events]
    if links:
        parts += [delimited(b"\x6a", _link(link)) for link in links]


def _learn_name(name: str, kind: int) -> bytes:
    """Remember and return a span's name and kind as fields."""
    # OTLP numbers the kinds from 1, OpenTelemetry's API from 0.
    made = _text(b"\x2a", name) + b"\x30%c" % (kind + 1)
    if len(_named) >= _MAX_NAMES:
        _named.clear()
    _named[name, kind] = made
    return made


def _read_privately(span: ReadableSpan) -> _Read:
    """What the SDK holds, from where it holds it (opentelemetry-sdk 1.33 to 1.45).

    Its properties are a Python frame each, which together cost as much as all of the encoding. Each container is
    copied in one step, so that a thread that changes the span meanwhile can not break the iteration.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: this is some other kind of span.
    """
    context, parent, attributes, events, links, *rest = _private(span.__dict__)
    trace_id, span_id, _, _, trace_state, _ = context
    _, parent_id, remote, _, _, _ = parent or _NO_PARENT
    return (
        (trace_id, span_id, trace_state, parent_id, remote),
        rest,
        tuple(events._dq),
        tuple(links._dq),
        (attributes.dropped, events.dropped, links.dropped),
    )


def _read_publicly(span: ReadableSpan) -> _Read:
    context, parent = span.get_span_context(), span.parent
    if context is None:
        raise WireError(f"span {span.name!r} has no context")
    return (
        (
            context.trace_id,
            context.span_id,
            context.trace_state,
            parent.span_id if parent else None,
            bool(parent and parent.is_remote),
        ),
        list(_public(span)),
        tuple(span.events),
        tuple(span.links),
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
    )


def _event(event: Event) -> bytes:
    parts: Pieces = [_fixed64(b"\x09", event.timestamp), _text(b"\x12", event.name)]
    add_attributes(parts, b"\x1a", (event.attributes or {}).items())
    parts.append(_number(b"\x20", event.dropped_attributes))
    return b"".join(parts)


def _link(link: Link) -> bytes:
    parts: Pieces = [
        b"\x0a\x10" + link.context.trace_id.to_bytes(16, "big"),
        b"\x12\x08" + link.context.span_id.to_bytes(8, "big"),
    ]
    add_attributes(parts, b"\x22", (link.attributes or {}).items())
    parts += [_number(b"\x28", link.dropped_attributes), b"\x35" + FIXED_32.pack(_flags(link.context))]
    return b"".join(parts)


def _status(status: Status) -> bytes:
    code: int = status.status_code.value
    return delimited(b"\x7a", _text(b"\x12", status.description) + _number(b"\x18", code))


def _flags(context: SpanContext | None) -> int:
    return _REMOTE_KNOWN | _REMOTE if context and context.is_remote else _REMOTE_KNOWN


def _encode_around(resource: Resource, scope: InstrumentationScope | None) -> _Around:
    """Remember and return the bytes around the spans of one resource and scope."""
    named = scope_url = b""
    if scope is not None:
        named = _text(b"\x0a", scope.name) + _text(b"\x12", scope.version)
        named += _attributes(scope.attributes, tag=b"\x1a")
        scope_url = _text(b"\x1a", scope.schema_url)
    made = (
        delimited(b"\x0a", _attributes(resource.attributes)),
        delimited(b"\x0a", named),
        scope_url,
        _text(b"\x1a", resource.schema_url),
        resource,
        scope,
    )
    if len(_around) >= _MAX_CACHED:
        _around.clear()
    _around[id(resource), id(scope)] = made
    return made


def _attributes(held: Mapping[str, object] | None, *, tag: bytes = b"\x0a") -> bytes:
    parts: Pieces = []
    add_attributes(parts, tag, (held or {}).items())
    return b"".join(parts)


def _text(tag: bytes, text: str | None) -> bytes:
    return delimited(tag, utf8(text)) if text else b""


def _fixed64(tag: bytes, number: int | None) -> bytes:
    return tag + FIXED_64.pack(number) if number else b""


def _number(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""
