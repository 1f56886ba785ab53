"""What other instrumentations look for in the context to stay silent below a call that is recorded already.

OpenTelemetry's own `suppress_instrumentation` is not among it: it would silence the user's HTTP spans below the call,
too. Who heeds nothing else (OpenInference) has its spans kept, unbilled.
"""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.trace import Span
from opentelemetry.trace.propagation import _SPAN_KEY

from everyspan.record.otel_context import current

_OPENLLMETRY = "suppress_language_model_instrumentation"

# Key → what makes its value; a value may be written to by whoever finds it, so each call has its own.
_makers: dict[str, Callable[[], object]] = {}


def add(key: str, make: Callable[[], object]) -> None:
    """Set `key` in the context of every call from now on, to a value of its own."""
    _makers[key] = make


def inside(span: Span) -> Context:
    """The current context with `span` as the current one, in which others stay silent."""
    values = {**current(), _SPAN_KEY: span, _OPENLLMETRY: True}
    for key, make in _makers.items():
        values[key] = make()
    return Context(values)
