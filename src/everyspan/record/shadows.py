"""Spans by which other instrumentations describe a call that we record already.

They are kept, but must not be billed again: litellm over openai, the anthropic SDK's native spans, Langfuse's or
OpenInference's wrappers around a call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.call import inherited

OUR_SCOPE = "everyspan"

_LIMIT = 10_000
"""Most spans remembered: they leave at their end, and those that never end must not pile up."""


def is_ours(span: ReadableSpan) -> bool:
    """True for spans that everyspan itself made."""
    scope = span.instrumentation_scope
    return scope is not None and scope.name == OUR_SCOPE


def looks_like_a_model_call(span: ReadableSpan) -> bool:
    """True for spans that a backend would count as a model call, by the names that instrumentations use."""
    known = span.attributes or {}
    return (
        known.get(names.LANGFUSE_TYPE) in ("generation", "embedding")
        or known.get("openinference.span.kind") in ("LLM", "EMBEDDING")
        or known.get(names.OPERATION) in names.LLM_OPERATIONS
        or "llm.request.type" in known
        or "llm.model_name" in known
    )


class Shadows:
    """Remembers which foreign spans began inside one of our calls, and which stand right around one."""

    def __init__(self) -> None:
        self._inside: OrderedDict[int, str] = OrderedDict()
        self._around: OrderedDict[int, str] = OrderedDict()

    def began(self, span: ReadableSpan) -> None:
        """Note a span at its start, in the context it starts in."""
        if is_ours(span):
            parent = span.parent
            if parent is not None and names.OPERATION in (span.attributes or {}):
                _remember(self._around, parent.span_id, format_span_id(_id(span)))
            return
        # Also a call that has ended: litellm's callbacks run later, in a copy of the call's context.
        call = inherited()
        if call is not None:
            _remember(self._inside, _id(span), format_span_id(call.span.get_span_context().span_id))

    def is_inside(self, span: ReadableSpan) -> bool:
        """True when the span began inside one of our calls."""
        return _id(span) in self._inside

    def mark(self, span: ReadableSpan) -> Mapping[str, AttributeValue] | None:
        """The attributes that make an ended span a shadow, or None when it is none."""
        if not self._inside and not self._around:
            return None
        own_id = _id(span)
        ours = self._inside.get(own_id) or self._around.get(own_id)
        if ours is None or is_ours(span) or not looks_like_a_model_call(span):
            return None
        return {names.UNBILLED: "another span records this call", names.SHADOW_OF: ours}

    def ended(self, span: ReadableSpan) -> None:
        """Forget a span that everyone has looked at."""
        if self._inside or self._around:
            own_id = _id(span)
            self._inside.pop(own_id, None)
            self._around.pop(own_id, None)


def _id(span: ReadableSpan) -> int:
    context = span.context
    return context.span_id if context is not None else 0


def _remember(book: OrderedDict[int, str], key: int, value: str) -> None:
    book[key] = value
    if len(book) > _LIMIT:
        book.popitem(last=False)
