"""Taking spans out again, with everything that is only about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from everyspan.store.bodies import Squeezer
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import row_of
from everyspan.store.sqlite_functions import searchable


def take_out(connection: sqlite3.Connection, squeezer: Squeezer, spans: Sequence[int]) -> list[SpanRow]:
    """Remove spans with bodies and words, inside the caller's transaction; returns them, for all sums to follow."""
    rows = []
    for span in spans:
        stored = connection.execute(
            "SELECT spans.*, body FROM spans JOIN bodies USING (id) WHERE id = ?", (span,)
        ).fetchone()
        row = row_of(stored, squeezer.unpack(stored["body"]))
        if stored["text_id"] is not None:
            # An index without texts must be told what it forgets.
            connection.execute(
                "INSERT INTO texts (texts, rowid, text) VALUES ('delete', ?, ?)",
                (stored["text_id"], searchable(row.input, row.output)),
            )
        connection.execute("DELETE FROM bodies WHERE id = ?", (span,))
        connection.execute("DELETE FROM spans WHERE id = ?", (span,))
        rows.append(row)
    return rows
