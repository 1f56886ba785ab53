"""The write side of the SQLite store: everything that happens inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from everyspan.store import sqlite_bodies, sqlite_remove, sqlite_twins
from everyspan.store.bodies import Squeezer
from everyspan.store.limits import Batch
from everyspan.store.reads import Inserted
from everyspan.store.rows import INTERRUPTED, REVISED, SpanRow
from everyspan.store.sqlite_arrivals import sorted_out
from everyspan.store.sqlite_columns import BODY, PLAIN, SPAN_COLUMNS, key_parts, row_of, special
from everyspan.store.sqlite_costs import add_costs
from everyspan.store.sqlite_ids import is_
from everyspan.store.sqlite_latency import add_latencies
from everyspan.store.sqlite_summaries import Summaries
from everyspan.store.sqlite_writers import Ledger
from everyspan.store.words import searchable

_INSERT_SPAN = (
    f"INSERT INTO spans (id, text_id, own_key, content, {', '.join(SPAN_COLUMNS)}) "
    f"VALUES ({', '.join('?' * (len(SPAN_COLUMNS) + 4))})"
)
# The start is part of who is who: with it, ids that `random.seed()` repeats in another run are no twins. Stamps, where
# both have one, must be of one writer, and the end has the higher number.
_TWIN = """
SELECT id FROM spans {found} AND project = :project AND start_ns = :start_ns AND "end" {is_} 'interrupted'
AND (writer IS NULL OR :writer IS NULL OR (writer = :writer AND seq {than} :seq))
"""
_BY_ID = (
    "INDEXED BY spans_by_id WHERE substr(span_id, -8) = substr(:span_id, -8)"
    " AND +trace_id = :trace_id AND +span_id = :span_id"
)
_BEGUN = "INDEXED BY spans_interrupted WHERE trace_id = :trace_id AND span_id = :span_id"
_ITS_END = _TWIN.format(found=_BY_ID, than=">", is_="!=") + " LIMIT 1"
_ITS_BEGIN = _TWIN.format(found=_BEGUN, than="<", is_="=")
_WHOSE = ("trace_id", "span_id", "project", "start_ns", "writer", "seq")
_FIRST_TEXT = 24
"""Bits of a place in the full-text index that count the spans of a trace."""

_plain = attrgetter(*PLAIN)
_body = attrgetter(*BODY)


@dataclass
class _Taken:
    """What a batch changed so far."""

    fresh: list[SpanRow] = field(default_factory=list)
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
    arrived = sorted_out(connection, batch.spans)
    summaries = Summaries(connection, (*arrived.new, *arrived.delicate))
    taken = _Taken(known=arrived.known)
    writing = _Writing(connection, squeezer, summaries)
    writing.put(arrived.new)
    taken.fresh += arrived.new
    for row in arrived.delicate:
        writing.take(row, taken)
    lone = {at for row in taken.fresh if summaries.calls(at := (row.project, row.trace_id)) < 2}
    rebilled = sqlite_twins.settle(connection, taken.fresh, taken.replaced, lone)
    before, after = [old for old, _ in rebilled], [new for _, new in rebilled]
    # A fresh row whose bill changed at once counts as it came, then goes, and comes as it is now.
    recount(connection, [*taken.fresh, *after], [*taken.replaced, *before])
    summaries.rebuild((*taken.replaced, *after))
    summaries.write()
    Ledger(connection).add(taken.fresh, batch.numbers, batch.sightings, taken.replaced, taken.outdone)
    return Inserted(new=len(taken.fresh), known=taken.known, refused=batch.refused)


def recount(connection: sqlite3.Connection, come: Sequence[SpanRow], gone: Sequence[SpanRow]) -> None:
    """Bring the roll-ups up to date with rows that are new, and with rows that are no longer there."""
    add_costs(connection, come, gone)
    add_latencies(connection, come, gone)


class _Writing:
    """Puts rows into their tables, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection, squeezer: Squeezer, summaries: Summaries) -> None:
        self._connection = connection
        self._squeezer = squeezer
        self._summaries = summaries

    def put(self, rows: Iterable[SpanRow]) -> None:
        """Write rows that are surely new, with bodies and words. Each gets a place of its trace that was never used."""
        (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM spans").fetchone()
        spans, bodies, texts = [], [], []
        for span, row in enumerate(rows, last + 1):
            trace, number = self._summaries.add(row)
            place = None
            if (row.input or row.output) and number < 1 << _FIRST_TEXT:
                place = (trace << _FIRST_TEXT) + number
                found = searchable(row.input, row.output) if row.words is None else row.words
                texts.append((place, found))
            spans.append((span, place, *key_parts(row), *_plain(row), *special(row)))
            bodies.append((span, _body(row)))
        # The index writes what it has gathered whenever a place is lower than the one before.
        texts.sort()
        self._connection.executemany(_INSERT_SPAN, spans)
        sqlite_bodies.put(self._connection, self._squeezer, bodies)
        self._connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", texts)

    def take(self, row: SpanRow, taken: _Taken) -> None:
        """Take in a row that may replace another, or give way to one."""
        whose = {name: getattr(row, name) for name in _WHOSE}
        if row.end == INTERRUPTED and self._connection.execute(_ITS_END, whose).fetchone():
            taken.known += 1
            taken.outdone.append(row)
            return
        if row.key.startswith(REVISED):
            self._make_room(row, taken)
        at = (row.project, row.key)
        if self._connection.execute(f"SELECT 1 FROM spans WHERE {is_('key')}", at).fetchone():
            taken.known += 1
            return
        self.put([row])
        taken.fresh.append(row)
        if row.end != INTERRUPTED:
            twins = self._connection.execute(_ITS_BEGIN, whose).fetchall()
            ids = sorted({twin["id"] for twin in twins})
            taken.replaced += sqlite_remove.take_out(self._connection, self._squeezer, ids)

    def _make_room(self, row: SpanRow, taken: _Taken) -> None:
        """Take out the row that this one replaces, unless they are the same."""
        there = self._connection.execute(
            f"SELECT * FROM spans WHERE {is_('key')}", (row.project, row.key)
        ).fetchone()
        if there is None:
            return
        bodies = sqlite_bodies.Bodies(self._connection, self._squeezer)
        stored = row_of(there, bodies.of(there["id"]))
        if replace(stored, unbilled=row.unbilled) != row:
            taken.replaced += sqlite_remove.take_out(self._connection, self._squeezer, [there["id"]])
