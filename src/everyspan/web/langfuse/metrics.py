"""`GET /api/public/v2/metrics`, and what it was before: things by what they share, and what their measures come to.

Where the store can add up, it does. The rest is gathered here, up to so many things; beyond, a question is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from starlette.routing import Route

from everyspan.store.conditions import MOST_GROUPS, TIMES, Measured, Period, SpanField, SpanGroup, Sums
from everyspan.store.scores import SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint
from everyspan.web.langfuse.filters import filter_of
from everyspan.web.langfuse.gathered import aggregated, gather
from everyspan.web.langfuse.metrics_query import COUNT, HISTOGRAM, UNIQ, Query, read_query
from everyspan.web.langfuse.metrics_things import things, wanted_traces
from everyspan.web.langfuse.metrics_views import MEASURES, STORED_DIMENSIONS, STORED_OF_TRACES, UNIQUES, VIEWS
from everyspan.web.langfuse.summed import summed

_MILLI = Decimal(10**6)  # lengths of time are told in milliseconds
_AS_NUMBER: dict[str, Callable[[Measured], Decimal]] = {
    "count": lambda measured: Decimal(measured.count),
    "sum": lambda measured: measured.total,
    "avg": lambda measured: measured.total / measured.count,
    "max": lambda measured: measured.most,
    "min": lambda measured: measured.least,
}
_STORED: dict[str, dict[str, SpanField]] = {"observations": STORED_DIMENSIONS, "traces": STORED_OF_TRACES}
"""By view, the dimensions that the store groups by."""
_OF_NOTHING = {"count": 0.0, "sum": 0.0}
"""What is no unknown where there are no values."""

Row = dict[str, Any]


class Metrics:
    """The endpoint, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes: the current one, and the one that Langfuse 3's SDK asks."""
        answer = endpoint(self.metrics, takes=("query",))
        return [
            Route(path, answer, methods=["GET"]) for path in ("/api/public/v2/metrics", "/api/public/metrics")
        ]

    def metrics(self, asked: Asked) -> object:
        """A row for each combination of the dimensions, and each period when a time dimension is asked for."""
        query = read_query(asked.one("query"), asked.project, VIEWS)
        rows = list(self._added_up(query) if _by_the_store(query) else self._gathered(query))
        return {"data": _ordered(rows, query)[: query.limit]}

    def _added_up(self, query: Query) -> Iterator[Row]:
        known = _STORED[query.view.name]
        dimensions = [(name, known[name]) for name in query.dimensions]
        groups = self._of_traces(query) if query.view.name == "traces" else self._of_observations(query)
        if len(groups) >= MOST_GROUPS:
            raise RequestError(f"that is more than {MOST_GROUPS} rows; narrow the times or the dimensions")
        for group in groups:
            if _tells(query, [measured.count for measured in group.measured.values()]):
                values = [
                    _shown(field, each) for (_, field), each in zip(dimensions, group.values, strict=True)
                ]
                numbers = {f"{how}_{name}": _number(group, name, how) for name, how in query.measures}
                yield _row(query, values, group.period_s, numbers)

    def _of_observations(self, query: Query) -> list[SpanGroup]:
        dimensions = [(name, STORED_DIMENSIONS[name]) for name in query.dimensions]
        wanted = SpanFilter(
            project=query.project,
            since_ns=query.since_ns,
            until_ns=query.until_ns,
            conditions=filter_of(query.filters).conditions,
            only_observations=True,
            limit=0,
        )
        groups = summed(self._store, dimensions, query.measures, wanted, query.period)
        if groups is None:
            sums = _sums(query)
            return self._store.span_groups(
                sums.by, wanted, measures=sums.measures, each=sums.each, distinct=sums.distinct
            )
        return groups

    def _of_traces(self, query: Query) -> list[SpanGroup]:
        sums, wanted = _sums(query), wanted_traces(query).filter
        return self._store.trace_sums(
            sums.by, wanted, measures=sums.measures, each=sums.each, distinct=sums.distinct
        )

    def _gathered(self, query: Query) -> Iterator[Row]:
        for group in gather(things(self._store, query), query):
            if _tells(query, [len(numbers) for numbers in group.numbers.values()]):
                numbers = {
                    f"{how}_{name}": aggregated(group, name, how, query.bins) for name, how in query.measures
                }
                yield _row(query, group.values, group.period_s, numbers)


def _by_the_store(query: Query) -> bool:
    """Whether the store adds this up: observations and traces by its columns, in the aggregations that it has."""
    dimensions = _STORED.get(query.view.name)
    if dimensions is None or not dimensions.keys() >= {*query.dimensions}:
        return False
    if not all(_is_added_up(*measure) for measure in query.measures):
        return False
    if query.view.name == "traces":
        return wanted_traces(query).by_the_store
    return not filter_of(query.filters).looks


def _sums(query: Query) -> Sums:
    asked = dict.fromkeys(name for name, _ in query.measures)
    return Sums(
        by=[_STORED[query.view.name][name] for name in query.dimensions],
        measures=[MEASURES[name] for name in asked if name in MEASURES],
        each=query.period,
        distinct=[UNIQUES[name] for name in asked if name in UNIQUES],
    )


def _is_added_up(name: str, how: str) -> bool:
    if name in UNIQUES or name == COUNT:
        return True
    known = name in MEASURES and how not in (HISTOGRAM, UNIQ)
    return known and (how in _AS_NUMBER or MEASURES[name] in TIMES)


def _tells(query: Query, counts: list[int]) -> bool:
    """Whether a group says anything: how many there are, or at least one value."""
    counted = (COUNT, *query.view.uniques)
    return any(name in counted for name, _ in query.measures) or any(counts)


def _row(query: Query, values: Any, period_s: int, numbers: Mapping[str, Any]) -> Row:
    row: Row = dict(zip(query.dimensions, values, strict=True))
    if query.period is not None:
        row["time_dimension"] = _label(period_s, query.period)
    return {**row, **numbers}


def _shown(field: SpanField, value: str) -> str | None:
    if field is SpanField.KIND:
        return value.upper()
    return value or ("default" if field is SpanField.ENVIRONMENT else None)


def _label(at_s: int, period: Period) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    return at.strftime("%Y-%m-%dT%H:%MZ") if period in (Period.MINUTE, Period.HOUR) else at.date().isoformat()


def _number(group: SpanGroup, name: str, aggregation: str) -> float | None:
    if name == COUNT:
        return float(group.spans)
    if name in UNIQUES:
        return float(group.distinct[UNIQUES[name]])
    field = MEASURES[name]
    measured = group.measured[field]
    if not measured.count:
        return _OF_NOTHING.get(aggregation)
    if aggregation in _AS_NUMBER:
        found = _AS_NUMBER[aggregation](measured)
    else:
        found = Decimal(measured.quantiles[int(aggregation[1:])])
    return float(found / _MILLI if field in TIMES and aggregation != "count" else found)


def _ordered(rows: list[Row], query: Query) -> list[Row]:
    for name, largest_first in reversed(query.order):
        empty = [row for row in rows if row[name] is None]
        told = [row for row in rows if row[name] is not None]
        rows = [*sorted(told, key=_by(name), reverse=largest_first), *empty]
    return rows


def _by(name: str) -> Callable[[Row], Any]:
    # A version may be a number in one span and a text in the next.
    return lambda row: (isinstance(row[name], str), row[name])
