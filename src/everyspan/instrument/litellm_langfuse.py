"""litellm's `langfuse` callback, which does not speak OpenTelemetry: taken over, so that a call is one generation.

Which Langfuse project it writes to becomes a destination of ours, and what it would tell of calls that are recorded is
left out. A logger that was made for the keys of a single request writes to a project that is not ours, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry.trace import format_trace_id

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.instrument.litellm import OPERATIONS
from everyspan.model.destination import Dialect
from everyspan.record.call import inherited
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY
from everyspan.settings import langfuse_destination


class LitellmLangfuseHooks:
    """Takes over litellm's `langfuse` callback (1.83.7 to 1.109.1)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def install(self) -> None:
        """Hook the callback now if it is loaded, else at its import."""
        when_imported("litellm.integrations.langfuse.langfuse", self._hook)
        when_imported("litellm.integrations.langfuse.langfuse_prompt_management", self._hook_prompts)

    def _hook(self, module: ModuleType) -> None:
        patch.exchange(module.LangFuseLogger.__init__, self._construct)
        patch.exchange(module.LangFuseLogger.log_event_on_langfuse, self._log)

    def _hook_prompts(self, module: ModuleType) -> None:
        # A logger, too, which `litellm.callbacks` makes; it does without the constructor of the other.
        patch.exchange(module.LangfusePromptManagement.__init__, self._construct)

    def _construct(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = original(*args, **kwargs)
        try:
            for_one_request = len(args) > 1 or kwargs.get("langfuse_public_key")
            if not for_one_request:
                self._add(args[0])
        except Exception as error:  # noqa: BLE001 - the callback goes on as it was
            TALLY.fault("take over litellm's Langfuse callback", error)
        return made

    def _add(self, logger: Any) -> None:
        public, secret = getattr(logger, "public_key", None), getattr(logger, "secret_key", None)
        host = getattr(logger, "langfuse_host", None)
        if public and secret and host and not self._writes_to_ours(logger):
            url = host if "://" in host else f"https://{host}"
            self._registry.add(langfuse_destination(url, public_key=public, secret_key=secret))

    def _writes_to_ours(self, logger: Any) -> bool:
        account = getattr(logger, "public_key", None)
        return bool(account) and any(
            outlet.destination.dialect is Dialect.LANGFUSE and outlet.destination.account == account
            for outlet in self._registry.outlets
        )

    def _log(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        about = args[1] if len(args) > 1 else kwargs.get("kwargs", {})
        # The proxy's pass-through endpoints call no function of litellm's, so there is no span of ours.
        kind = about.get("call_type") if isinstance(about, dict) else None
        is_recorded = kind is None or getattr(kind, "value", kind) in OPERATIONS
        if not is_recorded or not self._writes_to_ours(args[0]):
            return original(*args, **kwargs)
        call = inherited()
        trace_id = format_trace_id(call.span.get_span_context().trace_id) if call is not None else None
        return {"trace_id": trace_id, "generation_id": None}
