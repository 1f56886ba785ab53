"""Scores and single spans in the SQLite store. The caller holds the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter

from everyspan.store import sqlite_measures
from everyspan.store.bodies import Squeezer
from everyspan.store.conditions import SpanGroup, Sums
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Position, Score, ScoreFilter, SpanFilter
from everyspan.store.sqlite_bodies import Bodies
from everyspan.store.sqlite_columns import row_of
from everyspan.store.sqlite_ids import ENDS, one_of, sought
from everyspan.store.sqlite_measures import OBSERVED, add_conditions, leads
from everyspan.store.sqlite_where import Where

_COLUMNS = tuple(field.name for field in fields(Score))
_PUT = (
    f"INSERT INTO scores ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (project, id) DO UPDATE SET "
    # When it was first given stays.
    + ", ".join(
        f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("project", "id", "created_ns")
    )
)
_values = attrgetter(*_COLUMNS)


def put(connection: sqlite3.Connection, scores: Sequence[Score]) -> None:
    """See `SingleStore.put_scores`."""
    connection.executemany(_PUT, map(_values, scores))


def list_scores(connection: sqlite3.Connection, wanted: ScoreFilter) -> list[Score]:
    """See `SingleStore.list_scores`."""
    where = _score_conditions(wanted)
    few = bool(wanted.trace_ids or wanted.ids)
    _page(where, ("at_ns", "id"), wanted.before, few=few)
    order = _order(("at_ns", "id"), few=few)
    sql = f"SELECT {', '.join(_COLUMNS)} FROM scores {where} {order} LIMIT ? OFFSET ?"
    return [Score(**dict(row)) for row in connection.execute(sql, (*where.values, wanted.limit, wanted.skip))]


def count_scores(connection: sqlite3.Connection, wanted: ScoreFilter) -> int:
    """See `SingleStore.count_scores`."""
    where = _score_conditions(wanted)
    return int(connection.execute(f"SELECT count(*) FROM scores {where}", where.values).fetchone()[0])


def delete(connection: sqlite3.Connection, project: str, score_id: str) -> bool:
    """See `SingleStore.delete_score`."""
    gone = connection.execute("DELETE FROM scores WHERE project = ? AND id = ?", (project, score_id))
    return gone.rowcount > 0


def list_spans(connection: sqlite3.Connection, squeezer: Squeezer, wanted: SpanFilter) -> list[SpanRow]:
    """See `SingleStore.list_spans`."""
    where = _span_conditions(wanted)
    few = _few(wanted)
    _page(where, ("start_ns", "key"), wanted.before, few=few)
    order = _order(("start_ns", "key"), few=few)
    sql = f"SELECT * FROM spans {where} {order} LIMIT ? OFFSET ?"
    rows = connection.execute(sql, (*where.values, wanted.limit, wanted.skip))
    bodies = Bodies(connection, squeezer)
    return [row_of(row, bodies.of(row["id"])) for row in rows]


def count_spans(connection: sqlite3.Connection, wanted: SpanFilter) -> int:
    """See `SingleStore.count_spans`."""
    where = _span_conditions(wanted)
    return int(connection.execute(f"SELECT count(*) FROM spans {where}", where.values).fetchone()[0])


def span_groups(connection: sqlite3.Connection, wanted: SpanFilter, sums: Sums) -> list[SpanGroup]:
    """See `SingleStore.span_groups`."""
    return sqlite_measures.span_groups(connection, _span_conditions(wanted), sums)


def _score_conditions(wanted: ScoreFilter) -> Where:
    where = Where()
    # A plus keeps SQLite from walking the whole project where the trace leads straight to a few rows.
    where.add(f"{'+' if wanted.trace_ids else ''}project = ?", wanted.project)
    for column, values in wanted.one_of.items():
        _one_of(where, column, values)
    where.between("at_ns", wanted.since_ns, wanted.until_ns)
    return where


def _few(wanted: SpanFilter) -> bool:
    """Whether ids lead straight to a few rows."""
    named = wanted.trace_ids or wanted.keys or wanted.span_ids
    return bool(named) or any(map(leads, wanted.conditions))


def _span_conditions(wanted: SpanFilter) -> Where:
    where = Where()
    # A plus keeps SQLite from walking the whole project where an id leads straight to a few rows.
    where.add(f"{'+' if _few(wanted) else ''}project = ?", wanted.project)
    for column, values in wanted.one_of.items():
        if column not in ENDS:
            _one_of(where, column, values)
        elif values:
            where.add(one_of(column, len(values)), *sought(values))
    if wanted.parent_id == "":
        where.add("parent_id IS NULL")
    elif wanted.parent_id is not None:
        where.add("parent_id = ?", wanted.parent_id)
    where.between("start_ns", wanted.since_ns, wanted.until_ns)
    if wanted.only_observations:
        where.add(OBSERVED)
    add_conditions(where, wanted.conditions)
    return where


def _one_of(where: Where, column: str, values: Sequence[str]) -> None:
    if values:
        # The second half tells the planner that an index without the empty values serves.
        where.add(f"{column} IN ({', '.join('?' * len(values))}) AND {column} != ''", *values)


def _order(columns: tuple[str, str], *, few: bool) -> str:
    # A plus keeps SQLite from walking the whole project in this order where an id leads straight to a few rows.
    sign = "+" if few else ""
    return "ORDER BY " + ", ".join(f"{sign}{column} DESC" for column in columns)


def _page(where: Where, columns: tuple[str, str], before: Position | None, *, few: bool) -> None:
    if before is not None:
        sign = "+" if few else ""
        where.add(f"({sign}{columns[0]}, {sign}{columns[1]}) < (?, ?)", *before)
