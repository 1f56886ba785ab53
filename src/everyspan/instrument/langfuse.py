"""Langfuse's SDK: its spans and ours arrive together, through a queue that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.instrument.takeover import DirectQueue, take_over
from everyspan.model.destination import Dialect
from everyspan.record.processor import chain
from everyspan.record.provider import Providers
from everyspan.record.registry import Registry
from everyspan.record.shadows import Shadows, is_ours
from everyspan.record.tally import TALLY


class LangfuseHooks:
    """Takes over each `LangfuseSpanProcessor`, those that exist and those to come (Langfuse SDK 3 to 5)."""

    def __init__(self, providers: Providers, registry: Registry) -> None:
        self._providers = providers
        self._registry = registry

    def install(self) -> None:
        """Hook the SDK now if it is loaded, else at its import."""
        when_imported("langfuse._client.span_processor", self._hook)
        when_imported("langfuse._client.get_client", self._know_project)

    def _hook(self, module: ModuleType) -> None:
        def construct(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            made = original(*args, **kwargs)
            self._take_over(args[0], module)
            return made

        patch.exchange(module.LangfuseSpanProcessor.__init__, construct)
        for provider in self._providers.known():
            for processor in chain(provider):
                if isinstance(processor, module.LangfuseSpanProcessor):
                    self._take_over(processor, module)

    def _know_project(self, module: ModuleType) -> None:
        # `@observe` puts there what it is called with as `langfuse_public_key` (SDK 3 to 5).
        current = module._current_public_key
        self._registry.current_project = lambda: current.get(None)

    def _take_over(self, processor: Any, module: ModuleType) -> None:
        try:
            shadows = self._providers.shadows
            queue = take_over(processor, self._registry, shadows, dialect=Dialect.LANGFUSE)
            if queue is None:
                return
            default = getattr(module, "is_default_export_span", None)
            if getattr(processor, "_should_export_span", None) is default and default is not None:
                # Langfuse's own filter passes spans with `gen_ai.` attributes; `@everyspan.observe` spans have none,
                # and without them a generation would have no parent there.
                processor._should_export_span = lambda span: is_ours(span) or default(span)
            processor.on_start = _starting(processor, queue, shadows)
        except Exception as error:  # noqa: BLE001 - Langfuse goes on with its own queue
            TALLY.fault("take over Langfuse's span processor", error)


def _starting(processor: Any, queue: DirectQueue, shadows: Shadows) -> Callable[..., None]:
    """`processor.on_start`, and a START frame for spans that will be exported, after Langfuse's attributes are set."""
    original = processor.on_start

    def on_start(span: Span, parent_context: Context | None = None) -> None:
        original(span, parent_context)
        try:
            if _is_for(processor, span) and not shadows.is_inside(span):
                queue.emit(span)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record the start of a span", error)

    return on_start


def _is_for(processor: Any, span: ReadableSpan) -> bool:
    expected = getattr(processor, "_is_expected_exported_at_start", None)
    if expected is not None:
        return bool(expected(span))
    # SDK 3 has no such question; its own spans name their project's key.
    scope = span.instrumentation_scope
    ours = scope is not None and (scope.attributes or {}).get("public_key") == processor.public_key
    return is_ours(span) or ours
