"""What metrics can be asked of: observations, traces and scores, each with its dimensions and measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from everyspan.store.conditions import NUMBERS, SpanField
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter, SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.filters import COLUMNS, filter_of
from everyspan.web.langfuse.gathered import Seen
from everyspan.web.langfuse.looks import Columns, condition_of, look_of
from everyspan.web.langfuse.metrics_query import Query, View
from everyspan.web.langfuse.observations import every_span
from everyspan.web.langfuse.score_lists import SCORE, TracesOfScores, every_score
from everyspan.web.langfuse.trace_filters import IN_ITS_SPANS, traces_of
from everyspan.web.langfuse.trace_search import TraceSearch

MEASURES = {
    "totalCost": SpanField.COST,
    "inputTokens": SpanField.INPUT_TOKENS,
    "outputTokens": SpanField.OUTPUT_TOKENS,
    "totalTokens": SpanField.TOTAL_TOKENS,
    "latency": SpanField.DURATION,
    "timeToFirstToken": SpanField.FIRST_TOKEN,
}
"""Of observations."""
STORED_DIMENSIONS = {
    name: field
    for name, field in COLUMNS.items()
    if field not in NUMBERS and field not in (SpanField.SPAN_ID, SpanField.PARENT_ID)
}
"""Those of observations that the store groups by."""
_LOOKED_AT = {
    **{name: name for name in ("level", "version", "release", "promptName", "promptVersion")},
    "isRootObservation": "isRootObservation",
    "traceRelease": "release",
    "traceVersion": "version",
}
_OF_TRACES = ("traceName", "tags", "userId")
_SCORE_DIMENSIONS = (
    *("name", "source", "dataType", "environment", "configId", "timestampMonth", "timestampDay"),
    *("id", "traceId", "sessionId", "observationId", *_OF_TRACES),
)
_IN_SCORES = Columns(
    names=(*SCORE.names, *_OF_TRACES, "stringValue", "booleanValue"),
    numbers=SCORE.numbers,
    times=SCORE.times,
    lists=frozenset({"tags"}),
)
_KINDS = {
    "scores-numeric": ("NUMERIC", "BOOLEAN"),
    "scores-boolean": ("BOOLEAN",),
    "scores-categorical": ("CATEGORICAL",),
}
VIEWS = {
    view.name: view
    for view in (
        View(
            name="observations",
            dimensions=(*STORED_DIMENSIONS, *_LOOKED_AT, "startTimeMonth"),
            measures=tuple(MEASURES),
        ),
        View(
            name="traces",
            dimensions=(
                *("id", "name", "tags", "userId", "sessionId", "environment"),
                *("release", "version", "timestampMonth"),
            ),
            measures=("latency", "totalCost", "totalTokens", "observationsCount", "scoresCount"),
        ),
        View(name="scores-numeric", dimensions=(*_SCORE_DIMENSIONS, "value"), measures=("value",)),
        View(
            name="scores-boolean",
            dimensions=(*_SCORE_DIMENSIONS, "value", "booleanValue"),
            measures=("value",),
        ),
        View(name="scores-categorical", dimensions=(*_SCORE_DIMENSIONS, "stringValue"), measures=()),
    )
}
_MOST_OBSERVATIONS = 10_000
_LESS = "narrow the times or the filters"
_MOST_SCORES = 50_000
_MOST_TRACES_OF_SCORES = 1000
_MILLI = Decimal(10**6)


def things(store: Store, query: Query) -> Iterator[Seen]:
    """Everything that a query covers, one by one.

    Raises:
        RequestError: a filter cannot be asked, or there is too much to look at; the message says so.
    """
    find: dict[str, Callable[[Store, Query], Iterator[Seen]]] = {
        "observations": _observations,
        "traces": _traces,
    }
    return find.get(query.view.name, _scores)(store, query)


def _observations(store: Store, query: Query) -> Iterator[Seen]:
    found = filter_of(query.filters)
    wanted = SpanFilter(
        project=query.project,
        since_ns=query.since_ns,
        until_ns=query.until_ns,
        conditions=found.conditions,
    )
    for row in every_span(store, wanted, most=_MOST_OBSERVATIONS, less=_LESS):
        shown = shapes.observation(row)
        if found.fits(shown):
            yield Seen(row.start_ns, _values_of(row, shown), _numbers_of(row))


def _values_of(row: SpanRow, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: shown.get(name) or None for name in STORED_DIMENSIONS},
        **{name: _plain(shown[column]) for name, column in _LOOKED_AT.items()},
        # As the store groups: by what it keeps, and not by the id that Langfuse 2 gave.
        "traceId": row.trace_id,
        "traceTags": row.tags,
        "startTimeMonth": _at(row.start_ns).strftime("%Y-%m"),
    }


def _numbers_of(row: SpanRow) -> dict[str, Decimal | float | None]:
    billed, usage = not row.unbilled, row.usage
    counts = [each for each in (usage.input_tokens, usage.output_tokens) if each is not None]
    return {
        "totalCost": row.cost if billed else None,
        "inputTokens": usage.input_tokens if billed else None,
        "outputTokens": usage.output_tokens if billed else None,
        "totalTokens": sum(counts) if billed and counts else None,
        "latency": max(row.end_ns - row.start_ns, 0) / _MILLI,
        "timeToFirstToken": None if row.first_token_ns is None else row.first_token_ns / _MILLI,
    }


def _traces(store: Store, query: Query) -> Iterator[Seen]:
    needed = {*query.dimensions, *(name for name, _ in query.measures)}
    deep = bool(needed & (IN_ITS_SPANS | {"observationsCount", "scoresCount"}))
    wanted = traces_of(query.filters, project=query.project, deep=deep)
    since, until = wanted.filter.since_ns, wanted.filter.until_ns
    wanted = replace(
        wanted,
        filter=replace(
            wanted.filter,
            since_ns=max((each for each in (since, query.since_ns) if each is not None), default=None),
            until_ns=min((each for each in (until, query.until_ns) if each is not None), default=None),
        ),
    )
    for summary, seen in TraceSearch(store).fitting(wanted):
        values = {name: _plain(seen.get(name)) for name in query.view.dimensions}
        values["timestampMonth"] = _at(summary.started_ns).strftime("%Y-%m")
        numbers = {
            "latency": summary.duration_ns / _MILLI,
            "totalCost": summary.cost,
            "totalTokens": seen["totalTokens"],
            "observationsCount": seen.get("observationsCount"),
            "scoresCount": seen.get("scoresCount"),
        }
        yield Seen(summary.started_ns, values, numbers)


def _scores(store: Store, query: Query) -> Iterator[Seen]:
    looks, of_traces = [], not {*query.dimensions}.isdisjoint(_OF_TRACES)
    for each in query.filters:
        said = condition_of(each, _IN_SCORES)
        looks.append(look_of(said, _IN_SCORES))
        of_traces |= said.column in _OF_TRACES
    traces = TracesOfScores(store, most=_MOST_TRACES_OF_SCORES)
    for kept in _every_score(store, query):
        values = _values_of_score(kept)
        if of_traces and (trace := traces.of(kept)) is not None:
            values |= {"traceName": trace.name or None, "tags": trace.tags, "userId": trace.user or None}
        if all(look({**values, "timestamp": kept.at_ns}) for look in looks):
            yield Seen(kept.at_ns, values, {"value": kept.value})


def _every_score(store: Store, query: Query) -> Iterator[Score]:
    wanted = ScoreFilter(
        project=query.project,
        data_types=_KINDS[query.view.name],
        since_ns=query.since_ns,
        until_ns=query.until_ns,
    )
    return every_score(store, wanted, most=_MOST_SCORES, less=_LESS)


def _values_of_score(kept: Score) -> dict[str, Any]:
    return {
        **dict.fromkeys(_OF_TRACES),
        **shapes.score(kept),
        "value": kept.value,
        "booleanValue": bool(kept.value) if kept.data_type == "BOOLEAN" else None,
        "timestampMonth": _at(kept.at_ns).strftime("%Y-%m"),
        "timestampDay": _at(kept.at_ns).strftime("%Y-%m-%d"),
    }


def _plain(value: Any) -> Any:
    """A value to group and sort by: an attribute may be anything where a text is expected."""
    if value is None or isinstance(value, (str, bool, tuple)) or type(value) is int:
        return value
    return str(value)


def _at(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // 10**9, UTC)
