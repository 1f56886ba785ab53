"""The write side of the SQLite store: everything that happens inside one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from everyspan.store import exact
from everyspan.store.bodies import Squeezer
from everyspan.store.limits import Batch
from everyspan.store.reads import Inserted
from everyspan.store.rows import Numbers, SpanRow
from everyspan.store.sqlite_columns import (
    BODY,
    PLAIN,
    SPAN_COLUMNS,
    draft_of,
    special,
)
from everyspan.store.sqlite_costs import add_costs
from everyspan.store.sqlite_twins import begin_of, draft_anew, has_ended, make_way, unended_last
from everyspan.store.sqlite_writers import Ledger
from everyspan.store.summary import Draft

_INSERT_SPAN = (
    f"INSERT INTO spans ({', '.join(SPAN_COLUMNS)}) VALUES ({', '.join('?' * len(SPAN_COLUMNS))}) "
    "ON CONFLICT (project, key) DO NOTHING"
)
_TRACE_COLUMNS = (
    *("project", "trace_id", "name", "user", "session", "environment", "tags", "services", "models"),
    *(
        "started_ns",
        "ended_ns",
        "spans",
        "errors",
        "states",
        "cost",
        "input_tokens",
        "output_tokens",
        "marks",
    ),
)
_PUT_TRACE = (
    f"INSERT INTO traces ({', '.join(_TRACE_COLUMNS)}) VALUES ({', '.join('?' * len(_TRACE_COLUMNS))}) "
    "ON CONFLICT (project, trace_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _TRACE_COLUMNS[2:])
)
_plain = attrgetter(*PLAIN)
_body = attrgetter(*BODY)


def insert(
    connection: sqlite3.Connection,
    squeezer: Squeezer,
    batch: Batch,
) -> Inserted:
    """Write one batch; the caller holds the transaction.

    Whether a row is new is decided by the row itself, inside the transaction, and everything that counts is
    counted from new rows only: that is what makes a repeated batch change nothing.
    """
    fresh: list[SpanRow] = []
    bodies: list[tuple[int, bytes]] = []
    begun: list[Numbers] = []
    known = 0
    changed = make_way(connection, batch.spans)
    for row in unended_last(batch.spans):
        if has_ended(connection, row):
            begun.append(begin_of(row))
            known += 1
            continue
        cursor = connection.execute(_INSERT_SPAN, (*_plain(row), *special(row)))
        if cursor.rowcount == 1 and cursor.lastrowid is not None:
            fresh.append(row)
            bodies.append((cursor.lastrowid, squeezer.pack(_body(row))))
        else:
            known += 1
    connection.executemany("INSERT INTO bodies (id, body) VALUES (?, ?)", bodies)
    add_costs(connection, fresh)
    _add_to_traces(connection, fresh, changed)
    Ledger(connection).add(fresh, [*batch.numbers, *begun], batch.sightings)
    return Inserted(new=len(fresh), known=known, refused=batch.refused)


def _add_to_traces(
    connection: sqlite3.Connection, fresh: Iterable[SpanRow], changed: set[tuple[str, str]]
) -> None:
    drafts = {at: draft_anew(connection, *at) for at in changed}
    for row in fresh:
        at = (row.project, row.trace_id)
        if at in changed:
            continue  # it is in there already
        if at not in drafts:
            stored = connection.execute(
                "SELECT * FROM traces WHERE project = ? AND trace_id = ?", at
            ).fetchone()
            drafts[at] = draft_of(stored) if stored else Draft(project=row.project, trace_id=row.trace_id)
        drafts[at].add(row)
    connection.executemany(_PUT_TRACE, map(_trace_values, drafts.values()))


def _trace_values(draft: Draft) -> tuple[Any, ...]:
    summary = draft.summary()
    return (
        *(
            summary.project,
            summary.trace_id,
            summary.name,
            summary.user,
            summary.session,
            summary.environment,
        ),
        *map(json.dumps, (summary.tags, summary.services, summary.models)),
        *(summary.started_ns, summary.ended_ns, summary.spans, summary.errors),
        *(json.dumps(summary.states), exact.to_text(summary.cost)),
        *(summary.input_tokens, summary.output_tokens, json.dumps(draft.marks)),
    )
