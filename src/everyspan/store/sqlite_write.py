"""The write side of the SQLite store: everything that happens inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from everyspan.store import sqlite_facets, sqlite_remove, sqlite_twins
from everyspan.store.bodies import Squeezer
from everyspan.store.limits import Batch
from everyspan.store.reads import Inserted
from everyspan.store.rows import INTERRUPTED, REVISED, SpanRow
from everyspan.store.sqlite_columns import (
    BODY,
    PLAIN,
    SPAN_COLUMNS,
    TRACE_COLUMNS,
    draft_of,
    row_of,
    special,
    trace_values,
)
from everyspan.store.sqlite_costs import add_costs
from everyspan.store.sqlite_functions import searchable
from everyspan.store.sqlite_latency import add_latencies
from everyspan.store.sqlite_writers import Ledger
from everyspan.store.summary import Draft

_INSERT_SPAN = (
    f"INSERT INTO spans ({', '.join(SPAN_COLUMNS)}) VALUES ({', '.join('?' * len(SPAN_COLUMNS))}) "
    "ON CONFLICT (project, key) DO NOTHING"
)
_PUT_TRACE = (
    f"INSERT INTO traces ({', '.join(TRACE_COLUMNS)}) VALUES ({', '.join('?' * len(TRACE_COLUMNS))}) "
    "ON CONFLICT (project, trace_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in TRACE_COLUMNS[2:])
    + " RETURNING id"
)
# The start is part of who is who: with it, ids that `random.seed()` repeats in another run are no twins. Stamps, where
# both have one, must be of one writer, and the end has the higher number.
_TWIN = """
SELECT id FROM spans WHERE trace_id = :trace_id AND span_id = :span_id AND project = :project AND start_ns = :start_ns
AND (writer IS NULL OR :writer IS NULL OR (writer = :writer AND seq {than} :seq)) AND "end" {is_} 'interrupted'
"""
_ITS_END = _TWIN.format(than=">", is_="!=") + " LIMIT 1"
_ITS_BEGIN = _TWIN.format(than="<", is_="=")
_WHOSE = ("trace_id", "span_id", "project", "start_ns", "writer", "seq")
_FIRST_TEXT = 24
"""Bits of a place in the full-text index that count the spans of a trace."""

_plain = attrgetter(*PLAIN)
_body = attrgetter(*BODY)


@dataclass
class _Taken:
    """What a batch changed so far."""

    fresh: list[SpanRow] = field(default_factory=list)
    placed: list[tuple[int, SpanRow]] = field(default_factory=list)
    """The fresh ones with their ids."""
    replaced: list[SpanRow] = field(default_factory=list)
    """Interrupted spans that were stored, and whose finished twin arrived."""
    outdone: list[SpanRow] = field(default_factory=list)
    """Interrupted spans that arrived after their finished twin."""
    known: int = 0


def insert(connection: sqlite3.Connection, squeezer: Squeezer, batch: Batch) -> Inserted:
    """Write one batch; the caller holds the transaction.

    Whether a row is new is decided by the row itself, inside the transaction, and everything that counts is
    counted from new rows only: that is what makes a repeated batch change nothing.
    """
    taken = _Taken()
    for row in batch.spans:
        _take(connection, squeezer, row, taken)
    rebilled = sqlite_twins.settle(connection, taken.fresh, taken.replaced)
    before, after = [old for old, _ in rebilled], [new for _, new in rebilled]
    # A fresh row whose bill changed at once counts as it came, then goes, and comes as it is now.
    recount(connection, [*taken.fresh, *after], [*taken.replaced, *before])
    traces = update_traces(connection, taken.fresh, [*taken.replaced, *after])
    _index(connection, taken, traces)
    Ledger(connection).add(taken.fresh, batch.numbers, batch.sightings, taken.replaced, taken.outdone)
    return Inserted(new=len(taken.fresh), known=taken.known, refused=batch.refused)


def recount(connection: sqlite3.Connection, come: Sequence[SpanRow], gone: Sequence[SpanRow]) -> None:
    """Bring the roll-ups up to date with rows that are new, and with rows that are no longer there."""
    add_costs(connection, come, gone)
    add_latencies(connection, come, gone)


def _take(connection: sqlite3.Connection, squeezer: Squeezer, row: SpanRow, taken: _Taken) -> None:
    whose = {name: getattr(row, name) for name in _WHOSE}
    if row.end == INTERRUPTED and connection.execute(_ITS_END, whose).fetchone():
        taken.known += 1
        taken.outdone.append(row)
        return
    if row.key.startswith(REVISED):
        _make_room(connection, squeezer, row, taken)
    cursor = connection.execute(_INSERT_SPAN, (*_plain(row), *special(row)))
    if cursor.rowcount != 1 or cursor.lastrowid is None:
        taken.known += 1
        return
    span = cursor.lastrowid
    connection.execute("INSERT INTO bodies (id, body) VALUES (?, ?)", (span, squeezer.pack(_body(row))))
    taken.fresh.append(row)
    taken.placed.append((span, row))
    if row.end != INTERRUPTED:
        twins = connection.execute(_ITS_BEGIN, whose).fetchall()
        ids = {twin["id"] for twin in twins}
        taken.replaced += sqlite_remove.take_out(connection, squeezer, sorted(ids))
        taken.placed = [placed for placed in taken.placed if placed[0] not in ids] if ids else taken.placed


def _make_room(connection: sqlite3.Connection, squeezer: Squeezer, row: SpanRow, taken: _Taken) -> None:
    """Take out the row that this one replaces, unless they are the same."""
    there = connection.execute(
        "SELECT spans.*, body FROM spans JOIN bodies USING (id) WHERE project = ? AND key = ?",
        (row.project, row.key),
    ).fetchone()
    if there is None:
        return
    stored = row_of(there, squeezer.unpack(there["body"]))
    if replace(stored, unbilled=row.unbilled) == row:
        return
    taken.replaced += sqlite_remove.take_out(connection, squeezer, [there["id"]])
    taken.placed = [placed for placed in taken.placed if placed[0] != there["id"]]


def update_traces(
    connection: sqlite3.Connection, fresh: Sequence[SpanRow], otherwise: Sequence[SpanRow]
) -> dict[tuple[str, str], tuple[int, int]]:
    """Bring the summaries up to date; returns each trace's id, and how many spans it ever had before.

    Args:
        otherwise: spans that were replaced or whose bill changed; the summaries of their traces are made anew.
    """
    rebuilt = {(row.project, row.trace_id) for row in otherwise}
    drafts: dict[tuple[str, str], Draft] = {}
    before: dict[tuple[str, str], sqlite3.Row | None] = {}
    for row in (*fresh, *otherwise):
        at = (row.project, row.trace_id)
        if at not in drafts:
            before[at] = stored = connection.execute(
                "SELECT * FROM traces WHERE project = ? AND trace_id = ?", at
            ).fetchone()
            drafts[at] = draft_of(stored) if stored else Draft(project=row.project, trace_id=row.trace_id)
            if at in rebuilt:
                drafts[at] = _from_spans(connection, *at)
        if at not in rebuilt:
            drafts[at].add(row)
    places: dict[tuple[str, str], tuple[int, int]] = {}
    changes = []
    for at, draft in drafts.items():
        (trace,) = connection.execute(_PUT_TRACE, trace_values(draft)).fetchone()
        stored = before[at]
        places[at] = (trace, stored["ever"] if stored else 0)
        earlier = draft_of(stored).summary() if stored else None
        changes.append(sqlite_facets.Changed(trace, earlier, draft.summary()))
    sqlite_facets.update(connection, changes)
    return places


def _from_spans(connection: sqlite3.Connection, project: str, trace_id: str) -> Draft:
    """The summary anew: what is gone can not be taken out of it."""
    draft = Draft(project=project, trace_id=trace_id)
    for stored in connection.execute(
        "SELECT * FROM spans WHERE project = ? AND trace_id = ?", (project, trace_id)
    ):
        draft.add(row_of(stored, [""] * len(BODY)))
    return draft


def _index(
    connection: sqlite3.Connection, taken: _Taken, traces: dict[tuple[str, str], tuple[int, int]]
) -> None:
    """Put the words of the new spans into the full-text index, each at a place of its trace that was never used."""
    texts, places, ever = [], [], {at: used for at, (_, used) in traces.items()}
    for span, row in taken.placed:
        at = (row.project, row.trace_id)
        ever[at] += 1
        if (row.input or row.output) and ever[at] < 1 << _FIRST_TEXT:
            place = (traces[at][0] << _FIRST_TEXT) + ever[at]
            texts.append((place, searchable(row.input, row.output)))
            places.append((place, span))
    connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", texts)
    connection.executemany("UPDATE spans SET text_id = ? WHERE id = ?", places)
    connection.executemany(
        "UPDATE traces SET ever = ? WHERE id = ?", ((used, traces[at][0]) for at, used in ever.items())
    )
