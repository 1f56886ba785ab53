"""Things gathered into groups one by one, for metrics that no store adds up by itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

from everyspan.store.conditions import MOST_GROUPS, Period
from everyspan.web.langfuse.exchange import RequestError
from everyspan.web.langfuse.metrics_query import COUNT, HISTOGRAM, UNIQ, Query

Number = Decimal | float


class Seen(NamedTuple):
    """One observation, trace or score."""

    at_ns: int
    values: Mapping[str, Any]
    """By dimension; a list puts it into a group for each of its values."""
    numbers: Mapping[str, Number | None]
    """By measure, in the units of the answer."""
    texts: Mapping[str, str | None] = {}
    """By measure that counts different values."""


class Gathered(NamedTuple):
    """A group of them."""

    values: tuple[Any, ...]
    period_s: int
    things: int
    numbers: Mapping[str, list[Number]]
    different: Mapping[str, set[str]]


def gather(things: Iterable[Seen], query: Query) -> list[Gathered]:
    """The groups of a query, in the order in which they are first seen.

    Raises:
        RequestError: there are more than anybody reads.
    """
    uniques = [name for name, _ in query.measures if name in query.view.uniques]
    names = [name for name, _ in query.measures if name not in (COUNT, *uniques)]
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    numbers: dict[tuple[Any, ...], dict[str, list[Number]]] = defaultdict(
        lambda: {name: [] for name in names}
    )
    different: dict[tuple[Any, ...], dict[str, set[str]]] = defaultdict(
        lambda: {name: set() for name in uniques}
    )
    for thing in things:
        period_s = began(thing.at_ns, query.period)
        for values in product(*(_several(thing.values[name]) for name in query.dimensions)):
            group = (period_s, *values)
            counts[group] += 1
            for name in numbers[group]:
                if (number := thing.numbers[name]) is not None:
                    numbers[group][name].append(number)
            for name in different[group]:
                if text := thing.texts[name]:
                    different[group][name].add(text)
        if len(counts) >= MOST_GROUPS:
            raise RequestError(f"that is more than {MOST_GROUPS} rows; narrow the times or the dimensions")
    return [
        Gathered(group[1:], group[0], count, numbers[group], different[group])
        for group, count in counts.items()
    ]


def _several(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(value)) or (None,)
    return (value,)


def began(at_ns: int, period: Period | None) -> int:
    """When the period began in which this is, in seconds since 1970; 0 without periods."""
    if period is None:
        return 0
    at = datetime.fromtimestamp(at_ns // 10**9, UTC).replace(second=0)
    if period is not Period.MINUTE:
        at = at.replace(minute=0)
    if period in (Period.DAY, Period.WEEK, Period.MONTH):
        at = at.replace(hour=0)
    if period is Period.WEEK:
        at -= timedelta(days=at.weekday())
    if period is Period.MONTH:
        at = at.replace(day=1)
    return int(at.timestamp())


def aggregated(group: Gathered, name: str, aggregation: str, bins: int) -> float | list[list[float]] | None:
    """What a measure comes to in a group."""
    if name == COUNT:
        return float(group.things)
    if name in group.different:
        return float(len(group.different[name]))
    found = sorted(group.numbers[name])
    if aggregation == "count":
        return float(len(found))
    if aggregation == UNIQ:
        return float(len(set(found)))
    if aggregation == HISTOGRAM:
        return _histogram([float(number) for number in found], bins)
    if not found:
        return 0.0 if aggregation == "sum" else None
    if aggregation in ("min", "max"):
        return float(found[0 if aggregation == "min" else -1])
    if aggregation in ("sum", "avg"):
        total = sum(found) if isinstance(found[0], Decimal) else math.fsum(found)
        return float(total / len(found) if aggregation == "avg" else total)
    # The nearest rank: the value that so many percent do not exceed.
    return float(found[math.ceil(int(aggregation[1:]) * len(found) / 100) - 1])


def _histogram(numbers: list[float], bins: int) -> list[list[float]]:
    """Lower and upper bound and height of bins of equal width, from the least value to the largest."""
    if not numbers:
        return []
    least, most = numbers[0], numbers[-1]
    if least == most:
        return [[least, most, float(len(numbers))]]
    edges = [least + (most - least) * number / bins for number in range(bins)] + [most]
    heights = [0.0] * bins
    for number in numbers:
        heights[min(int((number - least) / (most - least) * bins), bins - 1)] += 1
    return [[edges[number], edges[number + 1], heights[number]] for number in range(bins)]
