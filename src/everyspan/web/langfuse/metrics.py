"""`GET /api/public/v2/metrics`: observations by what they share, and what their measures come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

from starlette.routing import Route

from everyspan.store.conditions import (
    MOST_GROUPS,
    NUMBERS,
    PERCENTS,
    TIMES,
    Measured,
    Period,
    SpanField,
    SpanGroup,
)
from everyspan.store.scores import SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, ns_of
from everyspan.web.langfuse.filters import COLUMNS, filter_of
from everyspan.web.langfuse.summed import summed

_DIMENSIONS = {
    name: field
    for name, field in COLUMNS.items()
    if field not in NUMBERS and field not in (SpanField.SPAN_ID, SpanField.PARENT_ID)
}
MEASURES = {
    "totalCost": SpanField.COST,
    "inputTokens": SpanField.INPUT_TOKENS,
    "outputTokens": SpanField.OUTPUT_TOKENS,
    "totalTokens": SpanField.TOTAL_TOKENS,
    "latency": SpanField.DURATION,
    "timeToFirstToken": SpanField.FIRST_TOKEN,
}
_AGGREGATIONS = ("sum", "avg", "count", "max", "min", *(f"p{percent}" for percent in PERCENTS))
_MILLI = Decimal(10**6)  # lengths of time are told in milliseconds
_MOST_ROWS = 1000
_MOST_DIMENSIONS = 5
_SECONDS = {Period.MINUTE: 60, Period.HOUR: 3600, Period.DAY: 86_400, Period.WEEK: 604_800}
_AUTO_BUCKETS = 50


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked, checked."""

    dimensions: tuple[tuple[str, SpanField], ...]
    measures: tuple[tuple[str, str], ...]
    """Measure and aggregation; `count` of `count` is how many observations there are."""
    wanted: SpanFilter
    period: Period | None
    order: tuple[tuple[str, bool], ...]
    """Columns of the answer, and whether the largest comes first."""
    limit: int

    @property
    def fields(self) -> tuple[SpanField, ...]:
        """The numbers that are needed, each once."""
        return tuple(dict.fromkeys(MEASURES[name] for name, _ in self.measures if name in MEASURES))


class Metrics:
    """The endpoint, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/api/public/v2/metrics", endpoint(self.metrics), methods=["GET"])]

    def metrics(self, asked: Asked) -> object:
        """A row for each combination of the dimensions, and each period when a time dimension is asked for."""
        query = _query(asked.one("query"), asked.project)
        groups = summed(self._store, query.dimensions, query.measures, query.wanted, query.period)
        if groups is None:
            by = [field for _, field in query.dimensions]
            groups = self._store.span_groups(by, query.wanted, measures=query.fields, each=query.period)
            if len(groups) >= MOST_GROUPS:
                raise RequestError(
                    f"that is more than {MOST_GROUPS} rows; narrow the times or the dimensions"
                )
        rows = list(_rows(groups, query))
        return {"data": _ordered(rows, query)[: query.limit]}


def _rows(groups: list[SpanGroup], query: Query) -> Iterator[dict[str, Any]]:
    counted = any(name == "count" for name, _ in query.measures)
    for group in groups:
        if not counted and not any(measured.count for measured in group.measured.values()):
            continue
        row: dict[str, Any] = {
            name: _shown(field, value)
            for (name, field), value in zip(query.dimensions, group.values, strict=True)
        }
        if query.period is not None:
            row["time_dimension"] = _label(group.period_s, query.period)
        for name, aggregation in query.measures:
            row[f"{aggregation}_{name}"] = _value(group, name, aggregation)
        yield row


def _shown(field: SpanField, value: str) -> str | None:
    if field is SpanField.KIND:
        return value.upper()
    return value or ("default" if field is SpanField.ENVIRONMENT else None)


def _label(at_s: int, period: Period) -> str:
    at = datetime.fromtimestamp(at_s, UTC)
    return at.strftime("%Y-%m-%dT%H:%MZ") if period in (Period.MINUTE, Period.HOUR) else at.date().isoformat()


def _value(group: SpanGroup, name: str, aggregation: str) -> float | None:
    if name == "count":
        return float(group.spans)
    field = MEASURES[name]
    measured = group.measured[field]
    if aggregation == "count":
        return float(measured.count)
    if not measured.count:
        return 0.0 if aggregation == "sum" else None
    found = (
        _AS_NUMBER[aggregation](measured)
        if aggregation in _AS_NUMBER
        else (Decimal(measured.quantiles[int(aggregation[1:])]))
    )
    return float(found / _MILLI if field in TIMES else found)


_AS_NUMBER: dict[str, Callable[[Measured], Decimal]] = {
    "sum": lambda measured: measured.total,
    "avg": lambda measured: measured.total / measured.count,
    "max": lambda measured: measured.most,
    "min": lambda measured: measured.least,
}


def _query(said: str, project: str) -> Query:
    try:
        query = json.loads(said)
    except (ValueError, RecursionError):
        query = None
    if not isinstance(query, dict):
        raise RequestError("query takes a JSON object")
    if query.get("view") != "observations":
        raise RequestError(
            f"view is {str(query.get('view'))[:40]!r}; only observations can be asked for here"
        )
    since, until = (
        ns_of(query[name], name) if query.get(name) else None for name in ("fromTimestamp", "toTimestamp")
    )
    found = filter_of(_objects(query, "filters"))
    if found.looks:
        raise RequestError(f"filters of metrics take {', '.join(COLUMNS)}")
    dimensions, measures = _dimensions(query), _measures(query)
    period = _period(query, since, until)
    columns = {*(name for name, _ in dimensions), *(f"{how}_{name}" for name, how in measures)}
    return Query(
        dimensions=dimensions,
        measures=measures,
        wanted=SpanFilter(
            project=project, since_ns=since, until_ns=until, conditions=found.conditions, limit=0
        ),
        period=period,
        order=_order(query, columns | ({"time_dimension"} if period else set())),
        limit=_limit(query),
    )


def _dimensions(query: Mapping[str, Any]) -> tuple[tuple[str, SpanField], ...]:
    names = [str(each.get("field")) for each in _objects(query, "dimensions")]
    unknown = [name for name in names if name not in _DIMENSIONS]
    if unknown or len(set(names)) != len(names) or len(names) > _MOST_DIMENSIONS:
        raise RequestError(
            f"dimensions takes up to {_MOST_DIMENSIONS} different ones of {', '.join(_DIMENSIONS)}"
        )
    return tuple((name, _DIMENSIONS[name]) for name in names)


def _measures(query: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = []
    for each in _objects(query, "metrics"):
        measure, aggregation = str(each.get("measure")), str(each.get("aggregation"))
        if measure not in ("count", *MEASURES) or aggregation not in _AGGREGATIONS:
            raise RequestError(f"metrics takes {', '.join(_AGGREGATIONS)} of count, {', '.join(MEASURES)}")
        if aggregation.startswith("p") and MEASURES.get(measure) not in TIMES:
            raise RequestError(f"{aggregation} can be asked of latency and timeToFirstToken only")
        found.append((measure, aggregation))
    if not found:
        raise RequestError("metrics takes at least one measure with its aggregation")
    return tuple(dict.fromkeys(found))


def _period(query: Mapping[str, Any], since: int | None, until: int | None) -> Period | None:
    time = query.get("timeDimension")
    if not time:
        return None
    said = time.get("granularity") if isinstance(time, dict) else None
    if said == "auto":
        length_s = ((until or 0) - (since or 0)) / 10**9
        fitting = [period for period, each_s in _SECONDS.items() if length_s / each_s <= _AUTO_BUCKETS]
        return fitting[0] if fitting and since and until else Period.MONTH if since and until else Period.DAY
    if said not in set(Period):
        raise RequestError(f"timeDimension takes a granularity of auto, {', '.join(Period)}")
    return Period(said)


def _objects(query: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = query.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise RequestError(f"{name} takes a list of objects")
    return found


def _order(query: Mapping[str, Any], columns: set[str]) -> tuple[tuple[str, bool], ...]:
    order = [(str(each.get("field")), each.get("direction") == "desc") for each in _objects(query, "orderBy")]
    for name, _ in order:
        if name not in columns:
            raise RequestError(f"orderBy is {name[:40]!r}, which is no column of the answer")
    return tuple(order)


def _ordered(rows: list[dict[str, Any]], query: Query) -> list[dict[str, Any]]:
    for name, largest_first in reversed(query.order):
        empty = [row for row in rows if row[name] is None]
        told = [row for row in rows if row[name] is not None]
        rows = [*sorted(told, key=itemgetter(name), reverse=largest_first), *empty]
    return rows


def _limit(query: Mapping[str, Any]) -> int:
    config = query.get("config")
    said = config.get("row_limit") if isinstance(config, dict) else None
    return min(said, _MOST_ROWS) if isinstance(said, int) and said > 0 else 100
