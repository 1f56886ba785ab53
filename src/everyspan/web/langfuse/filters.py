"""Langfuse's JSON filters of observations: conditions for the store where it has a column, else a look at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from everyspan.store.conditions import NUMBERS, Condition, SpanField
from everyspan.web.langfuse.exchange import RequestError, ns_of
from everyspan.web.langfuse.ids import span_id_of, trace_id_of
from everyspan.web.langfuse.looks import (
    Columns,
    Look,
    Said,
    Shown,
    condition_of,
    look_of,
    number_of,
    read_conditions,
    texts_of,
)
from everyspan.web.langfuse.paid import exactly, side

COLUMNS = {
    "id": SpanField.SPAN_ID,
    "traceId": SpanField.TRACE_ID,
    "parentObservationId": SpanField.PARENT_ID,
    "name": SpanField.NAME,
    "type": SpanField.KIND,
    "userId": SpanField.USER,
    "sessionId": SpanField.SESSION,
    "environment": SpanField.ENVIRONMENT,
    "model": SpanField.MODEL,
    "providedModelName": SpanField.MODEL,
    "traceName": SpanField.TRACE_NAME,
    "tags": SpanField.TAGS,
    "traceTags": SpanField.TAGS,
    "startTime": SpanField.START,
    "endTime": SpanField.END,
    "latency": SpanField.DURATION,
    "timeToFirstToken": SpanField.FIRST_TOKEN,
    "inputTokens": SpanField.INPUT_TOKENS,
    "outputTokens": SpanField.OUTPUT_TOKENS,
    "totalTokens": SpanField.TOTAL_TOKENS,
    "tokens": SpanField.TOTAL_TOKENS,
    "totalCost": SpanField.COST,
}
"""What the store can look for by itself."""

_RECKONED = ("inputCost", "outputCost", "tokensPerSecond")
"""What follows from what is shown of an observation."""
_LOOKED_AT = (
    *("level", "statusMessage", "version", "release", "promptName", "promptVersion", "input", "output"),
    *("isRootObservation", "metadata", *_RECKONED),
)
OBSERVATION = Columns(
    names=(*COLUMNS, *_LOOKED_AT),
    numbers=frozenset(_RECKONED).union(name for name, field in COLUMNS.items() if field in NUMBERS)
    - {"startTime", "endTime"},
    times=frozenset({"startTime", "endTime"}),
    lists=frozenset({"tags", "traceTags"}),
)
_NANO = {SpanField.DURATION: 10**9, SpanField.FIRST_TOKEN: 10**9}
_TEXT_KINDS = ("string", "stringOptions", "arrayOptions", "categoryOptions")


@dataclass(frozen=True, slots=True)
class Filter:
    """What a filter asks: of the store, and of each observation that the store finds."""

    conditions: tuple[Condition, ...] = ()
    looks: tuple[Look, ...] = ()
    reckons: bool = False
    """Whether a look is at what has to be reckoned from what is shown."""

    def fits(self, shown: Shown) -> bool:
        """Whether an observation is wanted, as far as the store could not tell."""
        seen = {**shown, **_reckoned(shown)} if self.reckons else shown
        return all(look(seen) for look in self.looks)


def read_filter(said: str) -> Filter:
    """What the JSON text of a filter means.

    Raises:
        RequestError: it is no filter, or asks what cannot be asked.
    """
    return filter_of(read_conditions(said))


def filter_of(listed: Sequence[Any]) -> Filter:
    """See `read_filter`; of what was JSON."""
    conditions, looks, reckons = [], [], False
    for each in listed:
        said = condition_of(each, OBSERVATION)
        if said.column in COLUMNS:
            conditions.append(_condition(COLUMNS[said.column], said))
        else:
            looks.append(look_of(said, OBSERVATION))
            reckons |= said.column in _RECKONED
    return Filter(tuple(conditions), tuple(looks), reckons)


def _reckoned(shown: Shown) -> dict[str, Decimal | float | None]:
    paid = exactly(shown["costDetails"])
    tokens = sum(count for bucket, count in shown["usageDetails"].items() if "output" in bucket)
    timed = tokens and shown["latency"] > 0
    return {
        "inputCost": side(paid, "input"),
        "outputCost": side(paid, "output"),
        # Of the output, as Langfuse has it in filters.
        "tokensPerSecond": tokens / shown["latency"] if timed else None,
    }


def _condition(field: SpanField, said: Said) -> Condition:
    if said.kind == "null":
        return Condition(field=field, how=said.how)
    if field in NUMBERS:
        if said.kind not in ("number", "datetime"):
            raise RequestError(f"{said.column} takes a filter of type number or datetime, not {said.kind}")
        return Condition(field=field, how=said.how, number=_number(field, said))
    if said.kind not in _TEXT_KINDS:
        raise RequestError(f"{said.column} takes a filter of type string or stringOptions, not {said.kind}")
    return Condition(field=field, how=said.how, texts=_as_stored(field, texts_of(said.value)))


def _as_stored(field: SpanField, texts: tuple[str, ...]) -> tuple[str, ...]:
    if field is SpanField.KIND:
        return tuple(text.lower() for text in texts)
    if field is SpanField.TRACE_ID:
        return tuple(map(trace_id_of, texts))
    if field in (SpanField.SPAN_ID, SpanField.PARENT_ID):
        return tuple(map(span_id_of, texts))
    if field is SpanField.ENVIRONMENT and "default" in texts:
        return (*texts, "")  # as it is shown where none was said
    return texts


def _number(field: SpanField, said: Said) -> int | Decimal:
    if said.kind == "datetime":
        if said.column not in OBSERVATION.times:
            raise RequestError(f"{said.column} is no time")
        return ns_of(said.value, "value")
    if said.column in OBSERVATION.times:
        raise RequestError("value takes a date for a time, else a number")
    number = number_of(said.value)
    return number if field is SpanField.COST else int(number * _NANO.get(field, 1))
