"""Threads: work runs in the context of whoever started or submitted it, so that its spans have their parent."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry import trace

from everyspan.instrument import patch
from everyspan.record.budget import is_limited


def install() -> None:
    """Let `ThreadPoolExecutor.submit` and `Thread.start` carry the context along when a span or a budget is around."""
    patch.exchange(ThreadPoolExecutor.submit, _submit)
    patch.exchange(threading.Thread.start, _start)


def _submit(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) < 2:
        return original(*args, **kwargs)
    pool, work, *rest = args
    # `asyncio.to_thread` and litellm bring a context of their own. This is asked first: it takes one step.
    if isinstance(getattr(work, "__self__", None), contextvars.Context):
        return original(*args, **kwargs)
    if not _is_anything_around():
        return original(*args, **kwargs)
    return original(pool, contextvars.copy_context().run, work, *rest, **kwargs)


_OWN_CONTEXT = ("anyio.", "concurrent.futures", "everyspan.", "opentelemetry.", "queue", "logging")
"""Whose threads live on and do other people's work: the span that was current when they began is none of theirs."""


def _start(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    thread = args[0]
    if _is_anything_around() and not _is_worker(thread):
        around, run = contextvars.copy_context(), thread.run

        def carried() -> None:
            thread.__dict__.pop("run", None)
            around.run(run)

        thread.run = carried
    return original(*args, **kwargs)


def _is_anything_around() -> bool:
    return trace.get_current_span().get_span_context().is_valid or is_limited()


def _is_worker(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or type(thread).__module__
    return module.startswith(_OWN_CONTEXT) or type(thread).__module__.startswith(_OWN_CONTEXT)
