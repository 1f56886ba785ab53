"""`GET /api/public/v2/metrics`: sums over model calls, from the roll-ups."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from operator import itemgetter
from typing import Any

from starlette.routing import Route

from everyspan.store.groups import Each
from everyspan.store.reads import CostBy, CostFilter, CostGroup
from everyspan.store.store import Store
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, ns_of

_DIMENSIONS = {
    "providedModelName": CostBy.MODEL,
    "model": CostBy.MODEL,
    "userId": CostBy.USER,
    "sessionId": CostBy.SESSION,
    "environment": CostBy.ENVIRONMENT,
    "tags": CostBy.TAG,
}
_FILTERS = {
    "providedModelName": "model",
    "model": "model",
    "userId": "user",
    "sessionId": "session",
    "environment": "environment",
    "tags": "tag",
}
_GRANULARITIES = {"hour": Each.HOUR, "day": Each.DAY, "auto": Each.DAY}
_MEASURES: dict[str, Callable[[CostGroup], Decimal]] = {
    "count": lambda group: Decimal(group.calls),
    "totalCost": lambda group: group.cost or Decimal(0),
    "inputTokens": lambda group: Decimal(group.input_tokens),
    "outputTokens": lambda group: Decimal(group.output_tokens),
    "totalTokens": lambda group: Decimal(group.input_tokens + group.output_tokens),
}
_MOST_ROWS = 1000


class Metrics:
    """The endpoint, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/api/public/v2/metrics", endpoint(self.metrics), methods=["GET"])]

    def metrics(self, asked: Asked) -> object:
        """Rows of one dimension, one row for each period when a time dimension is asked for."""
        query = _query(asked.one("query"))
        dimension, by = _dimension(query)
        time = query.get("timeDimension")
        granularity = time.get("granularity") if isinstance(time, dict) else None
        if time and granularity not in _GRANULARITIES:
            raise RequestError(f"timeDimension takes a granularity of {', '.join(_GRANULARITIES)}")
        wanted = _wanted(query, asked.project)
        groups = self._store.cost_groups(
            by, wanted, each=_GRANULARITIES[granularity] if granularity else None
        )
        measures = _measures(query)
        rows = []
        for group in groups:
            if not group.calls:
                continue
            row: dict[str, Any] = {} if dimension is None else {dimension: group.value or None}
            row |= {"time_dimension": group.period} if granularity else {}
            rows.append(row | {name: float(measure(group)) for name, measure in measures.items()})
        return {"data": _ordered(rows, query)[: _limit(query)]}


def _query(said: str) -> dict[str, Any]:
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
    return query


def _dimension(query: Mapping[str, Any]) -> tuple[str | None, CostBy]:
    fields = [str(each.get("field")) for each in _objects(query, "dimensions")]
    if not fields:
        return None, CostBy.PROJECT
    if len(fields) > 1 or fields[0] not in _DIMENSIONS:
        raise RequestError(f"dimensions takes one of {', '.join(_DIMENSIONS)}")
    return fields[0], _DIMENSIONS[fields[0]]


def _measures(query: Mapping[str, Any]) -> dict[str, Callable[[CostGroup], Decimal]]:
    found: dict[str, Callable[[CostGroup], Decimal]] = {}
    for each in _objects(query, "metrics"):
        measure, aggregation = str(each.get("measure")), str(each.get("aggregation"))
        of = _MEASURES.get(measure)
        if of is None or aggregation not in ("sum", "count", "avg"):
            raise RequestError(f"metrics takes sum, avg or count of {', '.join(_MEASURES)}")
        if aggregation == "count":
            of = _MEASURES["count"]
        elif aggregation == "avg":
            of = _mean(of)
        found[f"{aggregation}_{measure}"] = of
    if not found:
        raise RequestError("metrics takes at least one measure with its aggregation")
    return found


def _mean(of: Callable[[CostGroup], Decimal]) -> Callable[[CostGroup], Decimal]:
    return lambda group: of(group) / group.calls


def _wanted(query: Mapping[str, Any], project: str) -> CostFilter:
    since, until = query.get("fromTimestamp"), query.get("toTimestamp")
    wanted = CostFilter(
        project=project,
        since_ns=ns_of(since, "fromTimestamp") if since else None,
        until_ns=ns_of(until, "toTimestamp") if until else None,
    )
    for each in _objects(query, "filters"):
        column, operator, value = each.get("column"), each.get("operator"), each.get("value")
        if column not in _FILTERS or operator != "=" or not isinstance(value, str) or not value:
            raise RequestError(f"filters takes operator = and a text for one of {', '.join(_FILTERS)}")
        named: dict[str, Any] = {_FILTERS[column]: value}
        wanted = replace(wanted, **named)
    return wanted


def _objects(query: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = query.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise RequestError(f"{name} takes a list of objects")
    return found


def _ordered(rows: list[dict[str, Any]], query: Mapping[str, Any]) -> list[dict[str, Any]]:
    for order in reversed(_objects(query, "orderBy")):
        name = str(order.get("field"))
        if any(name not in row for row in rows):
            raise RequestError(f"orderBy is {name[:40]!r}, which is no column of the answer")
        empty = [row for row in rows if row[name] is None]
        rows = sorted(
            (row for row in rows if row[name] is not None),
            key=itemgetter(name),
            reverse=order.get("direction") == "desc",
        )
        rows += empty
    return rows


def _limit(query: Mapping[str, Any]) -> int:
    config = query.get("config")
    said = config.get("row_limit") if isinstance(config, dict) else None
    return min(said, _MOST_ROWS) if isinstance(said, int) and said > 0 else 100
