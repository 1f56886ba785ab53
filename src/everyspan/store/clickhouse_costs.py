"""Costs and latencies, as SQL for ClickHouse: added up from the calls when they are asked for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from everyspan.model.money import CostState
from everyspan.store import exact
from everyspan.store.clickhouse_columns import TOKENS, Ask, money
from everyspan.store.clickhouse_repriced import calls_at
from everyspan.store.clickhouse_where import Bound, Where
from everyspan.store.groups import Each, LatencyBy, LatencyFilter, LatencyGroup, Quantiles
from everyspan.store.periods import label
from everyspan.store.reads import STANDARD_TIERS, UNBILLED, CostBy, CostFilter, CostGroup
from everyspan.store.rows import INTERRUPTED

_TAG = "arrayJoin(if(empty(tags), [''], arrayDistinct(tags)))"
# ClickHouse takes the element at floor(level * count). A hair less gives the nearest rank also where the product is
# a whole number.
_NO_TIER = ", ".join(f"'{name}'" for name in STANDARD_TIERS)
_SAID_TIER = "JSONExtractString(usage_rest, 'service_tier')"
_OF_TIER = f"{_SAID_TIER} IN ({_NO_TIER}), 'standard', {_SAID_TIER}"
_TIER = f"multiIf(JSONExtractBool(usage_rest, 'batch'), 'batch', {_OF_TIER})"
_LEVELS = ", ".join(f"{percent / 100 - 1e-9:.9f}" for percent in (50, 90, 95, 99))
_PERIODS = {Each.HOUR: "hour", Each.DAY: "intDiv(hour, 24)", None: "0"}


def cost_groups(ask: Ask, by: CostBy, wanted: CostFilter, each: Each | None) -> list[CostGroup]:
    """See `Store.cost_groups`."""
    bound = Bound()
    where, of_tag = Where(bound), Where(bound)
    of_tag.equal(tier=wanted.tier)
    where.add("state != ''")
    names = ("project", "key_id", "service", "model", "provider", "user", "session", "environment")
    where.equal(**{name: getattr(wanted, name) for name in names})
    where.between("start_ns", wanted.since_ns, wanted.until_ns)
    of_tag.equal(tag=wanted.tag)
    by_tag = by is CostBy.TAG or bool(wanted.tag)
    value = _PERIODS[Each(by.value)] if by in (CostBy.DAY, CostBy.HOUR) else f"toString({by.value})"
    sums = ", ".join(f"sum(ifNull({name}, 0))" for name in TOKENS)
    rows = ask(
        f"SELECT {value} AS value, {_PERIODS[each]} AS period, toString(state) AS how, count(), sum(cost), {sums}"
        f" FROM (SELECT *, hour, state, {_TAG if by_tag else repr('')} AS tag, {_TIER} AS tier"
        f" FROM {calls_at(wanted.prices)} WHERE {where}) WHERE {of_tag}"
        " GROUP BY value, period, how ORDER BY value, period, how",
        bound.values,
    )
    groups: dict[tuple[Any, int], list[Any]] = defaultdict(list)
    for value, period, *row in rows:
        groups[value, period].append(row)
    return [
        _group(
            label(value, Each(by.value)) if by in (CostBy.DAY, CostBy.HOUR) else value,
            label(period, each) if each else "",
            found,
        )
        for (value, period), found in groups.items()
    ]


def _group(value: str, period: str, rows: list[Any]) -> CostGroup:
    billed = [row for row in rows if row[0] != UNBILLED]
    cost = None
    for row in billed:
        cost = exact.add(cost, money(row[2]))
    return CostGroup(
        value=value,
        period=period,
        calls=sum(row[1] for row in billed),
        cost=cost,
        states={CostState(row[0]): row[1] for row in billed},
        unbilled=sum(row[1] for row in rows if row[0] == UNBILLED),
        **{name: sum(row[index] for row in billed) for index, name in enumerate(TOKENS, start=3)},
    )


def latency_groups(ask: Ask, by: LatencyBy, wanted: LatencyFilter, each: Each | None) -> list[LatencyGroup]:
    """See `Store.latency_groups`. The quantiles are exact here."""
    bound = Bound()
    where = Where(bound)
    where.add(f"state NOT IN ('', '{UNBILLED}')")
    names = ("project", "service", "model", "provider", "environment")
    where.equal(**{name: getattr(wanted, name) for name in names})
    where.between("start_ns", wanted.since_ns, wanted.until_ns)
    known = f"end != '{INTERRUPTED}'"
    rows = ask(
        f"SELECT toString({by.value}) AS value, {_PERIODS[each]} AS period, count(), countIf(status = 'error'),"
        f" countIf({known}), quantilesExactIf({_LEVELS})(greatest(end_ns - start_ns, 0), {known}),"
        f" count(first_token_ns), quantilesExactIf({_LEVELS})(greatest(ifNull(first_token_ns, 0), 0),"
        f" first_token_ns IS NOT NULL)"
        f" FROM spans WHERE {where} GROUP BY value, period ORDER BY value, period",
        bound.values,
    )
    return [
        LatencyGroup(
            value=value,
            period=label(period, each) if each else "",
            calls=calls,
            errors=errors,
            duration=_quantiles(timed, durations),
            first_token=_quantiles(told, first_tokens),
        )
        for value, period, calls, errors, timed, durations, told, first_tokens in rows
    ]


def _quantiles(count: int, found: list[int]) -> Quantiles:
    if not count:
        return Quantiles()
    p50, p90, p95, p99 = map(int, found)
    return Quantiles(count=count, p50_ns=p50, p90_ns=p90, p95_ns=p95, p99_ns=p99)
