"""Thread pools: work runs in the context of whoever submitted it, so that its spans have their parent."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry import trace

from everyspan.instrument import patch


def install() -> None:
    """Let `ThreadPoolExecutor.submit` carry the current context along when a span is current."""
    patch.exchange(ThreadPoolExecutor.submit, _submit)


def _submit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) < 2:
        return original(*args, **kwargs)
    pool, work, *rest = args
    # `asyncio.to_thread` and litellm bring a context of their own. This is asked first: it takes one step.
    if isinstance(getattr(work, "__self__", None), contextvars.Context):
        return original(*args, **kwargs)
    if not trace.get_current_span().get_span_context().is_valid:
        return original(*args, **kwargs)
    return original(pool, contextvars.copy_context().run, work, *rest, **kwargs)
