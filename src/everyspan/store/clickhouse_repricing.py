"""New costs beside the recorded ones, in ClickHouse: how calls are read for it, and how versions are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from everyspan.model.money import CostState
from everyspan.store.clickhouse import ClickHouseStore
from everyspan.store.clickhouse_columns import AS_BYTES, READ, Ask, money, row_of
from everyspan.store.clickhouse_repriced import NEWEST
from everyspan.store.clickhouse_where import Bound, Where
from everyspan.store.reads import CostFilter
from everyspan.store.repricing import Newer, Place, PricedCall, Repriced, Repricing
from everyspan.store.rows import SpanRow

_VERSION = ("number", "made_ns", "lists", "asked", "finished", "version", "gone")
_COST = ("project", "trace_id", "key", "number", "cost_state", "cost", "note", "version", "gone")
_PLACE = ("project", "hour", "trace_id", "key")
_TRACES_AT_ONCE = 500


class ClickHouseRepricer:
    """See `Repricer` for what each method promises."""

    def __init__(self, store: ClickHouseStore) -> None:
        self._store = store

    def count(self, wanted: CostFilter) -> int:
        """See `Repricer.count`."""
        bound = Bound()
        sql = f"SELECT count() FROM spans WHERE {_conditions(wanted, bound)}"
        with self._store.reading() as ask:
            return int(ask(sql, bound.values)[0][0])

    def calls(self, wanted: CostFilter, *, batch: int = 2000) -> Iterator[list[PricedCall]]:
        """See `Repricer.calls`."""
        columns = ", ".join(f"`{name}`" for name in READ)
        after: tuple[Any, ...] | None = None
        while True:
            bound = Bound()
            where = _conditions(wanted, bound)
            if after is not None:
                where.add(f"({', '.join(_PLACE)}) > ({', '.join(map(bound.put, after))})")
            sql = f"SELECT {columns}, hour FROM spans WHERE {where} ORDER BY {', '.join(_PLACE)} LIMIT {int(batch)}"
            with self._store.reading() as ask:
                found = ask(sql, bound.values, column_formats=AS_BYTES)
                rows = [row_of(each[:-1]) for each in found]
                newest = _newest(ask, rows)
            if not rows:
                return
            last = rows[-1]
            after = (last.project, int(found[-1][-1]), last.trace_id, last.key)
            yield [_call(row, newest.get(Place(row.project, row.trace_id, row.key))) for row in rows]

    def begin(self, *, lists: str, asked: str, made_ns: int) -> int:
        """See `Repricer.begin`."""
        with self._store.writing() as (ask, add):
            # One that was never finished stays unread, and its number is not given again.
            number = int(ask("SELECT max(number) FROM repricings", {})[0][0] or 0) + 1
            add("repricings", [[number, made_ns, lists, asked, 0, 1, 0]], _VERSION)
        return number

    def keep(self, version: int, costs: Sequence[Repriced]) -> None:
        """See `Repricer.keep`."""
        rows = [[*each.at, version, each.state.value, each.cost, each.note, 1, 0] for each in costs]
        if rows:
            with self._store.writing() as (_, add):
                add("repriced", rows, _COST)

    def finish(self, version: int) -> None:
        """See `Repricer.finish`."""
        with self._store.writing() as (ask, add):
            sql = "SELECT number, made_ns, lists, asked FROM repricings WHERE number = {number:UInt64}"
            add("repricings", [[*row, 1, 3, 0] for row in ask(sql, {"number": version})], _VERSION)

    def versions(self) -> list[Repricing]:
        """See `Repricer.versions`."""
        sql = (
            "SELECT number, made_ns, lists, asked, ifNull(calls, 0) FROM repricings"
            " GLOBAL LEFT JOIN (SELECT number, count() AS calls FROM repriced GROUP BY number) AS kept USING (number)"
            " WHERE finished ORDER BY number"
        )
        with self._store.reading() as ask:
            return [
                Repricing(version=number, made_ns=made_ns, lists=lists, asked=asked, calls=calls)
                for number, made_ns, lists, asked, calls in ask(sql, {})
            ]

    def kept(self, version: int, *, batch: int = 2000) -> Iterator[list[Repriced]]:
        """See `Repricer.kept`."""
        after: Place | None = None
        while True:
            bound = Bound()
            where = Where(bound)
            where.add(f"number = {bound.put(version)}")
            if after is not None:
                where.add(f"(project, trace_id, key) > ({', '.join(map(bound.put, after))})")
            sql = (
                f"SELECT project, trace_id, key, toString(cost_state), cost, note FROM repriced WHERE {where}"
                f" ORDER BY project, trace_id, key LIMIT {int(batch)}"
            )
            with self._store.reading() as ask:
                found = [_repriced(row[:3], row[3:]) for row in ask(sql, bound.values)]
            if not found:
                return
            after = found[-1].at
            yield found

    def latest(self, project: str, trace_ids: Sequence[str]) -> list[Newer]:
        """See `Repricer.latest`."""
        found: list[Newer] = []
        with self._store.reading() as ask:
            for start in range(0, len(trace_ids), _TRACES_AT_ONCE):
                some = _of_traces(ask, project, trace_ids[start : start + _TRACES_AT_ONCE])
                found += _newer(ask, project, some) if some else ()
        return found


def _of_traces(ask: Ask, project: str, trace_ids: Sequence[str]) -> list[Repriced]:
    bound = Bound()
    more = f"AND project = {bound.put(project)} AND trace_id IN {bound.put(list(trace_ids))}"
    return [_repriced(row[:3], row[3]) for row in ask(NEWEST.format(more=more), bound.values)]


def _newer(ask: Ask, project: str, made: Sequence[Repriced]) -> Iterator[Newer]:
    bound = Bound()
    where = Where(bound)
    where.add(f"project = {bound.put(project)} AND unbilled = '' AND cost_state != ''")
    where.one_of(trace_id=sorted({each.at.trace_id for each in made}), key=[each.at.key for each in made])
    sql = f"SELECT project, trace_id, key, toString(cost_state), cost FROM spans WHERE {where}"
    recorded = {Place(*row[:3]): row[3:] for row in ask(sql, bound.values)}
    for each in made:
        if each.at in recorded:
            state, cost = recorded[each.at]
            yield Newer(made=each, was_state=CostState(state), was_cost=money(cost))


def _newest(ask: Ask, rows: Sequence[SpanRow]) -> dict[Place, Repriced]:
    found: list[Repriced] = []
    for project in {row.project for row in rows}:
        traces = sorted({row.trace_id for row in rows if row.project == project})
        found += _of_traces(ask, project, traces)
    return {each.at: each for each in found}


def _repriced(place: Sequence[Any], cost: Sequence[Any]) -> Repriced:
    state, amount, note = cost
    return Repriced(at=Place(*place), state=CostState(state), cost=money(amount), note=note)


def _call(row: SpanRow, newest: Repriced | None) -> PricedCall:
    assert row.cost_state is not None
    if newest is None:
        return PricedCall(row=row, state=row.cost_state, cost=row.cost)
    return PricedCall(row=row, state=newest.state, cost=newest.cost)


def _conditions(wanted: CostFilter, bound: Bound) -> Where:
    where = Where(bound)
    where.add(f"cost_state NOT IN ('', '{CostState.STATED.value}') AND unbilled = ''")
    where.equal(project=wanted.project, model=wanted.model, provider=wanted.provider)
    where.between("start_ns", wanted.since_ns, wanted.until_ns)
    return where
