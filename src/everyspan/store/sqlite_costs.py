"""Roll-ups of cost, written and read: the same rows, once with user and session, and once without.

With them there are almost as many groups as traces; without, there are few, and most questions need no more.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from everyspan.model.money import CostState
from everyspan.store import exact
from everyspan.store.limits import LATEST_NS
from everyspan.store.reads import UNBILLED, CostBy, CostFilter, CostGroup
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import TOKENS
from everyspan.store.sqlite_where import Where
from everyspan.store.summary import call_state

DAY_NS = 86_400 * 10**9
"""Roll-ups count by days of this length, in UTC."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUMS = ("calls", *TOKENS)


class _Rollup:
    """One table of sums, and the fields of a span by which it is divided besides day and state."""

    def __init__(self, table: str, of_span: Sequence[str]) -> None:
        self.table = table
        self.of_span = of_span
        self.values_of = attrgetter(*of_span)
        self.keys = ("day", "state", *of_span)
        self.take_out = (
            f"UPDATE {table} SET calls = calls - 1, "
            + ", ".join(f"{name} = {name} - ?" for name in TOKENS)
            + ", cost = add_text(cost, ?) WHERE "
            + " AND ".join(f"{name} = ?" for name in self.keys)
        )
        self.add = (
            f"INSERT INTO {table} ({', '.join((*self.keys, *_SUMS, 'cost'))}) "
            f"VALUES ({', '.join('?' * (len(self.keys) + len(_SUMS) + 1))}) "
            f"ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET "
            + ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
            + ", cost = add_text(cost, excluded.cost)"
        )


_COARSE = _Rollup("costs", ("project", "service", "model", "provider"))
_FINE = _Rollup("costs_by_session", (*_COARSE.of_span, "user", "session"))


def add_costs(connection: sqlite3.Connection, fresh: Sequence[SpanRow]) -> None:
    """Count rows that are new, inside the caller's transaction."""
    for rollup in (_COARSE, _FINE):
        groups = _added_up(fresh, rollup)
        connection.executemany(
            rollup.add, ((*key, *group[:-1], exact.to_text(group[-1])) for key, group in groups.items())
        )


def take_costs_out(connection: sqlite3.Connection, row: SpanRow) -> None:
    """Count a row no more that was counted, inside the caller's transaction."""
    state = call_state(row)
    if state is None:
        return
    tokens = [getattr(row.usage, name) or 0 for name in TOKENS]
    less = exact.to_text(None if row.cost is None else row.cost.copy_negate())
    for rollup in (_COARSE, _FINE):
        keys = (row.start_ns // DAY_NS, state, *rollup.values_of(row))
        connection.execute(rollup.take_out, (*tokens, less, *keys))
        connection.execute(f"DELETE FROM {rollup.table} WHERE calls = 0 AND day = ?", keys[:1])


def _added_up(rows: Iterable[SpanRow], rollup: _Rollup) -> dict[tuple[Any, ...], list[Any]]:
    # Adding up first only saves statements: every sum is a plain addition.
    groups: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0] * len(_SUMS) + [None])
    for row in rows:
        state = call_state(row)
        if state is None:
            continue
        group = groups[row.start_ns // DAY_NS, state, *rollup.values_of(row)]
        group[0] += 1
        for index, name in enumerate(TOKENS, start=1):
            group[index] += getattr(row.usage, name) or 0
        group[-1] = exact.add(group[-1], row.cost)
    return groups


def cost_groups(connection: sqlite3.Connection, by: CostBy, wanted: CostFilter) -> list[CostGroup]:
    """See `Store.cost_groups`. Whole days come from the roll-up, the rest of a day from its calls."""
    fine = by in (CostBy.USER, CostBy.SESSION) or bool(wanted.user or wanted.session)
    source, values = _calls(wanted, _FINE if fine else _COARSE)
    where = Where()
    where.equal(project=wanted.project, service=wanted.service, model=wanted.model)
    where.equal(provider=wanted.provider, user=wanted.user, session=wanted.session)
    sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    sql = (
        f"SELECT {by.value} AS value, state AS how, {sums}, sum_text(cost) AS cost "
        f"FROM ({source}) {where} GROUP BY value, how ORDER BY value, how"
    )
    by_value: dict[Any, list[sqlite3.Row]] = defaultdict(list)
    for row in connection.execute(sql, (*values, *where.values)):
        by_value[row["value"]].append(row)
    return [_group(_day(value) if by is CostBy.DAY else value, rows) for value, rows in by_value.items()]


def _calls(wanted: CostFilter, rollup: _Rollup) -> tuple[str, list[int]]:
    """A query for all calls in the period, some added up already, and its values."""
    names = ", ".join((*rollup.keys, *_SUMS, "cost"))
    rolled = f"SELECT {names} FROM {rollup.table}"
    if wanted.since_ns is None and wanted.until_ns is None:
        return rolled, []
    since = max(wanted.since_ns or 0, 0)
    until = LATEST_NS + 1 if wanted.until_ns is None else min(wanted.until_ns, LATEST_NS + 1)
    first_day, end_day = -(-since // DAY_NS), until // DAY_NS
    single = (
        f"SELECT start_ns / {DAY_NS}, CASE WHEN unbilled != '' THEN '{UNBILLED}' ELSE cost_state END,"
        f" {', '.join(rollup.of_span)}, 1, {', '.join(f'coalesce({name}, 0)' for name in TOKENS)}, cost"
        " FROM spans WHERE (cost_state IS NOT NULL OR unbilled != '') AND start_ns BETWEEN ? AND ?"
    )
    edges = [(since, until)]
    if first_day < end_day:
        edges = [(since, first_day * DAY_NS), (end_day * DAY_NS, until)]
    parts, values = [f"{rolled} WHERE day >= ? AND day < ?"], [first_day, end_day]
    for start, end in edges:
        if start < end:
            parts.append(single)
            values += [start, end - 1]
    return " UNION ALL ".join(parts), values


def _group(value: str, rows: Sequence[sqlite3.Row]) -> CostGroup:
    billed = [row for row in rows if row["how"] != UNBILLED]
    cost = None
    for row in billed:
        cost = exact.add(cost, exact.from_text(row["cost"]))
    return CostGroup(
        value=value,
        calls=sum(row["calls"] for row in billed),
        cost=cost,
        states={CostState(row["how"]): row["calls"] for row in billed},
        unbilled=sum(row["calls"] for row in rows if row["how"] == UNBILLED),
        **{name: sum(row[name] for row in billed) for name in TOKENS},
    )


def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()
