"""The observations, traces and scores that a question for metrics covers, one by one, for what no store adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter, SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.filters import filter_of
from everyspan.web.langfuse.gathered import Seen
from everyspan.web.langfuse.judged import Observed, Released, portions, with_counts
from everyspan.web.langfuse.looks import Columns, condition_of, look_of
from everyspan.web.langfuse.metrics_query import Query
from everyspan.web.langfuse.metrics_views import (
    KINDS,
    LOOKED_AT,
    OF_OBSERVATIONS,
    OF_SPANS_OF_TRACES,
    OF_TRACES,
    SIDES,
    STORED_DIMENSIONS,
)
from everyspan.web.langfuse.observations import every_span
from everyspan.web.langfuse.paid import cost_details, side
from everyspan.web.langfuse.score_lists import SCORE, TracesOfScores, every_score
from everyspan.web.langfuse.trace_filters import IN_ITS_SPANS, Wanted, traces_of
from everyspan.web.langfuse.trace_search import TraceSearch

_IN_SCORES = Columns(
    names=(
        *(*SCORE.names, *OF_TRACES, *OF_SPANS_OF_TRACES, *OF_OBSERVATIONS),
        *("stringValue", "booleanValue"),
    ),
    numbers=SCORE.numbers | {"observationPromptVersion"},
    times=SCORE.times,
    lists=frozenset({"tags"}),
)
_MOST_OBSERVATIONS = 10_000
_LESS = "narrow the times or the filters"
_MOST_SCORES = 50_000
_MOST_TRACES_OF_SCORES = 1000
_MILLI = Decimal(10**6)
_NANO = 10**9


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
        only_observations=True,
    )
    asked = {name for name, _ in query.measures}
    for rows in portions(every_span(store, wanted, most=_MOST_OBSERVATIONS, less=_LESS)):
        counted = with_counts(store, rows) if "countScores" in asked else ((row, 0) for row in rows)
        for row, scores in counted:
            shown = shapes.observation(row)
            if found.fits(shown):
                numbers = {**_numbers_of(row), "countScores": Decimal(scores)}
                if not asked.isdisjoint(SIDES):
                    paid = cost_details(row, shapes.own_attributes(row))
                    numbers |= {name: side(paid, each) for name, each in SIDES.items()}
                yield Seen(row.start_ns, _values_of(row, shown), numbers, _texts_of(row))


def _values_of(row: SpanRow, shown: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: shown.get(name) or None for name in STORED_DIMENSIONS},
        **{name: _plain(shown[column]) for name, column in LOOKED_AT.items()},
        # As the store groups: by what it keeps, and not by the id that Langfuse 2 gave.
        "traceId": row.trace_id,
        "traceTags": row.tags,
        "startTimeMonth": _at(row.start_ns).strftime("%Y-%m"),
    }


def _texts_of(row: SpanRow) -> dict[str, str | None]:
    return {"traceId": row.trace_id, "uniqueUserIds": row.user, "uniqueSessionIds": row.session}


def _numbers_of(row: SpanRow) -> dict[str, Decimal | float | None]:
    billed, usage = not row.unbilled, row.usage
    counts = [each for each in (usage.input_tokens, usage.output_tokens) if each is not None]
    total = sum(counts) if billed and counts else None
    outputs = usage.output_tokens if billed else None
    length_ns = max(row.end_ns - row.start_ns, 0)
    first_ns = row.first_token_ns
    streamed_ns = None if first_ns is None else max(row.end_ns - row.start_ns - first_ns, 0)
    return {
        "totalCost": row.cost if billed else None,
        "inputTokens": usage.input_tokens if billed else None,
        "outputTokens": outputs,
        "totalTokens": total,
        "latency": length_ns / _MILLI,
        "timeToFirstToken": None if first_ns is None else first_ns / _MILLI,
        "streamingLatency": None if streamed_ns is None else streamed_ns / _MILLI,
        "tokensPerSecond": _a_second(total, length_ns),
        "outputTokensPerSecond": _a_second(outputs, streamed_ns),
    }


def _a_second(tokens: int | None, length_ns: int | None) -> float | None:
    return tokens * _NANO / length_ns if tokens is not None and length_ns else None


def wanted_traces(query: Query) -> Wanted:
    """Which traces a query covers.

    Raises:
        RequestError: a filter cannot be asked.
    """
    needed = {*query.dimensions, *(name for name, _ in query.measures)}
    deep = bool(needed & (IN_ITS_SPANS | {"observationsCount", "scoresCount"}))
    wanted = traces_of(query.filters, project=query.project, deep=deep)
    since, until = wanted.filter.since_ns, wanted.filter.until_ns
    return replace(
        wanted,
        filter=replace(
            wanted.filter,
            since_ns=max((each for each in (since, query.since_ns) if each is not None), default=None),
            until_ns=min((each for each in (until, query.until_ns) if each is not None), default=None),
        ),
    )


def _traces(store: Store, query: Query) -> Iterator[Seen]:
    for summary, seen in TraceSearch(store).fitting(wanted_traces(query)):
        values = {name: _plain(seen.get(name)) for name in query.view.dimensions}
        values["timestampMonth"] = _at(summary.started_ns).strftime("%Y-%m")
        numbers = {
            "latency": summary.duration_ns / _MILLI,
            "totalCost": summary.cost,
            "totalTokens": seen["totalTokens"],
            "observationsCount": seen.get("observationsCount"),
            "scoresCount": seen.get("scoresCount"),
        }
        texts = {"uniqueUserIds": summary.user, "uniqueSessionIds": summary.session}
        yield Seen(summary.started_ns, values, numbers, texts)


def _scores(store: Store, query: Query) -> Iterator[Seen]:
    said = [condition_of(each, _IN_SCORES) for each in query.filters]
    looks = [look_of(each, _IN_SCORES) for each in said]
    needed = {*query.dimensions, *(each.column for each in said)}
    about = _About(store, needed)
    for some in portions(_every_score(store, query)):
        for kept, values in about.of(some):
            if all(look({**values, "timestamp": kept.at_ns}) for look in looks):
                yield Seen(kept.at_ns, values, {"value": kept.value})


class _About:
    """Scores with what a query needs of what they judge."""

    def __init__(self, store: Store, needed: set[str]) -> None:
        self._traces = TracesOfScores(store, most=_MOST_TRACES_OF_SCORES)
        self._of_traces = not needed.isdisjoint(OF_TRACES)
        self._released = None if needed.isdisjoint(OF_SPANS_OF_TRACES) else Released(store)
        self._observed = None if needed.isdisjoint(OF_OBSERVATIONS) else Observed(store)

    def of(self, scores: Sequence[Score]) -> Iterator[tuple[Score, dict[str, Any]]]:
        observed = self._observed.of(scores) if self._observed else ({} for _ in scores)
        for kept, judged in zip(scores, observed, strict=True):
            values = {**_values_of_score(kept), **judged}
            if self._of_traces and (trace := self._traces.of(kept)) is not None:
                values |= {
                    "traceName": trace.name or None,
                    "tags": trace.tags,
                    "userId": trace.user or None,
                }
            if self._released:
                values |= {name: _plain(each) for name, each in self._released.of(kept).items()}
            yield kept, values


def _every_score(store: Store, query: Query) -> Iterator[Score]:
    wanted = ScoreFilter(
        project=query.project,
        data_types=KINDS[query.view.name],
        since_ns=query.since_ns,
        until_ns=query.until_ns,
    )
    return every_score(store, wanted, most=_MOST_SCORES, less=_LESS)


def _values_of_score(kept: Score) -> dict[str, Any]:
    return {
        **dict.fromkeys(OF_TRACES),
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
