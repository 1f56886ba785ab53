"""What our SQL may call beside SQLite's own functions, in queries and in migrations."""

from __future__ import annotations

import sqlite3

from everyspan.store import exact, histogram
from everyspan.store.bodies import Squeezer
from everyspan.store.words import searchable


def register(connection: sqlite3.Connection, squeezer: Squeezer) -> None:
    """Give a connection our functions."""

    def body_words(body: bytes) -> str:
        (texts,) = squeezer.unpack(body, 0).values()
        return searchable(texts[0], texts[1])

    connection.create_function("add_text", 2, exact.add_text, deterministic=True)
    connection.create_function("nano", 1, exact.nano_of_text, deterministic=True)
    connection.create_function("add_histogram", 2, histogram.add_text, deterministic=True)
    connection.create_function("body_words", 1, body_words, deterministic=True)
    connection.create_function("compare", 2, exact.compare_text, deterministic=True)
    connection.create_aggregate("sum_text", 1, exact.TextSum)  # type: ignore[arg-type]
    connection.create_aggregate("least_text", 1, exact.LeastText)  # type: ignore[arg-type]
    connection.create_aggregate("most_text", 1, exact.MostText)  # type: ignore[arg-type]
    connection.create_aggregate("sum_histogram", 1, histogram.TextHistogramSum)  # type: ignore[arg-type]
    connection.create_aggregate("histogram", 1, histogram.TextHistogram)  # type: ignore[arg-type]
