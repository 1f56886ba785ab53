"""The span processor through which every span of a provider reaches the spool."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import get_current_span

from everyspan.model.destination import Destination, Dialect
from everyspan.record import ambient, names
from everyspan.record.ledger import is_entry
from everyspan.record.registry import Outlet, Registry
from everyspan.record.shadows import Shadows, is_ours, looks_like_a_model_call
from everyspan.record.tally import TALLY

CARRIES = "_everyspan_destination_id"
"""Set on a span processor that writes to one of our logs itself: which destination it serves."""

# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_OTLP = Dialect.OTLP
_ANCESTORS = 10_000
_LANGFUSE_SCOPE = "langfuse-sdk"


class EveryspanProcessor(SpanProcessor):
    """Writes a START frame when a span begins and a SPAN frame when it ends, before control returns.

    One per provider. Put it first in the provider's chain: a processor that raises stops those behind it
    (opentelemetry-sdk 1.45.2, `SynchronousMultiSpanProcessor.on_end`).
    """

    def __init__(self, provider: Any, registry: Registry, shadows: Shadows) -> None:
        self._provider = provider
        self._registry = registry
        self._shadows = shadows
        self._ancestors: OrderedDict[int, None] = OrderedDict()
        """Ids of spans with a model call below them: a Langfuse destination wants those too."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Write the span's START frame; never raises."""
        try:
            said = ambient.attributes()
            if said:
                span.set_attributes(said)
            if self._registry.for_langfuse:
                self._note_project(span, parent_context)
            self._shadows.began(span)
            outlets, _ = self._outlets(span)
            for outlet in outlets:
                if outlet.destination.dialect is _OTLP or self._wanted(outlet.destination, span):
                    self._registry.write_start(outlet, span)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record the start of a span", error)

    def on_end(self, span: ReadableSpan) -> None:
        """Write the span's SPAN frame; never raises."""
        try:
            mark = self._shadows.mark(span)
            outlets, carried = self._outlets(span)
            for outlet in outlets:
                if outlet.destination.dialect is _OTLP or self._wanted(outlet.destination, span):
                    self._registry.write_span(outlet, span, extra=mark)
            if not carried:
                self._shadows.ended(span)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record a span", error)

    def _note_project(self, span: Span, parent_context: Context | None) -> None:
        """Say on a span which Langfuse project it belongs to: what was said for it, around it or above it."""
        if names.LANGFUSE_PROJECT in (span.attributes or {}):
            return
        project = self._registry.current_project()
        if project is None and span.parent is not None:
            above = get_current_span(parent_context)
            project = _project_of(above) if isinstance(above, ReadableSpan) else None
        if project is not None:
            span.set_attribute(names.LANGFUSE_PROJECT, project)

    @property
    def keeps_ledger(self) -> bool:
        """Whether calls that the provider's sampler declines are recorded as entries of the ledger."""
        return self._registry.keeps_ledger

    def _outlets(self, span: ReadableSpan) -> tuple[Sequence[Outlet], Collection[str]]:
        """Those that no other processor of this provider writes to; and the ids of the destinations of the others."""
        if is_entry(span):
            return self._registry.outlets, ()  # no other processor sees it
        processors = chain(self._provider)
        if len(processors) == 1:  # this one
            return self._registry.outlets, ()
        ids = {getattr(processor, CARRIES, None) for processor in processors}
        carried = {each for each in ids if each is not None}
        return [outlet for outlet in self._registry.outlets if outlet.destination.id not in carried], carried

    def _wanted(self, destination: Destination, span: ReadableSpan) -> bool:
        """Langfuse makes an observation of every span, so it gets model calls and what stands above them only."""
        if self._registry.withholds(destination, span):
            return False
        scope = span.instrumentation_scope
        if scope is not None and scope.name == _LANGFUSE_SCOPE:
            # A span of Langfuse's SDK belongs to the project of its own key.
            return (scope.attributes or {}).get("public_key") == destination.account
        own_id = span.context.span_id if span.context is not None else 0
        wanted = is_ours(span) or own_id in self._ancestors
        if not wanted and looks_like_a_model_call(span):
            wanted = not self._shadows.is_inside(span)
        if wanted and span.parent is not None:
            self._ancestors[span.parent.span_id] = None
            if len(self._ancestors) > _ANCESTORS:
                self._ancestors.popitem(last=False)
        return wanted

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything that was recorded; True when all of it arrived in time."""
        return self._registry.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Nothing to do: records are on disk, and the log stays open for spans that end later."""


def _project_of(span: ReadableSpan) -> str | None:
    scope = span.instrumentation_scope
    said = (span.attributes or {}).get(names.LANGFUSE_PROJECT)
    if said is None and scope is not None and scope.name == _LANGFUSE_SCOPE:
        said = (scope.attributes or {}).get("public_key")
    return said if isinstance(said, str) else None


def chain(provider: Any) -> tuple[SpanProcessor, ...]:
    """The processors of a provider, in order; empty when it does not tell (a private name of the SDK)."""
    return getattr(getattr(provider, "_active_span_processor", None), "_span_processors", ())


def attach_first(provider: Any, processor: SpanProcessor) -> None:
    """Put a processor at the head of a provider's chain; at its end when the SDK's private names have changed."""
    provider.add_span_processor(processor)
    order = chain(provider)
    if isinstance(order, tuple) and order and order[-1] is processor:
        provider._active_span_processor._span_processors = (processor, *order[:-1])
