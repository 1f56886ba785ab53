"""A call that was told as interrupted and whose end arrived all the same: one span of the two counts.

A process whose disk takes nothing delivers the end of a call out of memory. Its successor finds the begin on disk and
no end, and makes one up. Both carry the writer's stamp and the same ids, and the end has the higher number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from operator import attrgetter

from everyspan.store.rows import Numbers, SpanRow
from everyspan.store.sqlite_columns import BODY, row_of
from everyspan.store.sqlite_costs import take_costs_out
from everyspan.store.sqlite_writers import INTERRUPTED
from everyspan.store.summary import Draft

_SAME_CALL = "trace_id = ? AND project = ? AND span_id = ? AND writer = ?"
_same_call = attrgetter("trace_id", "project", "span_id", "writer")
_NO_BODY = ("",) * len(BODY)


def unended_last(spans: Sequence[SpanRow]) -> list[SpanRow]:
    """The same rows, so that of two for one call the one that ended comes first."""
    return sorted(spans, key=lambda row: row.end == INTERRUPTED)


def has_ended(connection: sqlite3.Connection, row: SpanRow) -> bool:
    """Whether the store knows the end of the call that `row` tells as interrupted."""
    if row.end != INTERRUPTED or row.writer is None:
        return False
    sql = f'SELECT 1 FROM spans WHERE {_SAME_CALL} AND seq > ? AND "end" != ? LIMIT 1'
    return connection.execute(sql, (*_same_call(row), row.seq, INTERRUPTED)).fetchone() is not None


def begin_of(row: SpanRow) -> Numbers:
    """What is left of a row that is not stored: the number of its call's begin."""
    assert row.writer is not None
    assert row.seq is not None
    return Numbers(project=row.project, writer=row.writer, first=row.seq, last=row.seq, reason="start")


def make_way(connection: sqlite3.Connection, spans: Iterable[SpanRow]) -> set[tuple[str, str]]:
    """Take interrupted rows out of the store, and of all sums but their traces', whose calls' ends are in `spans`.

    Rare: an end is delivered before its process dies, and comes later only by another way. The caller holds the
    transaction.

    Returns:
        Project and id of the traces that they were taken from.
    """
    changed: set[tuple[str, str]] = set()
    ended = [row for row in spans if row.writer is not None and row.end != INTERRUPTED]
    have_some = {writer for writer in {row.writer for row in ended} if _has_interrupted(connection, writer)}
    for row in ended:
        if row.writer not in have_some:
            continue
        sql = f'SELECT * FROM spans WHERE {_SAME_CALL} AND seq < ? AND "end" = ?'
        for stored in connection.execute(sql, (*_same_call(row), row.seq, INTERRUPTED)).fetchall():
            _take_out(connection, stored)
            changed.add((row.project, row.trace_id))
    return changed


def _has_interrupted(connection: sqlite3.Connection, writer: str | None) -> bool:
    sql = "SELECT 1 FROM writers WHERE writer = ? AND interrupted > 0"
    return connection.execute(sql, (writer,)).fetchone() is not None


def _take_out(connection: sqlite3.Connection, stored: sqlite3.Row) -> None:
    row = row_of(stored, _NO_BODY)
    connection.execute("DELETE FROM bodies WHERE id = ?", (stored["id"],))
    connection.execute("DELETE FROM spans WHERE id = ?", (stored["id"],))
    take_costs_out(connection, row)
    # Its number stays among those that arrived: the call did begin.
    connection.execute(
        "UPDATE writers SET spans = spans - 1, interrupted = interrupted - 1 WHERE project = ? AND writer = ?",
        (row.project, row.writer),
    )


def draft_anew(connection: sqlite3.Connection, project: str, trace_id: str) -> Draft:
    """The summary of what is stored of a trace now."""
    draft = Draft(project=project, trace_id=trace_id)
    for stored in connection.execute(
        "SELECT * FROM spans WHERE trace_id = ? AND project = ?", (trace_id, project)
    ):
        draft.add(row_of(stored, _NO_BODY))
    return draft
