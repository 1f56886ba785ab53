"""Keeps `twins` true in the SQLite store: whenever spans come or go, the calls that they may share are judged again."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from everyspan.store import exact
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import BODY, row_of
from everyspan.store.sqlite_ids import is_, one_of, portions, sought
from everyspan.store.twins import CROWD, ONE_OF_MANY, SAME_CALL, SURE_ID_LENGTH, Call, new_reasons

_MOST_ROUNDS = 5
_MOST_TRACES = 5_000
"""How far response ids may lead, from one trace to the next; only ids that identify nothing lead further."""

_WITH_TWO_CALLS = """
SELECT trace_id AS found FROM spans INDEXED BY spans_by_trace WHERE project = ? AND {}
AND (cost_state IS NOT NULL OR unbilled != '') GROUP BY trace_id HAVING count(*) > 1
"""
_COLUMNS = """key, trace_id, span_id, parent_id, start_ns, end_ns, response_id, cost_state, cost, input_tokens,
    output_tokens, writer IS NOT NULL, unbilled"""
_CALLS = f"SELECT {_COLUMNS} FROM spans WHERE {is_('trace_id')} AND cost_state IS NOT NULL"
_ROW = f"SELECT * FROM spans WHERE {is_('key')}"
_PARENTS = f"SELECT key, span_id, parent_id FROM spans WHERE {is_('trace_id')}"
_SURE = f"spans INDEXED BY spans_by_response WHERE project = ? AND length(response_id) >= {SURE_ID_LENGTH} AND {{}}"
_SHARED = f"SELECT response_id AS found FROM {_SURE} GROUP BY response_id HAVING count(*) > 1"
_CROWDED = (
    f"SELECT response_id AS found FROM {_SURE} AND cost_state IS NOT NULL"
    f" AND (unbilled = '' OR unbilled LIKE '{SAME_CALL}%') GROUP BY response_id HAVING count(*) > {CROWD}"
)
# In a crowd the others lost against the best one for good; only it, and what is new, can still change.
_SHARING = f"SELECT trace_id, span_id FROM {_SURE} AND unbilled != '{ONE_OF_MANY}'"
_SHARING_ALL = f"SELECT trace_id, span_id FROM {_SURE}"

_BIG = 200
"""Spans of a trace from which on only the neighbours of what came are looked at: all of it would be read again for each
batch, which made traces of ten thousand spans take minutes."""
_SIZE = "SELECT spans FROM traces WHERE project = ? AND trace_id = ?"
_BY_ID = f"SELECT {_COLUMNS} FROM spans INDEXED BY spans_by_id WHERE {{}} AND project = ? AND trace_id = ?"
_BELOW = """
SELECT span_id FROM spans INDEXED BY spans_by_parent
WHERE parent_id IS NOT NULL AND {} AND project = ? AND trace_id = ?
"""

Spans = dict[str, set[str]]
"""Span ids by trace id."""


def settle(
    connection: sqlite3.Connection,
    come: Sequence[SpanRow],
    gone: Sequence[SpanRow],
    lone: Collection[tuple[str, str]] = frozenset(),
) -> list[tuple[SpanRow, SpanRow]]:
    """Judge the calls in the traces of these spans, inside the caller's transaction; what came is stored already.

    Args:
        lone: traces, as project and id, that are known to have one call at most.

    Returns the rows whose bill changed, before and after, without their bodies.
    """
    changed: list[tuple[SpanRow, SpanRow]] = []
    of_project: dict[str, list[SpanRow]] = defaultdict(list)
    for row in (*come, *gone):
        of_project[row.project].append(row)
    for project, rows in of_project.items():
        judging = _Judging(connection, project)
        judging.whole |= {row.trace_id for row in gone if row.project == project}
        moved: Spans = defaultdict(set)
        for row in rows:
            if (project, row.trace_id) not in lone:
                moved[row.trace_id].add(row.span_id)
        seeds: Spans = defaultdict(set)
        for trace_id in judging.with_two_calls(moved):
            seeds[trace_id] |= moved[trace_id]
        # Where the best one of a crowd may be gone, all of it has to be looked at.
        for trace_id, spans in judging.sharing(rows, sql=_SHARING_ALL if gone else _SHARING).items():
            seeds[trace_id] |= spans
        judging.gather(seeds)
        changed += judging.rebilled()
    return changed


class _Judging:
    """The calls of one project that may share a bill with what came or went."""

    def __init__(self, connection: sqlite3.Connection, project: str) -> None:
        self._connection = connection
        self._project = project
        self._calls: dict[str, Call] = {}
        self._parents: dict[tuple[str, str], str | None] = {}
        self._read: set[str] = set()
        self.whole: set[str] = set()
        """Traces to be read whole, however big."""

    def with_two_calls(self, traces: Collection[str]) -> list[str]:
        big = [trace_id for trace_id in traces if self._is_big(trace_id)]
        return [*big, *self._found(_WITH_TWO_CALLS, "trace_id", set(traces).difference(big))]

    def sharing(self, rows: Iterable[SpanRow | Call], sql: str = _SHARING) -> Spans:
        """Spans with a response id that one of these rows has and another span too."""
        shared = self._found(_SHARED, "response_id", _sure_ids(rows))
        spans: Spans = defaultdict(set)
        for row in self._ask(sql, "response_id", set(shared)):
            spans[row["trace_id"]].add(row["span_id"])
        return spans

    def gather(self, seeds: Spans) -> None:
        """Read the calls around these spans, and around those that share a response id with one of them, and so on."""
        for _ in range(_MOST_ROUNDS):
            found = [call for trace_id in sorted(seeds) for call in self._around(trace_id, seeds[trace_id])]
            new = [call for call in found if call.key not in self._calls]
            self._calls |= {call.key: call for call in new}
            if not new or len(self._read) > _MOST_TRACES:
                break
            seeds = {
                trace_id: left
                for trace_id, spans in self.sharing(new).items()
                if (left := {span_id for span_id in spans if (trace_id, span_id) not in self._parents})
            }

    def rebilled(self) -> list[tuple[SpanRow, SpanRow]]:
        """Write the bills that are others now."""
        calls = self._calls.values()
        crowded = set(self._found(_CROWDED, "response_id", _sure_ids(calls)))
        changed = []
        for key, reason in new_reasons(calls, self._parents, crowded).items():
            row = row_of(self._connection.execute(_ROW, (self._project, key)).fetchone(), [""] * len(BODY))
            changed.append((row, replace(row, unbilled=reason)))
        self._connection.executemany(
            f"UPDATE spans SET unbilled = ?3 WHERE {is_('key')}",
            ((self._project, after.key, after.unbilled) for _, after in changed),
        )
        return changed

    def _is_big(self, trace_id: str) -> bool:
        size = self._connection.execute(_SIZE, (self._project, trace_id)).fetchone()
        return size is not None and size["spans"] > _BIG and trace_id not in self.whole

    def _around(self, trace_id: str, spans: Collection[str]) -> list[Call]:
        """The calls of a trace, or of a big one those that have one of these spans above or below them, and theirs."""
        if trace_id in self._read and trace_id in self.whole:
            return []
        self._read.add(trace_id)
        if self._is_big(trace_id):
            rows = self._family(trace_id, spans)
            if rows is not None:
                self._parents |= {(trace_id, span_id): row["parent_id"] for span_id, row in rows.items()}
                return [_call(row) for row in rows.values() if row["cost_state"] is not None]
        self.whole.add(trace_id)
        at = (self._project, trace_id)
        # Sorted here: for an order by key SQLite would walk through all spans of the project instead of this trace's.
        for _, span_id, parent_id in sorted(map(tuple, self._connection.execute(_PARENTS, at))):
            self._parents[trace_id, span_id] = parent_id
        return [_call(row) for row in self._connection.execute(_CALLS, at)]

    def _family(self, trace_id: str, spans: Collection[str]) -> dict[str, sqlite3.Row] | None:
        """Everything below the highest call above each of these spans, with what stands above it up to the root.

        None when two spans of the trace have one id, so that only the whole tells who is below whom.
        """
        rows: dict[str, sqlite3.Row] = {}
        asked: set[str] = set()
        waiting = set(spans)
        while waiting:
            found = list(self._of_trace(_BY_ID, trace_id, waiting))
            asked |= waiting
            rows |= {row["span_id"]: row for row in found}
            waiting = {row["parent_id"] for row in found if row["parent_id"] is not None} - asked
            if len(found) > len({row["span_id"] for row in found}):
                return None
        seen = waiting = {_highest(span_id, rows) for span_id in spans}
        while waiting:
            below = self._of_trace(_BELOW, trace_id, waiting, column="parent_id")
            waiting = {row["span_id"] for row in below} - seen
            seen = seen | waiting
            found = list(self._of_trace(_BY_ID, trace_id, waiting - rows.keys()))
            rows |= {row["span_id"]: row for row in found}
            if len(found) > len({row["span_id"] for row in found}):
                return None
        return rows

    def _of_trace(
        self, sql: str, trace_id: str, span_ids: Iterable[str], column: str = "span_id"
    ) -> Iterator[sqlite3.Row]:
        for some in portions(sorted(span_ids)):
            values = (*sought(some), self._project, trace_id)
            yield from self._connection.execute(sql.format(one_of(column, len(some))), values)

    def _found(self, sql: str, column: str, ids: Iterable[str]) -> Iterator[str]:
        return (row["found"] for row in self._ask(sql, column, ids))

    def _ask(self, sql: str, column: str, ids: Iterable[str]) -> Iterator[sqlite3.Row]:
        for some in portions(sorted(ids)):
            values = (self._project, *sought(some))
            yield from self._connection.execute(sql.format(one_of(column, len(some))), values)


def _highest(span_id: str, rows: Mapping[str, sqlite3.Row]) -> str:
    """The highest call above a span; the span itself when there is none."""
    highest = at = span_id
    seen: set[str] = set()
    while at in rows and at not in seen:  # ids can form a ring
        seen.add(at)
        if rows[at]["cost_state"] is not None:
            highest = at
        at = rows[at]["parent_id"] or ""
    return highest


def _sure_ids(rows: Iterable[SpanRow | Call]) -> set[str]:
    return {row.response_id for row in rows if len(row.response_id) >= SURE_ID_LENGTH}


def _call(stored: sqlite3.Row) -> Call:
    key, trace, span, parent, start, end, response, state, cost, inputs, outputs, stamped, unbilled = stored
    tokens = None if inputs is None and outputs is None else (inputs or 0, outputs or 0)
    return Call(
        key,
        trace,
        span,
        parent,
        start,
        end,
        response,
        state,
        exact.from_text(cost),
        tokens,
        bool(stamped),
        unbilled,
    )
