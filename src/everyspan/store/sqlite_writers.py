"""What arrived from each writer: ranges of numbers, kept as a running account instead of searched for later."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from everyspan.store.news import News
from everyspan.store.ranges import merge, size, subtract
from everyspan.store.reads import Range
from everyspan.store.rows import INTERRUPTED, Numbers, Sighting, SpanRow

_ADD_UNNUMBERED = """
INSERT INTO unnumbered (project, service, spans, interrupted) VALUES (?, ?, ?, ?)
ON CONFLICT (project, service)
DO UPDATE SET spans = spans + excluded.spans, interrupted = interrupted + excluded.interrupted
"""
_UPDATE_WRITER = """
UPDATE writers SET services = ?, begun = begun + ?, spans = spans + ?, interrupted = interrupted + ?,
    spooled_to = max(spooled_to, ?), closed = max(closed, ?), seen_ns = max(seen_ns, ?), about = ?, about_ns = ?
WHERE id = ?
"""


class Ledger:
    """Brings the accounts of writers up to date, inside the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(
        self,
        fresh: Sequence[SpanRow],
        numbers: Sequence[Numbers],
        sightings: Sequence[Sighting],
        replaced: Sequence[SpanRow] = (),
        outdone: Sequence[SpanRow] = (),
    ) -> None:
        """Take in rows that are new, and whatever else was said, new or not.

        Args:
            replaced: interrupted spans that were counted, and no longer are.
            outdone: interrupted spans that never will be.
        """
        news: dict[tuple[str, str], News] = defaultdict(News)
        unnumbered: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for rows, sign in ((fresh, 1), (replaced, -1)):
            for row in rows:
                if row.writer is None or row.seq is None:
                    counts = unnumbered[row.project, row.service]
                    counts[0] += sign
                    counts[1] += sign * (row.end == INTERRUPTED)
                elif sign > 0:
                    news[row.project, row.writer].add_span(row, row.seq)
                else:
                    news[row.project, row.writer].spans -= 1
                    news[row.project, row.writer].interrupted -= 1
        for row in outdone:
            if row.writer is not None and row.seq is not None:
                news[row.project, row.writer].add_outdone(row, row.seq)
        for range_ in numbers:
            news[range_.project, range_.writer].add_numbers(range_)
        for sighting in sightings:
            news[sighting.project, sighting.writer].add_sighting(sighting)
        self._connection.executemany(_ADD_UNNUMBERED, ((*at, *counts) for at, counts in unnumbered.items()))
        if replaced:
            self._connection.execute("DELETE FROM unnumbered WHERE spans = 0")
        for (project, writer), one in news.items():
            self._update(project, writer, one)

    def _update(self, project: str, writer: str, news: News) -> None:
        self._connection.execute(
            "INSERT INTO writers (project, writer, services, begun, spans, interrupted, spooled_to, closed, seen_ns,"
            " about, about_ns) VALUES (?, ?, '[]', 0, 0, 0, 0, 0, 0, '{}', 0) ON CONFLICT DO NOTHING",
            (project, writer),
        )
        stored = self._connection.execute(
            "SELECT id, services, about, about_ns FROM writers WHERE project = ? AND writer = ?",
            (project, writer),
        ).fetchone()
        begun = self._receive(stored["id"], news)
        for reason, ranges in news.dropped.items():
            self._drop(stored["id"], reason, ranges)
        services = json.dumps(sorted({*json.loads(stored["services"]), *news.services}))
        about_ns, about = max((stored["about_ns"], stored["about"]), news.about)
        self._connection.execute(
            _UPDATE_WRITER,
            (
                *(services, begun, news.spans, news.interrupted, news.spooled_to, news.closed, news.seen_ns),
                *(about, about_ns, stored["id"]),
            ),
        )

    def _receive(self, writer_id: int, news: News) -> int:
        """Add the numbers to those received; returns how many begun calls are among them that were not known."""
        arrived = merge([*news.begun, *news.other])
        if not arrived:
            return 0
        there = self._take_out("received", "writer_id = ?", (writer_id,), arrived)
        self._connection.executemany(
            "INSERT INTO received (writer_id, first, last) VALUES (?, ?, ?)",
            ((writer_id, *range_) for range_ in merge([*there, *arrived])),
        )
        return size(subtract(news.begun, there))

    def _drop(self, writer_id: int, reason: str, ranges: list[Range]) -> None:
        there = self._take_out("dropped", "writer_id = ? AND reason = ?", (writer_id, reason), merge(ranges))
        self._connection.executemany(
            "INSERT INTO dropped (writer_id, reason, first, last) VALUES (?, ?, ?, ?)",
            ((writer_id, reason, *range_) for range_ in merge([*there, *ranges])),
        )

    def _take_out(
        self, table: str, whose: str, keys: tuple[int | str, ...], arrived: list[Range]
    ) -> list[Range]:
        """Remove and return the stored ranges that overlap or touch what arrived, for the merged ones to replace."""
        near = f"{whose} AND first <= ? AND last >= ?"
        span = (*keys, arrived[-1][1] + 1, arrived[0][0] - 1)
        there = [
            (row["first"], row["last"])
            for row in self._connection.execute(f"SELECT first, last FROM {table} WHERE {near}", span)
        ]
        if there:
            self._connection.execute(f"DELETE FROM {table} WHERE {near}", span)
        return there
