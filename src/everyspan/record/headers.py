"""The trace over HTTP: W3C `traceparent` out and in."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context


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
