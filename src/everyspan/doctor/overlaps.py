"""Instrumentations of others at work in a program, which see the same calls as we do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from everyspan.doctor.finding import Finding, note

_TAKEN_OVER = frozenset({"otel", "langfuse_otel", "langfuse"})


def examine_overlaps() -> Iterator[Finding]:
    """Instrumentations of others that are switched on."""
    yield from _instrumentors()
    yield from _litellm_callbacks()
    wrapper = sys.modules.get("langfuse.openai")
    if wrapper is not None:
        yield note(
            "overlap.active",
            "langfuse.openai is at work: what it is told about a call is said of everyspan's span too, its own span is "
            "kept and marked unbilled",
        )
    # pydantic imports logfire by itself where it is installed; only who configures it makes spans.
    config = getattr(sys.modules.get("logfire._internal.config"), "GLOBAL_CONFIG", None)
    if getattr(config, "_initialized", False):
        yield note(
            "overlap.active",
            "logfire is at work: its spans of a call that everyspan records are kept and marked unbilled; what it "
            "sends to Logfire by itself is not marked",
        )


def _litellm_callbacks() -> Iterator[Finding]:
    litellm = sys.modules.get("litellm")
    lists = ("callbacks", "success_callback", "_async_success_callback")
    found: dict[str, None] = {}
    for name in lists:
        for callback in getattr(litellm, name, None) or ():
            # Objects are litellm's own hooks, and what the user wrote; a callback that is named is somebody's backend.
            if isinstance(callback, str):
                found[callback] = None
    for name in found:
        if name in _TAKEN_OVER:
            yield note(
                "overlap.callback", f"litellm's callback {name!r} is taken over: it adds no second span"
            )
        else:
            yield note(
                "overlap.callback",
                f"litellm's callback {name!r} goes on beside everyspan: its backend has a bill of its own",
            )


def _instrumentors() -> Iterator[Finding]:
    """Those built on OpenTelemetry's `BaseInstrumentor`."""
    base = getattr(sys.modules.get("opentelemetry.instrumentation.instrumentor"), "BaseInstrumentor", None)
    for kind in _below(base) if base is not None else ():
        made = getattr(kind, "_instance", None)
        if made is not None and getattr(made, "is_instrumented_by_opentelemetry", False):
            yield note(
                "overlap.active",
                f"{kind.__module__}.{kind.__name__} is at work: its spans of a call that everyspan records are kept "
                "and marked unbilled",
            )


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    each: type[Any]
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
