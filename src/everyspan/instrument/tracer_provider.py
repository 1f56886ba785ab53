"""`opentelemetry.trace.set_tracer_provider`: whatever provider the program sets, we are attached to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from everyspan.instrument import patch
from everyspan.record.provider import Providers


def install(providers: Providers) -> None:
    """Attach to the provider that is set now, or ours, and to those that are set later."""

    def set_provider(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        provider = args[0] if args else kwargs.get("tracer_provider")
        if not providers.give_way(provider):
            original(*args, **kwargs)
            providers.attach_to_global(provider)

    patch.exchange(trace.set_tracer_provider, set_provider)
    providers.adopt(trace.get_tracer_provider())
