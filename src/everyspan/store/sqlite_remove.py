"""Taking spans out again, with everything that is only about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from everyspan.store import sqlite_bodies
from everyspan.store.bodies import Squeezer
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import row_of
from everyspan.store.words import searchable


def take_out(connection: sqlite3.Connection, squeezer: Squeezer, spans: Sequence[int]) -> list[SpanRow]:
    """Remove spans with bodies and words, inside the caller's transaction; returns them, for all sums to follow."""
    rows = []
    bodies = sqlite_bodies.take_out(connection, squeezer, spans)
    for span in spans:
        stored = connection.execute("SELECT * FROM spans WHERE id = ?", (span,)).fetchone()
        row = row_of(stored, bodies[span])
        if stored["text_id"] is not None:
            # An index without texts must be told what it forgets.
            connection.execute(
                "INSERT INTO texts (texts, rowid, text) VALUES ('delete', ?, ?)",
                (stored["text_id"], searchable(row.input, row.output)),
            )
        connection.execute("DELETE FROM spans WHERE id = ?", (span,))
        rows.append(row)
    return rows
