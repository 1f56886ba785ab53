"""What of a batch is new, asked for all of its rows at once."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from everyspan.store.rows import INTERRUPTED, REVISED, SpanRow
from everyspan.store.sqlite_ids import one_of, portions, sought

_KNOWN = "SELECT key FROM spans INDEXED BY spans_by_key WHERE project = ? AND {}"
# Told which index to use: by the trace alone it would read all of it.
_BEGUN = """
SELECT trace_id, span_id FROM spans INDEXED BY spans_interrupted
WHERE "end" = 'interrupted' AND project = ? AND trace_id IN ({})
"""


@dataclass(slots=True)
class Arrivals:
    """The rows of a batch, sorted out."""

    new: list[SpanRow] = field(default_factory=list)
    """Not stored yet, each of them once, with nothing to replace; those of one trace stand together."""
    delicate: list[SpanRow] = field(default_factory=list)
    """Interrupted ones and what may be their twins, and rows that replace others: to be taken one by one, in order."""
    known: int = 0


def sorted_out(connection: sqlite3.Connection, rows: Sequence[SpanRow]) -> Arrivals:
    """Tell what is new, inside the transaction that will write it."""
    arrivals = Arrivals()
    begun = {(row.project, row.trace_id, row.span_id) for row in rows if row.end == INTERRUPTED}
    by_project: dict[str, list[SpanRow]] = defaultdict(list)
    for row in rows:
        by_project[row.project].append(row)
    known: set[tuple[str, str]] = set()
    for project, some in by_project.items():
        known |= {
            (project, found["key"])
            for keys in portions([row.key for row in some])
            for found in connection.execute(_KNOWN.format(one_of("key", len(keys))), (project, *sought(keys)))
        }
        for traces in portions(list({row.trace_id for row in some})):
            sql = _BEGUN.format(", ".join("?" * len(traces)))
            begun |= {(project, *found) for found in connection.execute(sql, (project, *traces))}
    new: dict[tuple[str, str], list[SpanRow]] = defaultdict(list)
    for row in rows:
        if row.key.startswith(REVISED) or (begun and (row.project, row.trace_id, row.span_id) in begun):
            arrivals.delicate.append(row)
            continue
        at = (row.project, row.key)
        if at in known:
            arrivals.known += 1
            continue
        known.add(at)
        new[row.project, row.trace_id].append(row)
    arrivals.new = [row for some in new.values() for row in some]
    return arrivals
