"""The traces that a batch touches: looked up once, added to in memory, written once."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from everyspan.store import sqlite_facets
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import BODY, TRACE_COLUMNS, draft_of, row_of, trace_values
from everyspan.store.sqlite_ids import is_, portions
from everyspan.store.summary import Draft

At = tuple[str, str]
"""Project and trace id."""

_ADD = f"INSERT INTO traces (id, ever, {', '.join(TRACE_COLUMNS)}) VALUES ({', '.join('?' * (len(TRACE_COLUMNS) + 2))})"
_CHANGE = f"UPDATE traces SET ever = ?, {', '.join(f'{name} = ?' for name in TRACE_COLUMNS[2:])} WHERE id = ?"


@dataclass(slots=True)
class _Trace:
    """One trace, as it was stored and as it becomes."""

    id: int
    ever: int
    """Spans that it ever had, those included that are gone: the next one takes the next place in the text index."""
    stored: sqlite3.Row | None
    draft: Draft
    changed: bool = False


class Summaries:
    """The summaries of some traces, inside the caller's transaction; nothing is written before `write`."""

    def __init__(self, connection: sqlite3.Connection, rows: Iterable[SpanRow]) -> None:
        """Look up the traces of these rows; those that are not there get an id."""
        self._connection = connection
        self._traces: dict[At, _Trace] = {}
        self._look_up(rows)

    def add(self, row: SpanRow) -> tuple[int, int]:
        """Take in a row that is new; returns the id of its trace, and its own number within it."""
        trace = self._traces[row.project, row.trace_id]
        trace.draft.add(row)
        trace.ever += 1
        trace.changed = True
        return trace.id, trace.ever

    def calls(self, at: At) -> int:
        """How many calls the trace has at most, whether they are billed or not."""
        return sum(self._traces[at].draft.states.values())

    def rebuild(self, rows: Sequence[SpanRow]) -> None:
        """Make the summaries of these rows' traces anew from what is stored: what is gone can not be taken out."""
        self._look_up(rows)
        for at in {(row.project, row.trace_id) for row in rows}:
            trace = self._traces[at]
            trace.draft = Draft(project=at[0], trace_id=at[1])
            trace.changed = True
            for stored in self._connection.execute(f"SELECT * FROM spans WHERE {is_('trace_id')}", at):
                trace.draft.add(row_of(stored, [""] * len(BODY)))

    def write(self) -> None:
        """Put what changed into the store, with the lists and sums by which traces are found."""
        added, changed, moves = [], [], []
        for trace in self._traces.values():
            if not trace.changed:
                continue
            after = trace.draft.summary()
            values = trace_values(trace.draft, after)
            if trace.stored is None:
                added.append((trace.id, trace.ever, *values))
                before = None
            else:
                changed.append((trace.ever, *values[2:], trace.id))
                before = draft_of(trace.stored).summary()
            moves.append(sqlite_facets.Changed(trace.id, before, after))
        self._connection.executemany(_ADD, added)
        self._connection.executemany(_CHANGE, changed)
        sqlite_facets.update(self._connection, moves)

    def _look_up(self, rows: Iterable[SpanRow]) -> None:
        wanted: dict[str, dict[str, None]] = defaultdict(dict)
        for row in rows:
            if (row.project, row.trace_id) not in self._traces:
                wanted[row.project][row.trace_id] = None
        if not wanted:
            return
        (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM traces").fetchone()
        for project, ids in wanted.items():
            stored = {row["trace_id"]: row for row in _stored(self._connection, project, list(ids))}
            for trace_id in ids:
                there = stored.get(trace_id)
                if there is None:
                    last += 1
                    new = Draft(project=project, trace_id=trace_id)
                    self._traces[project, trace_id] = _Trace(last, 0, None, new)
                else:
                    known = _Trace(there["id"], there["ever"], there, draft_of(there))
                    self._traces[project, trace_id] = known


def _stored(connection: sqlite3.Connection, project: str, ids: Sequence[str]) -> Iterator[sqlite3.Row]:
    for some in portions(ids):
        yield from connection.execute(
            f"SELECT * FROM traces WHERE project = ? AND trace_id IN ({', '.join('?' * len(some))})",
            (project, *some),
        )
