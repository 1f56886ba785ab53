"""Spans by which other instrumentations describe a call that we record already.

They are kept, but must not be billed again: litellm over openai, the anthropic SDK's native spans, Langfuse's or
OpenInference's wrappers around a call.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.altered import AlteredSpan
from everyspan.record.call import inherited
from everyspan.record.tally import TALLY

OUR_SCOPE = "everyspan"
_OUR_SCOPES = frozenset({OUR_SCOPE, names.LEDGER_SCOPE})

_LIMIT = 10_000
"""Most spans remembered: they leave at their end, and those that never end must not pile up."""
_BILLED_BY_LANGFUSE = (
    names.LANGFUSE_USAGE,
    names.LANGFUSE_COST,
    "gen_ai.usage.",
    "llm.token_count.",
    "llm.usage.",
    "llm.cost.",
)
_MOST_LEVELS = 32
"""Ancestors looked at above a call of ours."""


_Value = TypeVar("_Value")


class _Open(NamedTuple):
    """Foreign spans that began in this context, the last one first."""

    span: weakref.ReferenceType[ReadableSpan]
    before: _Open | None


_begun: ContextVar[_Open | None] = ContextVar("everyspan_foreign_spans", default=None)
_told: ContextVar[list[weakref.ReferenceType[ReadableSpan]] | None] = ContextVar(
    "everyspan_foreign_spans_elsewhere", default=None
)


class FromElsewhere:
    """Around work that begins spans on behalf of this context, but in copies of it: other threads, other tasks.

    A copy's own variables do not come back, so the copies share a list; what is in it counts as begun here.
    """

    __slots__ = ("_spans", "_token")

    def __enter__(self) -> None:
        self._spans: list[weakref.ReferenceType[ReadableSpan]] = []
        self._token = _told.set(self._spans)

    def __exit__(self, *exc_info: object) -> None:
        try:
            _told.reset(self._token)
        except ValueError as error:  # a coroutine closed from another context, which ends with it
            TALLY.fault("leave a context", error)
            return
        known = {id(span) for span in _spans(_begun.get())}
        for reference in self._spans:
            span = reference()
            if span is not None and id(span) not in known:
                _begun.set(_Open(reference, _still_open(_begun.get())))


def last_begun() -> ReadableSpan | None:
    """The span of somebody else's that began last in this context and is open."""
    last = _still_open(_begun.get())
    return None if last is None else last.span()


def is_ours(span: ReadableSpan) -> bool:
    """True for spans that everyspan itself made."""
    scope = span.instrumentation_scope
    return scope is not None and scope.name in _OUR_SCOPES


def looks_like_a_model_call(span: ReadableSpan) -> bool:
    """True for spans that a backend would count as a model call, by the names that instrumentations use."""
    known = span.attributes or {}
    return (
        known.get(names.LANGFUSE_TYPE) in ("generation", "embedding")
        or known.get("openinference.span.kind") in ("LLM", "EMBEDDING")
        or known.get(names.OPERATION) in names.LLM_OPERATIONS
        or "llm.request.type" in known
        or "llm.model_name" in known
        or names.INPUT_TOKENS in known
        or "gen_ai.usage.prompt_tokens" in known
    )


def unbilled_for_langfuse(span: ReadableSpan) -> ReadableSpan:
    """A shadow as Langfuse should have it: its server bills every generation, whatever else a span says."""
    known = span.attributes or {}
    kept = {name: value for name, value in known.items() if not name.startswith(_BILLED_BY_LANGFUSE)}
    return AlteredSpan(span, {**kept, names.LANGFUSE_TYPE: "span"})


class Shadows:
    """Remembers which foreign spans began inside one of our calls, and which stand around one or right beside it."""

    def __init__(self) -> None:
        self._inside: OrderedDict[int, str] = OrderedDict()
        self._around: OrderedDict[int, str] = OrderedDict()
        self._parents: OrderedDict[int, int] = OrderedDict()
        """Open spans that are no call of ours → their parents."""

    def began(self, span: ReadableSpan) -> None:
        """Note a span at its start, in the context it starts in."""
        if is_ours(span):
            if names.OPERATION in (span.attributes or {}):
                self._mark_around(span)
            else:
                _remember(self._parents, _id(span), _parent_id(span))
            return
        # Also a call that has ended: litellm's callbacks run later, in a copy of the call's context.
        call = inherited()
        if call is not None:
            _remember(self._inside, _id(span), format_span_id(call.span.get_span_context().span_id))
            return
        _remember(self._parents, _id(span), _parent_id(span))
        reference = weakref.ref(span)
        _begun.set(_Open(reference, _still_open(_begun.get())))
        told = _told.get()
        if told is not None:
            told.append(reference)

    def _mark_around(self, span: ReadableSpan) -> None:
        """Those above this call of ours, and those that were begun for it without being made current."""
        parent_id, last = _parent_id(span), _begun.get()
        if last is None and parent_id not in self._parents:
            return  # nearly always
        ours = format_span_id(_id(span))
        above = {parent_id}
        begun = [other for other in _spans(last) if other.end_time is None]
        for other in begun:
            if _id(other) in above and looks_like_a_model_call(other):
                above.add(_parent_id(other))
        # Langfuse's wrapper of openai, and callbacks of frameworks, begin their spans and make them nobody's parent:
        # they stand beside ours, or beside another wrapper that is around ours, with spans of their own between. Which
        # of them tells of a model call is often said at its end only, and `mark` asks then.
        for other in reversed(begun):
            if _id(other) not in above and _parent_id(other) in above:
                above.add(_id(other))
                _remember(self._around, _id(other), ours)
        for _ in range(_MOST_LEVELS):
            if not parent_id or parent_id not in self._parents:
                break
            _remember(self._around, parent_id, ours)
            parent_id = self._parents[parent_id]

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
        if self._inside or self._around or self._parents:
            own_id = _id(span)
            self._inside.pop(own_id, None)
            self._around.pop(own_id, None)
            self._parents.pop(own_id, None)


def _id(span: ReadableSpan) -> int:
    context = span.context
    return context.span_id if context is not None else 0


def _parent_id(span: ReadableSpan) -> int:
    return span.parent.span_id if span.parent is not None else 0


def _still_open(last: _Open | None) -> _Open | None:
    """`last` without what has ended at its head."""
    while last is not None:
        span = last.span()
        if span is not None and span.end_time is None:
            return last
        last = last.before
    return None


def _spans(last: _Open | None) -> Iterator[ReadableSpan]:
    for _ in range(_MOST_LEVELS):
        if last is None:
            return
        span = last.span()
        if span is not None:
            yield span
        last = last.before


def _remember(book: OrderedDict[int, _Value], key: int, value: _Value) -> None:
    book[key] = value
    if len(book) > _LIMIT:
        book.popitem(last=False)
