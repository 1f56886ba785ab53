"""The current span, and what was said with `everyspan.context`, on the way into another process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.util.types import AttributeValue

from everyspan.record import ambient


class Surroundings(NamedTuple):
    """Which span is current, zeros for none, and what was said; all of it in plain values that can be pickled."""

    trace_id: int
    span_id: int
    flags: int
    said: Mapping[str, AttributeValue] | None

    def context(self) -> Context:
        """A context with this span as the current one, and nothing else of what stands around here."""
        there = SpanContext(self.trace_id, self.span_id, is_remote=True, trace_flags=TraceFlags(self.flags))
        return trace.set_span_in_context(NonRecordingSpan(there), Context())


def surroundings() -> Surroundings:
    """What is current here."""
    here = trace.get_current_span().get_span_context()
    return Surroundings(here.trace_id, here.span_id, int(here.trace_flags), ambient.attributes())


class CarriedWork:
    """A function, to be called elsewhere as if it were called here.

    A pool's worker has the context of the moment in which it was made: the span that was current then has long ended,
    and the one that submits the work is not known to it.
    """

    __slots__ = ("_around", "_work")

    def __init__(self, work: Callable[..., Any], around: Surroundings) -> None:
        self._work = work
        self._around = around

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function below the span that was current where the work was submitted."""
        span_token = otel_context.attach(self._around.context())
        said_token = ambient.say(self._around.said)
        try:
            return self._work(*args, **kwargs)
        finally:
            ambient.unsay(said_token)
            otel_context.detach(span_token)
