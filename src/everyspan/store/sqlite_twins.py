"""Keeps `twins` true in the SQLite store: whenever spans come or go, the calls that they may share are judged again."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from everyspan.store import exact
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import BODY, row_of
from everyspan.store.twins import CROWD, ONE_OF_MANY, SAME_CALL, SURE_ID_LENGTH, Call, new_reasons

_AT_ONCE = 500
"""Values in one statement."""

_MOST_ROUNDS = 5
_MOST_TRACES = 5_000
"""How far response ids may lead, from one trace to the next; only ids that identify nothing lead further."""

_WITH_TWO_CALLS = """
SELECT trace_id AS found FROM spans WHERE project = ? AND trace_id IN ({})
AND (cost_state IS NOT NULL OR unbilled != '') GROUP BY trace_id HAVING count(*) > 1
"""
_CALLS = """
SELECT key, trace_id, span_id, parent_id, start_ns, end_ns, response_id, cost_state, cost, input_tokens, output_tokens,
    writer IS NOT NULL, unbilled
FROM spans WHERE project = ? AND trace_id = ? AND cost_state IS NOT NULL
"""
_ROW = "SELECT * FROM spans WHERE project = ? AND key = ?"
_OUTLINE = "SELECT span_id, parent_id, cost_state IS NOT NULL FROM spans WHERE project = ? AND trace_id = ?"
_PARENTS = "SELECT key, span_id, parent_id FROM spans WHERE project = ? AND trace_id = ?"
_SURE = f"project = ? AND length(response_id) >= {SURE_ID_LENGTH} AND response_id IN ({{}})"
_SHARED = f"SELECT response_id AS found FROM spans WHERE {_SURE} GROUP BY response_id HAVING count(*) > 1"
_CROWDED = (
    f"SELECT response_id AS found FROM spans WHERE {_SURE} AND cost_state IS NOT NULL"
    f" AND (unbilled = '' OR unbilled LIKE '{SAME_CALL}%') GROUP BY response_id HAVING count(*) > {CROWD}"
)
# In a crowd the others lost against the best one for good; only it, and what is new, can still change.
_SHARING = f"SELECT DISTINCT trace_id AS found FROM spans WHERE {_SURE} AND unbilled != '{ONE_OF_MANY}'"
_SHARING_ALL = f"SELECT DISTINCT trace_id AS found FROM spans WHERE {_SURE}"


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
        came: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            if (project, row.trace_id) not in lone:
                came[row.trace_id].add(row.span_id)
        if gone:
            traces = set(_found(connection, _WITH_TWO_CALLS, project, came))
        else:
            traces = {trace for trace, spans in came.items() if _connected(connection, project, trace, spans)}
        # Where the best one of a crowd may be gone, all of it has to be looked at.
        traces |= _sharing(connection, project, rows, sql=_SHARING_ALL if gone else _SHARING)
        calls = _closure(connection, project, traces)
        if calls:
            changed += _rebilled(connection, project, calls, traces)
    return changed


def _connected(connection: sqlite3.Connection, project: str, trace_id: str, came: set[str]) -> bool:
    """Whether one of the spans that came is a call with a call above or below it, or stands between two.

    Without, no bill of the trace can have changed, however many calls it has. Says yes when in doubt.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    spans = cursor.execute(_OUTLINE, (project, trace_id)).fetchall()
    parents = {span_id: parent_id for span_id, parent_id, _ in spans}
    if len(parents) < len(spans):
        return True  # ids that stand twice
    calls = {span_id for span_id, _, is_call in spans if is_call}
    above_others = came.intersection(parents.values())
    for span_id in came:
        if span_id in above_others and span_id in calls:
            return True
        if (span_id in above_others or span_id in calls) and _has_call_above(span_id, parents, calls):
            return True
    return False


def _has_call_above(span_id: str, parents: Mapping[str, str | None], calls: Collection[str]) -> bool:
    seen = {span_id}
    above = parents.get(span_id)
    while above is not None and above not in seen:  # ids can form a ring
        if above in calls:
            return True
        seen.add(above)
        above = parents.get(above)
    return False


def _closure(connection: sqlite3.Connection, project: str, traces: set[str]) -> list[Call]:
    """All calls of these traces, and of those that share a response id with one of them; `traces` grows."""
    calls: list[Call] = []
    new = set(traces)
    for _ in range(_MOST_ROUNDS):
        if not new or len(traces) > _MOST_TRACES:
            break
        found = [call for trace_id in sorted(new) for call in _calls(connection, project, trace_id)]
        calls += found
        new = _sharing(connection, project, found) - traces
        traces |= new
    return calls


def _sharing(
    connection: sqlite3.Connection, project: str, rows: Iterable[SpanRow | Call], sql: str = _SHARING
) -> set[str]:
    """Traces with a response id that one of these rows has and another span too."""
    shared = _found(connection, _SHARED, project, _sure_ids(rows))
    return set(_found(connection, sql, project, set(shared)))


def _sure_ids(rows: Iterable[SpanRow | Call]) -> set[str]:
    return {row.response_id for row in rows if len(row.response_id) >= SURE_ID_LENGTH}


def _rebilled(
    connection: sqlite3.Connection, project: str, calls: Sequence[Call], traces: Iterable[str]
) -> list[tuple[SpanRow, SpanRow]]:
    parents = {}
    for trace_id in sorted(traces):
        # Sorted here: for an order by key SQLite would walk through all spans of the project instead of this trace's.
        for _, span_id, parent_id in sorted(map(tuple, connection.execute(_PARENTS, (project, trace_id)))):
            parents[trace_id, span_id] = parent_id
    crowded = set(_found(connection, _CROWDED, project, _sure_ids(calls)))
    changed = []
    for key, reason in new_reasons(calls, parents, crowded).items():
        row = row_of(connection.execute(_ROW, (project, key)).fetchone(), [""] * len(BODY))
        changed.append((row, replace(row, unbilled=reason)))
    connection.executemany(
        "UPDATE spans SET unbilled = ? WHERE project = ? AND key = ?",
        ((after.unbilled, project, after.key) for _, after in changed),
    )
    return changed


def _calls(connection: sqlite3.Connection, project: str, trace_id: str) -> Iterator[Call]:
    for stored in connection.execute(_CALLS, (project, trace_id)):
        key, trace, span, parent, start, end, response, state, cost, inputs, outputs, stamped, unbilled = (
            stored
        )
        tokens = None if inputs is None and outputs is None else (inputs or 0, outputs or 0)
        money = exact.from_text(cost)
        yield Call(
            key, trace, span, parent, start, end, response, state, money, tokens, bool(stamped), unbilled
        )


def _found(connection: sqlite3.Connection, sql: str, project: str, values: Iterable[str]) -> Iterator[str]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        some = ordered[start : start + _AT_ONCE]
        for row in connection.execute(sql.format(", ".join("?" * len(some))), (project, *some)):
            yield row["found"]
