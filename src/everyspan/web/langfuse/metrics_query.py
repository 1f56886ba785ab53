"""The JSON of a question for metrics, checked: what is grouped, measured, narrowed and ordered, and over what time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from everyspan.store.conditions import PERCENTS, Period
from everyspan.web.langfuse.exchange import RequestError, ns_of

COUNT = "count"
"""The measure that every view has: how many there are."""
UNIQ = "uniq"
"""The aggregation that counts different values."""
HISTOGRAM = "histogram"
_PERCENTILES = tuple(f"p{percent}" for percent in PERCENTS)
_AGGREGATIONS = ("sum", "avg", "count", "max", "min", *_PERCENTILES, HISTOGRAM, UNIQ)
_OF_UNIQUES = (UNIQ, "count", "sum")
_BY_TIME = (("time_dimension", False),)
_MOST_ROWS = 1000
_MOST_DIMENSIONS = 5
_MOST_BINS = 100
_SECONDS = {Period.MINUTE: 60, Period.HOUR: 3600, Period.DAY: 86_400, Period.WEEK: 604_800}
_AUTO_BUCKETS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What can be asked of one kind of thing."""

    name: str
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    """Beside `count`."""
    uniques: tuple[str, ...] = ()
    """Measures that tell how many different values there are in a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is asked, checked but for the filters, whose columns depend on the view."""

    view: View
    project: str
    dimensions: tuple[str, ...]
    measures: tuple[tuple[str, str], ...]
    """Measure and aggregation."""
    filters: list[Any]
    since_ns: int | None
    until_ns: int | None
    period: Period | None
    order: tuple[tuple[str, bool], ...]
    """Columns of the answer, and whether the largest comes first."""
    limit: int
    bins: int


def read_query(said: str, project: str, views: Mapping[str, View]) -> Query:
    """What the JSON text of a query asks.

    Raises:
        RequestError: it is none, or names what its view has not; the message says which.
    """
    try:
        query = json.loads(said)
    except (ValueError, RecursionError):
        query = None
    if not isinstance(query, dict):
        raise RequestError("query takes a JSON object")
    view = views.get(str(query.get("view")))
    if view is None:
        raise RequestError(f"view is {str(query.get('view'))[:40]!r}; it takes one of {', '.join(views)}")
    since, until = (
        ns_of(query[name], name) if query.get(name) else None for name in ("fromTimestamp", "toTimestamp")
    )
    dimensions, measures = _dimensions(query, view), _measures(query, view)
    period = _period(query, since, until)
    columns = {*dimensions, *(f"{how}_{name}" for name, how in measures)}
    return Query(
        view=view,
        project=project,
        dimensions=dimensions,
        measures=measures,
        filters=_objects(query, "filters"),
        since_ns=since,
        until_ns=until,
        period=period,
        order=_order(query, columns | ({"time_dimension"} if period else set()))
        or (_BY_TIME if period else _by_the_first(measures)),
        limit=_config(query, "row_limit", default=100, most=_MOST_ROWS),
        bins=_config(query, "bins", default=10, most=_MOST_BINS),
    )


def _dimensions(query: Mapping[str, Any], view: View) -> tuple[str, ...]:
    names = [str(each.get("field")) for each in _objects(query, "dimensions")]
    for name in names:
        if name not in view.dimensions:
            known = ", ".join(view.dimensions)
            raise RequestError(f"{view.name} cannot be grouped by {name[:40]!r}; dimensions are {known}")
    if len(set(names)) != len(names) or len(names) > _MOST_DIMENSIONS:
        raise RequestError(f"dimensions takes up to {_MOST_DIMENSIONS} different ones")
    return tuple(names)


def _measures(query: Mapping[str, Any], view: View) -> tuple[tuple[str, str], ...]:
    found = []
    for each in _objects(query, "metrics"):
        measure, aggregation = str(each.get("measure")), str(each.get("aggregation"))
        if measure not in (COUNT, *view.measures, *view.uniques):
            known = ", ".join((COUNT, *view.measures, *view.uniques))
            raise RequestError(f"{view.name} has no measure {measure[:40]!r}; there are {known}")
        if aggregation not in _AGGREGATIONS:
            raise RequestError(f"aggregation is {aggregation[:40]!r}; it takes {', '.join(_AGGREGATIONS)}")
        if measure == COUNT and aggregation in (*_PERCENTILES, HISTOGRAM, UNIQ):
            raise RequestError(f"{aggregation} takes a measure that has values, not {COUNT}")
        if measure in view.uniques and aggregation not in _OF_UNIQUES:
            raise RequestError(
                f"{measure} counts different values, for which there is no {aggregation};"
                f" it takes {', '.join(_OF_UNIQUES)}"
            )
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


def _by_the_first(measures: tuple[tuple[str, str], ...]) -> tuple[tuple[str, bool], ...]:
    """As Langfuse orders what nobody ordered: what matters stands among the first rows."""
    name, how = measures[0]
    return () if how == HISTOGRAM else ((f"{how}_{name}", True),)


def _config(query: Mapping[str, Any], name: str, *, default: int, most: int) -> int:
    config = query.get("config")
    said = config.get(name) if isinstance(config, dict) else None
    if said is None:
        return default
    if not isinstance(said, int) or isinstance(said, bool) or said < 1:
        raise RequestError(f"{name} is {str(said)[:40]!r}; it takes a whole number from 1 to {most}")
    return min(said, most)
