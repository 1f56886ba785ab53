"""The trace over HTTP: W3C `traceparent` out and in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags

_TRACE_ID, _SPAN_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{16}")


def headers() -> dict[str, str]:
    """The current span as HTTP headers (W3C `traceparent`, and whatever the program's propagators add).

    Empty when no span is current. The service that gets them continues the trace with `everyspan.context(headers=…)`,
    or with any instrumentation of OpenTelemetry's.
    """
    from opentelemetry.propagate import inject  # loads the propagators that the environment names

    carrier: dict[str, str] = {}
    if trace.get_current_span().get_span_context().is_valid:
        inject(carrier)
    return carrier


def context_of(told: Mapping[str, str]) -> Context:
    """The current context, with the span that the headers of a request name as the current one, if they name one."""
    from opentelemetry.propagate import extract

    carrier = {str(name).lower(): str(value) for name, value in told.items()}
    return extract(carrier)


def named_span(trace_id: str, span_id: str) -> SpanContext | None:
    """The span with these ids in hexadecimal, dashes allowed in the first; None when they are none."""
    trace_id = trace_id.replace("-", "")
    if not _TRACE_ID.fullmatch(trace_id) or not _SPAN_ID.fullmatch(span_id):
        return None
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(1))
