"""Forgetting and handing over, in the SQLite store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from everyspan.errors import SettingsError
from everyspan.store import sqlite_facets, sqlite_media, sqlite_remove, sqlite_twins, sqlite_write
from everyspan.store.bodies import Squeezer
from everyspan.store.rows import INTERRUPTED, SpanRow
from everyspan.store.sqlite_bodies import Bodies
from everyspan.store.sqlite_columns import draft_of, row_of
from everyspan.store.sqlite_ids import is_
from everyspan.store.sqlite_summaries import Summaries
from everyspan.store.sqlite_where import Where
from everyspan.store.upkeep import Deleted, Deletion, SpanPage

AT_ONCE = 100
"""Traces in one transaction: the collector's inserts wait for so many, not for all."""

_LESS = """
UPDATE writers SET spans = spans - ?1, interrupted = interrupted - ?2, begun = max(0, begun - ?1)
WHERE project = ?3 AND writer = ?4
"""
_LESS_UNNUMBERED = """
UPDATE unnumbered SET spans = spans - ?, interrupted = interrupted - ? WHERE project = ? AND service = ?
"""


def traces_of(connection: sqlite3.Connection, wanted: Deletion) -> list[int]:
    """The ids of the traces to delete."""
    sql, values = "SELECT id FROM traces WHERE project = ?", [wanted.project]
    if wanted.trace_id:
        sql, values = f"{sql} AND trace_id = ?", [*values, wanted.trace_id]
    if wanted.user:
        named = "SELECT trace_id FROM spans WHERE project = ? AND user = ?"
        sql, values = f"{sql} AND trace_id IN ({named})", [*values, wanted.project, wanted.user]
    if wanted.before_ns is not None:
        where = Where()
        where.between("ended_ns", None, wanted.before_ns)
        sql = f"{sql} AND {str(where).removeprefix('WHERE ') or 'true'}"
        values += where.values
    return [row["id"] for row in connection.execute(sql, values)]


def delete(connection: sqlite3.Connection, squeezer: Squeezer, traces: Sequence[int]) -> Deleted:
    """Take traces out with everything that is about them; the caller holds the transaction."""
    spans: list[int] = []
    changes = []
    for trace in traces:
        stored = connection.execute("SELECT * FROM traces WHERE id = ?", (trace,)).fetchone()
        if stored is None:
            continue
        its = connection.execute(
            f"SELECT id FROM spans WHERE {is_('trace_id')}", (stored["project"], stored["trace_id"])
        )
        spans += [row["id"] for row in its]
        changes.append(sqlite_facets.Changed(trace, draft_of(stored).summary(), None))
        connection.execute("DELETE FROM traces WHERE id = ?", (trace,))
        judged = (stored["project"], stored["trace_id"])
        connection.execute("DELETE FROM scores WHERE project = ? AND trace_id = ?", judged)
        sqlite_media.forget(connection, *judged)
    # All at once: each body that stays in a row with others is written anew, and not once for each trace.
    gone = sqlite_remove.take_out(connection, squeezer, spans)
    sqlite_facets.update(connection, changes)
    rebilled = sqlite_twins.settle(connection, (), gone)
    before, after = [old for old, _ in rebilled], [new for _, new in rebilled]
    sqlite_write.recount(connection, after, [*gone, *before])
    summaries = Summaries(connection, after)
    summaries.rebuild(after)
    summaries.write()
    _settle_accounts(connection, gone)
    return Deleted(traces=len(changes), spans=len(gone))


def _settle_accounts(connection: sqlite3.Connection, gone: Sequence[SpanRow]) -> None:
    """The numbers of deleted spans did arrive, so they stay received; the spans and begun calls are fewer."""
    stamped = Counter((row.project, row.writer) for row in gone if row.writer is not None)
    plain = Counter((row.project, row.service) for row in gone if row.writer is None)
    lost = Counter((row.project, row.writer or row.service) for row in gone if row.end == INTERRUPTED)
    connection.executemany(_LESS, ((count, lost[at], *at) for at, count in stamped.items()))
    connection.executemany(_LESS_UNNUMBERED, ((count, lost[at], *at) for at, count in plain.items()))
    connection.execute("DELETE FROM unnumbered WHERE spans = 0")


def forget_rest(connection: sqlite3.Connection, project: str) -> None:
    """Delete what a project has beside traces: the accounts of its writers, and scores of sessions."""
    whose = "writer_id IN (SELECT id FROM writers WHERE project = ?)"
    for statement in (
        f"DELETE FROM received WHERE {whose}",
        f"DELETE FROM dropped WHERE {whose}",
        "DELETE FROM writers WHERE project = ?",
        "DELETE FROM unnumbered WHERE project = ?",
        "DELETE FROM scores WHERE project = ?",
    ):
        connection.execute(statement, (project,))
    sqlite_media.forget_all(connection, project)


def read_spans(
    connection: sqlite3.Connection, squeezer: Squeezer, after: str, *, project: str, limit: int
) -> SpanPage:
    """See `Store.read_spans`."""
    if after and not (after.isascii() and after.isdigit()):
        raise SettingsError(f"{after[:80]!r} is no position; pass on the one that came with the last page")
    where = Where()
    where.add("spans.id > ?", int(after or 0))
    where.equal(**{"spans.project": project})
    sql = f"SELECT * FROM spans {where} ORDER BY spans.id LIMIT ?"
    stored = connection.execute(sql, (*where.values, limit)).fetchall()
    bodies = Bodies(connection, squeezer)
    rows = [row_of(row, bodies.of(row["id"])) for row in stored]
    return SpanPage(rows=rows, next=str(stored[-1]["id"]) if len(stored) == limit else "")
