"""What our SQL may call beside SQLite's own functions, in queries and in migrations."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

from everyspan.store import exact, histogram
from everyspan.store.bodies import Squeezer
from everyspan.store.words import searchable


class StatesSum:
    """An SQL aggregate: the sums of JSON objects that hold counts; what comes to nothing is left out."""

    def __init__(self) -> None:
        self._texts: Counter[str] = Counter()

    def step(self, text: str) -> None:
        """Take one object of the group."""
        self._texts[text] += 1  # most traces say the same, which is then read once

    def finalize(self) -> str:
        """The sums as JSON."""
        sums: Counter[str] = Counter()
        for text, times in self._texts.items():
            for name, count in json.loads(text).items():
                sums[name] += count * times
        return json.dumps({name: sums[name] for name in sorted(sums) if sums[name]})


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
    connection.create_aggregate("sum_states", 1, StatesSum)  # type: ignore[arg-type]
    connection.create_aggregate("sum_histogram", 1, histogram.TextHistogramSum)  # type: ignore[arg-type]
    connection.create_aggregate("histogram", 1, histogram.TextHistogram)  # type: ignore[arg-type]
