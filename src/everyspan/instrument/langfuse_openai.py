"""`langfuse.openai`: what the user passes to its wrapper for the trace is said by the span that counts, too.

The wrapper's own span of a call is kept without a bill, so its name, its metadata and its place in a trace would
otherwise be on a span that nobody looks at.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, set_span_in_context
from opentelemetry.util.types import AttributeValue

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.record import names
from everyspan.record.headers import named_span
from everyspan.record.shadows import last_begun
from everyspan.record.text import as_json

_NAMES = {"session_id": names.SESSION, "user_id": names.USER, "tags": names.LANGFUSE_TAGS}
"""As arguments (SDK 2), and with `langfuse_` in front as keys of the metadata (SDK 3 to 5)."""

# The wrapper's arguments live as long as its frame: a call that never came to the SDK leaves nothing behind.
_asked: ContextVar[weakref.ReferenceType[Any] | None] = ContextVar("everyspan_langfuse_openai", default=None)


class Said(NamedTuple):
    """What the caller of the wrapper said about the call."""

    name: str
    """Empty for none."""
    attributes: dict[str, AttributeValue]
    context: Context | None
    """With the parent that was named, if any."""


def install() -> None:
    """Hook the wrapper now if it is loaded, else at its import."""
    when_imported("langfuse.openai", _hook)


def _hook(module: ModuleType) -> None:
    # The last step of the wrapper before it calls the SDK.
    patch.exchange(module.OpenAiArgsExtractor.get_openai_args, _remember)


def _remember(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    _asked.set(weakref.ref(args[0]))
    return original(*args, **kwargs)


def take() -> Said | None:
    """What was said to the wrapper that makes this very call; told once."""
    reference = _asked.get()
    if reference is None:
        return None
    _asked.set(None)
    extractor = reference()
    return None if extractor is None else _read({**extractor.kwargs, **extractor.args})


def _read(given: Mapping[str, Any]) -> Said:
    metadata = given.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    found: dict[str, AttributeValue] = {}
    for key, attribute in _NAMES.items():
        value = given.get(key) or metadata.get(f"langfuse_{key}")
        if isinstance(value, str):
            found[attribute] = value
        elif isinstance(value, (list, tuple)):
            found[attribute] = tuple(map(str, value))
    rest = {key: value for key, value in metadata.items() if str(key).removeprefix("langfuse_") not in _NAMES}
    if rest:
        found[names.LANGFUSE_METADATA] = as_json(rest)
    prompt = given.get("langfuse_prompt")
    if prompt is not None and not getattr(prompt, "is_fallback", False):
        found[names.LANGFUSE_PROMPT_NAME] = str(getattr(prompt, "name", ""))
        found[names.LANGFUSE_PROMPT_VERSION] = int(getattr(prompt, "version", 0))
    name = given.get("name")
    context, is_root = _place(given)
    if is_root:
        found[names.LANGFUSE_AS_ROOT] = True
    return Said(name if isinstance(name, str) else "", found, context)


def _place(given: Mapping[str, Any]) -> tuple[Context | None, bool]:
    """Where the call belongs when that was said, and whether it is to be the first of its trace."""
    trace_id = given.get("trace_id")
    if not isinstance(trace_id, str):
        return None, False
    parent = named_span(trace_id, str(given.get("parent_observation_id") or ""))
    if parent is None:
        # For a trace alone the wrapper makes up a parent, which no span is: ours has the same.
        beside = last_begun()
        parent = beside.parent if beside is not None else None
        if parent is None or f"{parent.trace_id:032x}" != trace_id.replace("-", ""):
            return None, False
    is_root = not given.get("parent_observation_id")
    return set_span_in_context(NonRecordingSpan(parent), otel_context.get_current()), is_root
