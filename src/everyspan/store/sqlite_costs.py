"""Roll-ups of cost, written and read: the same calls, divided in several ways.

By hour or day and what there is little of, by day and user, session and key, by day and tag: each question is answered
from the coarsest table that can, and one that none can from the calls themselves.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from everyspan.model.money import CostState
from everyspan.store import exact
from everyspan.store.groups import Each
from everyspan.store.periods import LENGTH_NS, label, whole_and_edges
from everyspan.store.reads import UNBILLED, CostBy, CostFilter, CostGroup, Prices
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import TOKENS
from everyspan.store.sqlite_repriced import TIER, corrections
from everyspan.store.sqlite_where import Where
from everyspan.store.summary import call_state

COARSE = ("project", "service", "environment", "model", "provider")
"""What there are few values of."""

_FINEST = (*COARSE, "user", "session", "key_id")
"""By these and the tags calls are told apart; each roll-up takes so many from the left."""

_SUMS = ("calls", "priced", *TOKENS)
_STATE = f"CASE WHEN unbilled != '' THEN '{UNBILLED}' ELSE cost_state END"
_ONE = f"1 AS calls, cost IS NOT NULL AS priced, {', '.join(f'coalesce({name}, 0) AS {name}' for name in TOKENS)}, cost"
_TAGS = "json_each(CASE tags WHEN '[]' THEN '[\"\"]' ELSE tags END)"


@dataclass(frozen=True)
class _Rollup:
    """One table of sums, the length of its periods, and the fields of a span by which it is divided."""

    table: str
    each: Each
    of_span: tuple[str, ...]
    by_tag: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        return (*self.of_span, "tag") if self.by_tag else self.of_span

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.each.value, "state", *self.fields)

    def put(self) -> str:
        """The statement that adds to a row, or takes away."""
        return (
            f"INSERT INTO {self.table} ({', '.join((*self.keys, *_SUMS, 'cost'))}) "
            f"VALUES ({', '.join('?' * (len(self.keys) + len(_SUMS) + 1))}) "
            f"ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET "
            + ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
            + ", cost = CASE WHEN priced + excluded.priced = 0 THEN NULL ELSE add_text(cost, excluded.cost) END"
        )


_HOURLY = _Rollup("costs", Each.HOUR, COARSE)
_DAILY = _Rollup("costs_by_day", Each.DAY, COARSE)
_finest = attrgetter(*_FINEST)
_tokens = attrgetter(*TOKENS)
_ROLLUPS = (
    _DAILY,
    _HOURLY,
    _Rollup("costs_by_tag", Each.DAY, COARSE, by_tag=True),
    _Rollup("costs_by_session", Each.DAY, _FINEST),
)


def add_costs(connection: sqlite3.Connection, come: Sequence[SpanRow], gone: Sequence[SpanRow] = ()) -> None:
    """Count rows that are new, and no longer count rows that are gone, inside the caller's transaction."""
    calls = _added_up(come, gone)
    for rollup in _ROLLUPS:
        groups = _coarser(calls, rollup)
        connection.executemany(
            rollup.put(), ((*key, *group[:-1], exact.to_text(group[-1])) for key, group in groups.items())
        )
        if gone:
            connection.executemany(
                f"DELETE FROM {rollup.table} WHERE calls = 0 AND "
                + " AND ".join(f"{name} = ?" for name in rollup.keys),
                groups,
            )


_Groups = dict[tuple[Any, ...], list[Any]]
"""By key the sums, in the order of `_SUMS`, and the cost behind them."""


def _no_sums() -> list[Any]:
    return [0] * len(_SUMS) + [None]


def _added_up(come: Iterable[SpanRow], gone: Iterable[SpanRow]) -> _Groups:
    """Calls that no roll-up tells apart, added up: their keys are an hour, `_FINEST` and the tags."""
    # Adding up first only saves statements and time: every sum is a plain addition.
    groups: _Groups = defaultdict(_no_sums)
    hour_ns = LENGTH_NS[Each.HOUR]
    for rows, sign, combine in ((come, 1, exact.add), (gone, -1, exact.subtract)):
        for row in rows:
            state = call_state(row)
            if state is None:
                continue
            group = groups[row.start_ns // hour_ns, state, *_finest(row), row.tags]
            group[0] += sign
            for index, count in enumerate(_tokens(row.usage), start=2):
                if count:
                    group[index] += sign * count
            if row.cost is not None:
                group[1] += sign
                group[-1] = combine(group[-1], row.cost)
    return groups


def _coarser(calls: _Groups, rollup: _Rollup) -> _Groups:
    """The same calls in the groups of one roll-up."""
    groups: _Groups = defaultdict(_no_sums)
    hours = LENGTH_NS[rollup.each] // LENGTH_NS[Each.HOUR]
    fields = 2 + len(rollup.of_span)
    for (hour, *values), sums in calls.items():
        key = (hour // hours, *values[: fields - 1])
        tags = values[-1]
        for whole_key in ((*key, tag) for tag in set(tags) or ("",)) if rollup.by_tag else (key,):
            group = groups[whole_key]
            for index, count in enumerate(sums[:-1]):
                group[index] += count
            group[-1] = exact.add(group[-1], sums[-1])
    return groups


def cost_groups(
    connection: sqlite3.Connection, by: CostBy, wanted: CostFilter, each: Each | None = None
) -> list[CostGroup]:
    """See `Store.cost_groups`. Whole hours or days come from a roll-up, the rest of one from its calls."""
    filters = {name: getattr(wanted, name) for name in (*_FINEST, "tag", "tier")}
    where = Where()
    where.equal(**filters)
    source, values = _source(by, {name for name, value in filters.items() if value}, wanted, each)
    if wanted.prices == Prices.LATEST:
        source, values = _with_latest(source, values, by, filters, wanted)
    names = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    period = each.value if each else "''"
    cost = "CASE WHEN sum(priced) THEN sum_text(cost) END AS cost"
    sql = (
        f"SELECT {by.value} AS value, {period} AS period, state AS how, {names}, {cost}"
        f" FROM ({source}) {where} GROUP BY 1, 2, 3 HAVING sum(calls) ORDER BY 1, 2, 3"
    )
    groups: dict[Any, list[sqlite3.Row]] = defaultdict(list)
    for row in connection.execute(sql, (*values, *where.values)):
        groups[row["value"], row["period"]].append(row)
    return [
        _group(
            label(value, Each(by.value)) if by in (CostBy.DAY, CostBy.HOUR) else value,
            label(number, each) if each else "",
            rows,
        )
        for (value, number), rows in groups.items()
    ]


def _source(by: CostBy, filters: set[str], wanted: CostFilter, each: Each | None) -> tuple[str, list[int]]:
    """A query for all calls in the period, most of them added up already, and its values."""
    needed = {*filters, by.value} - {"hour", "day", "state"}
    hourly = Each.HOUR in (each, by.value)
    with_tag = "tag" in needed
    for rollup in _ROLLUPS:
        if needed <= set(rollup.fields) and (rollup.each is Each.HOUR or not hourly):
            return _from_rollup(rollup, wanted)
    ((since, until),) = whole_and_edges(wanted.since_ns, wanted.until_ns, 1)[:1]
    return _single((*_FINEST, "tier"), with_tag=with_tag), [since, until - 1]


def _with_latest(
    source: str, values: list[int], by: CostBy, filters: Mapping[str, str], wanted: CostFilter
) -> tuple[str, list[int]]:
    """The same calls at the newest costs that were made for them."""
    needed = {*(name for name, value in filters.items() if value), by.value} - {"hour", "day", "state"}
    # A query needs one field at least, and a tag is none of a span's own.
    fields = sorted(needed) or ["project"]
    corrected, more = corrections(fields, with_tag="tag" in needed, wanted=wanted)
    columns = ", ".join(("hour", "day", "state", *fields, *_SUMS, "cost"))
    return f"SELECT {columns} FROM ({source}) UNION ALL {corrected}", [*values, *more]


def _from_rollup(rollup: _Rollup, wanted: CostFilter) -> tuple[str, list[int]]:
    if wanted.since_ns is None and wanted.until_ns is None:
        return _rolled(rollup), []
    whole, edges = whole_and_edges(wanted.since_ns, wanted.until_ns, LENGTH_NS[rollup.each])
    parts = list(_parts(rollup, whole, edges))
    return " UNION ALL ".join(part for part, _ in parts), [value for _, values in parts for value in values]


def _parts(
    rollup: _Rollup, whole: tuple[int, int], edges: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Queries that together cover a stretch of time: whole periods, and what is finer of both edges."""
    yield f"{_rolled(rollup)} WHERE {rollup.each.value} >= ? AND {rollup.each.value} < ?", whole
    for since, until in edges:
        if rollup is _DAILY:
            yield from _parts(_HOURLY, *whole_and_edges(since, until, LENGTH_NS[Each.HOUR]))
        else:
            yield _single(rollup.of_span, with_tag=rollup.by_tag), (since, until - 1)


def _rolled(rollup: _Rollup) -> str:
    periods = "hour, hour / 24 AS day" if rollup.each is Each.HOUR else "NULL AS hour, day"
    return f"SELECT {periods}, {', '.join(('state', *rollup.fields, *_SUMS, 'cost'))} FROM {rollup.table}"


def _single(fields: Sequence[str], *, with_tag: bool) -> str:
    """Each call between two times on its own, in the columns of a roll-up; one with two tags twice, when asked."""
    columns = ", ".join(
        (*(f"{TIER} AS tier" if name == "tier" else name for name in fields), *["tag"][:with_tag])
    )
    spans = (
        f"SELECT DISTINCT spans.*, value AS tag FROM spans, {_TAGS}" if with_tag else "SELECT * FROM spans"
    )
    return (
        f"SELECT start_ns / {LENGTH_NS[Each.HOUR]} AS hour, start_ns / {LENGTH_NS[Each.DAY]} AS day,"
        f" {_STATE} AS state, {columns}, {_ONE} FROM ({spans}"
        " WHERE (cost_state IS NOT NULL OR unbilled != '') AND start_ns BETWEEN ? AND ?)"
    )


def _group(value: str, period: str, rows: Sequence[sqlite3.Row]) -> CostGroup:
    billed = [row for row in rows if row["how"] != UNBILLED]
    cost = None
    for row in billed:
        cost = exact.add(cost, exact.from_text(row["cost"]))
    return CostGroup(
        value=value,
        period=period,
        calls=sum(row["calls"] for row in billed),
        cost=cost,
        states={CostState(row["how"]): row["calls"] for row in billed},
        unbilled=sum(row["calls"] for row in rows if row["how"] == UNBILLED),
        **{name: sum(row[name] for row in billed) for name in TOKENS},
    )
