"""The questions, as SQL. Each function runs inside one read transaction that its caller holds."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from everyspan.model.ids import Seq, WriterId
from everyspan.store.bodies import Squeezer
from everyspan.store.outline import Outline
from everyspan.store.reads import (
    Dropped,
    Range,
    TraceSummary,
    Unnumbered,
    WriterFilter,
    WriterState,
)
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_bodies import Bodies
from everyspan.store.sqlite_columns import draft_of, row_of
from everyspan.store.sqlite_ids import is_, one_of, sought
from everyspan.store.sqlite_where import Where

# The pluses keep SQLite from walking the whole project in this order: the trace leads straight to its spans.
_OF_TRACE = f"WHERE {is_('trace_id')} ORDER BY +start_ns, +key"
_OUTLINE = "SELECT {} FROM spans".format(
    ", ".join("coalesce(cost_state, '')" if name == "cost_state" else f'"{name}"' for name in Outline._fields)
)


def read_trace(
    connection: sqlite3.Connection, squeezer: Squeezer | None, trace_id: str, project: str
) -> tuple[TraceSummary, list[SpanRow]] | None:
    """See `Store.read_trace`; without a squeezer there are no bodies."""
    at = (project, trace_id)
    stored = connection.execute("SELECT * FROM traces WHERE project = ? AND trace_id = ?", at).fetchone()
    if stored is None:
        return None
    summary = draft_of(stored).summary()
    rows = connection.execute(f"SELECT * FROM spans {_OF_TRACE}", at)
    if squeezer is None:
        return summary, [row_of(row) for row in rows]
    bodies = Bodies(connection, squeezer)
    return summary, [row_of(row, bodies.of(row["id"])) for row in rows]


def read_outline(
    connection: sqlite3.Connection, trace_id: str, project: str
) -> tuple[TraceSummary, list[Outline]] | None:
    """See `Store.read_outline`."""
    at = (project, trace_id)
    stored = connection.execute("SELECT * FROM traces WHERE project = ? AND trace_id = ?", at).fetchone()
    if stored is None:
        return None
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(f"{_OUTLINE} {_OF_TRACE}", at)
    return draft_of(stored).summary(), list(map(Outline._make, cursor.fetchall()))


def read_span(
    connection: sqlite3.Connection, squeezer: Squeezer, trace_id: str, key: str, project: str
) -> SpanRow | None:
    """See `Store.read_span`."""
    sql = f"SELECT * FROM spans WHERE {is_('key')} AND +trace_id = ?3"
    row = connection.execute(sql, (project, key, trace_id)).fetchone()
    return None if row is None else row_of(row, Bodies(connection, squeezer).of(row["id"]))


def projects_of(connection: sqlite3.Connection, trace_id: str) -> list[str]:
    """See `Store.projects_of`."""
    sql = f"SELECT DISTINCT project FROM spans WHERE {one_of('trace_id', 1)} ORDER BY +project"
    return [row["project"] for row in connection.execute(sql, sought([trace_id]))]


def projects(connection: sqlite3.Connection) -> list[str]:
    """See `Store.projects`."""
    # Each name leads to the next one in an index; DISTINCT would read all of it.
    found: set[str] = set()
    for table in ("traces", "writers", "unnumbered", "scores", "media"):
        last = connection.execute(f"SELECT min(project) FROM {table}").fetchone()[0]
        while last is not None:
            found.add(last)
            last = connection.execute(
                f"SELECT min(project) FROM {table} WHERE project > ?", (last,)
            ).fetchone()[0]
    return sorted(found)


def writers(connection: sqlite3.Connection, wanted: WriterFilter) -> list[WriterState]:
    """See `Store.writers`."""
    where = Where()
    where.equal(project=wanted.project, writer=wanted.writer)
    if wanted.service:
        where.add("EXISTS (SELECT 1 FROM json_each(services) WHERE value = ?)", wanted.service)
    stored = connection.execute(
        f"SELECT * FROM writers {where} ORDER BY project, writer", where.values
    ).fetchall()
    received: dict[int, list[Range]] = defaultdict(list)
    whose = f"writer_id IN (SELECT id FROM writers {where})"
    for row in connection.execute(f"SELECT * FROM received WHERE {whose} ORDER BY first", where.values):
        received[row["writer_id"]].append((row["first"], row["last"]))
    dropped: dict[int, list[Dropped]] = defaultdict(list)
    for row in connection.execute(
        f"SELECT * FROM dropped WHERE {whose} ORDER BY reason, first", where.values
    ):
        dropped[row["writer_id"]].append(
            Dropped(reason=row["reason"], first=Seq(row["first"]), last=Seq(row["last"]))
        )
    return [_writer(row, received[row["id"]], dropped[row["id"]]) for row in stored]


def _writer(stored: sqlite3.Row, received: Sequence[Range], dropped: Sequence[Dropped]) -> WriterState:
    return WriterState(
        project=stored["project"],
        writer=WriterId(stored["writer"]),
        services=tuple(json.loads(stored["services"])),
        received=tuple(received),
        dropped=tuple(dropped),
        begun=stored["begun"],
        spans=stored["spans"],
        interrupted=stored["interrupted"],
        spooled_to=stored["spooled_to"],
        closed=bool(stored["closed"]),
        seen_ns=stored["seen_ns"],
        about=stored["about"],
    )


def unnumbered(connection: sqlite3.Connection, wanted: WriterFilter) -> list[Unnumbered]:
    """See `Store.unnumbered`."""
    where = Where()
    where.equal(project=wanted.project, service=wanted.service)
    sql = f"SELECT project, service, spans, interrupted FROM unnumbered {where} ORDER BY project, service"
    return [Unnumbered(**dict(row)) for row in connection.execute(sql, where.values)]
