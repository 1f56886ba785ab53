"""New costs beside the recorded ones, in SQLite: how calls are read for it, and how versions are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal

from everyspan.clock import now_ns
from everyspan.model.money import CostState
from everyspan.store import exact
from everyspan.store.reads import CostFilter
from everyspan.store.repricing import Newer, Place, PricedCall, Repriced, Repricing
from everyspan.store.sqlite import SqliteStore
from everyspan.store.sqlite_bodies import Bodies
from everyspan.store.sqlite_columns import row_of
from everyspan.store.sqlite_ids import is_, one_of, portions, sought
from everyspan.store.sqlite_repriced import LATEST
from everyspan.store.sqlite_where import Where

_OTHERS = (
    "SELECT spans.id, spans.project, spans.trace_id, spans.key, repriced.cost_state, repriced.cost, note,"
    " spans.cost_state AS was_state, spans.cost AS was_cost"
    " FROM repriced JOIN spans ON spans.id = repriced.span"
)
_GIVEN_UP_NS = 3600 * 10**9
"""An unfinished version older than this was left by a process that died."""


class SqliteRepricer:
    """See `Repricer` for what each method promises."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def count(self, wanted: CostFilter) -> int:
        """See `Repricer.count`."""
        where = _where(wanted)
        with self._store.reading() as connection:
            return int(
                connection.sql.execute(f"SELECT count(*) FROM spans {where}", where.values).fetchone()[0]
            )

    def calls(self, wanted: CostFilter, *, batch: int = 2000) -> Iterator[list[PricedCall]]:
        """See `Repricer.calls`."""
        after = last = 0
        while True:
            where = _where(wanted)
            where.add("spans.id > ?", after)
            sql = (
                "SELECT spans.*, repriced.cost_state AS new_state, repriced.cost AS new_cost"
                f" FROM spans LEFT JOIN repriced ON repriced.span = spans.id AND repriced.version = {LATEST}"
                f" {where} ORDER BY spans.id LIMIT {int(batch)}"
            )
            with self._store.reading() as connection:
                bodies, found = Bodies(*connection), []
                for stored in connection.sql.execute(sql, where.values):
                    last = stored["id"]
                    found.append(_call(stored, bodies.of(last)))
            if not found:
                return
            after = last
            yield found

    def begin(self, *, lists: str, asked: str, made_ns: int) -> int:
        """See `Repricer.begin`."""
        with self._store.writing() as connection:
            dead = "SELECT version FROM repricings WHERE NOT finished AND made_ns < ?"
            long_ago = (now_ns() - _GIVEN_UP_NS,)
            connection.sql.execute(f"DELETE FROM repriced WHERE version IN ({dead})", long_ago)
            connection.sql.execute(f"DELETE FROM repricings WHERE version IN ({dead})", long_ago)
            made = connection.sql.execute(
                "INSERT INTO repricings (made_ns, lists, asked, finished) VALUES (?, ?, ?, 0)",
                (made_ns, lists, asked),
            )
            return int(made.lastrowid or 0)

    def keep(self, version: int, costs: Sequence[Repriced]) -> None:
        """See `Repricer.keep`."""
        with self._store.writing() as connection:
            # A span that was replaced meanwhile has no cost of its own any more.
            connection.sql.executemany(
                "INSERT OR REPLACE INTO repriced (span, version, cost_state, cost, note)"
                f" SELECT id, ?3, ?4, ?5, ?6 FROM spans WHERE {is_('key')}",
                (
                    (
                        each.at.project,
                        each.at.key,
                        version,
                        each.state.value,
                        exact.to_text(each.cost),
                        each.note,
                    )
                    for each in costs
                ),
            )

    def finish(self, version: int) -> None:
        """See `Repricer.finish`."""
        with self._store.writing() as connection:
            connection.sql.execute("UPDATE repricings SET finished = 1 WHERE version = ?", (version,))

    def versions(self) -> list[Repricing]:
        """See `Repricer.versions`."""
        sql = (
            "SELECT *, (SELECT count(*) FROM repriced WHERE repriced.version = repricings.version) AS calls"
            " FROM repricings WHERE finished ORDER BY version"
        )
        with self._store.reading() as connection:
            return [
                Repricing(
                    version=row["version"],
                    made_ns=row["made_ns"],
                    lists=row["lists"],
                    asked=row["asked"],
                    calls=row["calls"],
                )
                for row in connection.sql.execute(sql)
            ]

    def kept(self, version: int, *, batch: int = 2000) -> Iterator[list[Repriced]]:
        """See `Repricer.kept`."""
        after = 0
        while True:
            sql = (
                f"{_OTHERS} WHERE repriced.version = ? AND spans.id > ? ORDER BY spans.id LIMIT {int(batch)}"
            )
            with self._store.reading() as connection:
                rows = connection.sql.execute(sql, (version, after)).fetchall()
            if not rows:
                return
            after = rows[-1]["id"]
            yield list(map(_repriced, rows))

    def latest(self, project: str, trace_ids: Sequence[str]) -> list[Newer]:
        """See `Repricer.latest`."""
        found: list[Newer] = []
        with self._store.reading() as connection:
            if not connection.sql.execute("SELECT 1 FROM repriced LIMIT 1").fetchone():
                return []
            for some in portions(trace_ids):
                sql = (
                    f"{_OTHERS} WHERE +spans.project = ? AND {one_of('trace_id', len(some))}"
                    f" AND repriced.version = {LATEST} AND unbilled = ''"
                )
                values = (project, *sought(some))
                found += map(_newer, connection.sql.execute(sql, values))
        return found


def _repriced(row: sqlite3.Row) -> Repriced:
    return Repriced(
        at=Place(row["project"], row["trace_id"], row["key"]),
        state=CostState(row["cost_state"]),
        cost=exact.from_text(row["cost"]),
        note=row["note"],
    )


def _newer(row: sqlite3.Row) -> Newer:
    return Newer(
        made=_repriced(row),
        was_state=CostState(row["was_state"]),
        was_cost=exact.from_text(row["was_cost"]),
    )


def _where(wanted: CostFilter) -> Where:
    where = Where()
    where.add("spans.cost_state IS NOT NULL AND spans.cost_state != 'stated' AND spans.unbilled = ''")
    where.equal(project=wanted.project, model=wanted.model, provider=wanted.provider)
    where.between("spans.start_ns", wanted.since_ns, wanted.until_ns)
    return where


def _call(stored: sqlite3.Row, body: Sequence[str]) -> PricedCall:
    row = row_of(stored, body)
    state, cost = row.cost_state, row.cost
    if stored["new_state"]:
        state, cost = CostState(stored["new_state"]), exact.from_text(stored["new_cost"])
    assert state is not None
    return PricedCall(row=row, state=state, cost=cost if cost is None else Decimal(cost))
