"""The span of a model call: one of the SDK's, made and ended in fewer steps than the SDK takes."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Tracer, _Span
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import SpanContext, SpanKind
from opentelemetry.util.types import AttributeValue

from everyspan.record.attributes import are_plain, set_attributes
from everyspan.record.processor import EveryspanProcessor

_TAKEN = Decision.RECORD_AND_SAMPLE  # a member of an enum takes long to look up (Python 3.11)

_OWN = frozenset({"_name", "_context", "_parent", "_kind", "_lock", "_attributes", "_events", "_links"})
"""What a span holds of its own; the rest is its tracer's, or the same in all that begin."""
_SHARED = frozenset(
    {
        *("_instrumentation_info", "_instrumentation_scope", "_resource", "_sampler", "_span_processor"),
        *("_start_time", "_end_time", "_status", "_trace_config", "_record_exception"),
        *("_limits", "_set_status_on_exception", "_record_end_metrics"),
    }
)
_OF_ATTRIBUTES = frozenset({"_dict", "maxlen", "dropped", "max_value_len", "_lock", "_immutable"})
_OF_LIST = frozenset({"dropped", "_dq", "_lock"})
_MOST_TRACERS = 64
_new = object.__new__


class CallSpan(_Span):
    """A span of the SDK's in everything but how it ends where our processor is the only one."""

    def end(self, end_time: int | None = None) -> None:
        """See `Span.end`. The SDK makes a copy for its processors to read; ours reads the span itself."""
        processor = only_one(self._span_processor)
        if processor is None or end_time is None:
            super().end(end_time)
            return
        with self._lock:
            is_open = self._start_time is not None and self._end_time is None
            if is_open:
                self._end_time = end_time
                held: Any = self._attributes
                held._immutable = True
        if not is_open:
            super().end(end_time)  # it says what is wrong
            return
        if self._record_end_metrics is not None:
            self._record_end_metrics()
        processor.on_end(self)


class _Common(NamedTuple):
    """What all spans of a tracer hold alike, out of one that the SDK made."""

    tracer: Tracer
    """Here so that its id stays its own."""
    span: Mapping[str, Any]
    attributes: Mapping[str, Any]
    most_events: int | None
    most_links: int | None
    most_attributes: int
    """That need no look; 0 where the SDK cuts values."""
    counts: bool
    """The SDK's metrics of itself are on."""

    def has_room(self, attributes: Mapping[str, AttributeValue]) -> bool:
        """Whether the SDK would keep all of them as they are."""
        return len(attributes) <= self.most_attributes and are_plain(attributes)


_commons: dict[int, _Common] = {}


def only_one(processors: Any) -> EveryspanProcessor | None:
    """Our processor, when a provider has no other; the order in which several are asked is the SDK's to know."""
    each: tuple[Any, ...] = getattr(processors, "_span_processors", ())
    return each[0] if len(each) == 1 and type(each[0]) is EveryspanProcessor else None


def make_span(
    tracer: Tracer,
    name: str,
    context: SpanContext,
    *,
    parent: SpanContext | None,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue],
) -> CallSpan:
    """A span that was not started yet, as the tracer would make it.

    Raises:
        AttributeError, TypeError: this is another SDK than those that we know.
    """
    common = _commons.get(id(tracer))
    if common is None or common.span["_resource"] is not tracer.resource:  # a fork changes it
        common = _common(tracer)
    fits = common.has_room(attributes)
    held, events, links, span = _new(BoundedAttributes), _new(BoundedList), _new(BoundedList), _new(CallSpan)
    held.__dict__ = {
        **common.attributes,
        "_dict": dict(attributes) if fits else {},
        "_lock": threading.Lock(),
    }
    events.__dict__ = {"dropped": 0, "_dq": deque(maxlen=common.most_events), "_lock": threading.Lock()}
    links.__dict__ = {"dropped": 0, "_dq": deque(maxlen=common.most_links), "_lock": threading.Lock()}
    span.__dict__ = {
        **common.span,
        "_name": name,
        "_context": context,
        "_parent": parent,
        "_kind": kind,
        "_lock": threading.Lock(),
        "_attributes": held,
        "_events": events,
        "_links": links,
    }
    if common.counts:
        span._record_end_metrics = tracer._tracer_metrics.start_span(parent, _TAKEN)
    if not fits:
        set_attributes(span, attributes)
    return span


def _common(tracer: Tracer) -> _Common:
    made = _Span(
        name="",
        context=SpanContext(1, 1, is_remote=False),
        sampler=tracer.sampler,
        resource=tracer.resource,
        span_processor=tracer.span_processor,
        instrumentation_info=tracer.instrumentation_info,
        limits=tracer._span_limits,
        instrumentation_scope=tracer._instrumentation_scope,
        record_end_metrics=None,
    ).__dict__
    attributes, events, links = made["_attributes"], made["_events"], made["_links"]
    if (
        made.keys() != _OWN | _SHARED
        or attributes.__dict__.keys() != _OF_ATTRIBUTES
        or not events.__dict__.keys() == links.__dict__.keys() == _OF_LIST
    ):
        raise TypeError("a span of this SDK holds something that we do not know")
    if len(_commons) >= _MOST_TRACERS:
        _commons.clear()
    common = _commons[id(tracer)] = _Common(
        tracer,
        {name: made[name] for name in _SHARED},
        {name: value for name, value in attributes.__dict__.items() if name not in ("_dict", "_lock")},
        events._dq.maxlen,
        links._dq.maxlen,
        0
        if attributes.max_value_len is not None
        else sys.maxsize
        if attributes.maxlen is None
        else attributes.maxlen,
        type(tracer._tracer_metrics).__name__ != "NoOpTracerMetrics",
    )
    return common
