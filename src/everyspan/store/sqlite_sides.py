"""The sides of a SQLite store beside traces: scores, single spans, files."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from everyspan.store import sqlite_daily, sqlite_measures, sqlite_media, sqlite_scores
from everyspan.store.bodies import Squeezer
from everyspan.store.conditions import Period, SpanField, SpanGroup, Sums
from everyspan.store.daily import DailyFilter, DailyPage
from everyspan.store.media import Media, Use
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter, SpanFilter


class Connection(NamedTuple):
    """A connection with what compresses its bodies."""

    sql: sqlite3.Connection
    squeezer: Squeezer


class Sides(ABC):
    """What `SingleStore` and `MediaStore` promise, over the snapshots and transactions of a store."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """A snapshot."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction."""

    def put_scores(self, scores: Sequence[Score]) -> None:
        """See `SingleStore.put_scores`."""
        with self.writing() as connection:
            sqlite_scores.put(connection.sql, scores)

    def list_scores(self, wanted: ScoreFilter) -> list[Score]:
        """See `SingleStore.list_scores`."""
        with self.reading() as connection:
            return sqlite_scores.list_scores(connection.sql, wanted)

    def count_scores(self, wanted: ScoreFilter) -> int:
        """See `SingleStore.count_scores`."""
        with self.reading() as connection:
            return sqlite_scores.count_scores(connection.sql, wanted)

    def delete_score(self, project: str, score_id: str) -> bool:
        """See `SingleStore.delete_score`."""
        with self.writing() as connection:
            return sqlite_scores.delete(connection.sql, project, score_id)

    def list_spans(self, wanted: SpanFilter) -> list[SpanRow]:
        """See `SingleStore.list_spans`."""
        with self.reading() as connection:
            return sqlite_scores.list_spans(connection.sql, connection.squeezer, wanted)

    def count_spans(self, wanted: SpanFilter) -> int:
        """See `SingleStore.count_spans`."""
        with self.reading() as connection:
            return sqlite_scores.count_spans(connection.sql, wanted)

    def span_groups(
        self,
        by: Sequence[SpanField],
        wanted: SpanFilter,
        *,
        measures: Sequence[SpanField] = (),
        each: Period | None = None,
        distinct: Sequence[SpanField] = (),
    ) -> list[SpanGroup]:
        """See `SingleStore.span_groups`."""
        with self.reading() as connection:
            sums = Sums(by=by, measures=measures, each=each, distinct=distinct)
            return sqlite_scores.span_groups(connection.sql, wanted, sums)

    def trace_sums(
        self,
        by: Sequence[SpanField],
        wanted: TraceFilter,
        *,
        measures: Sequence[SpanField] = (),
        each: Period | None = None,
        distinct: Sequence[SpanField] = (),
    ) -> list[SpanGroup]:
        """See `SingleStore.trace_sums`."""
        sums = Sums(by=by, measures=measures, each=each, distinct=distinct)
        with self.reading() as connection:
            return sqlite_measures.trace_sums(connection.sql, wanted, sums)

    def daily(self, wanted: DailyFilter) -> DailyPage:
        """See `SingleStore.daily`."""
        with self.reading() as connection:
            return sqlite_daily.daily(connection.sql, wanted)

    def put_media(self, media: Media, content: bytes) -> None:
        """See `MediaStore.put_media`."""
        with self.writing() as connection:
            sqlite_media.put(connection.sql, media, content)

    def use_media(self, project: str, media_id: str, uses: Sequence[Use]) -> None:
        """See `MediaStore.use_media`."""
        with self.writing() as connection:
            sqlite_media.use(connection.sql, project, media_id, uses)

    def read_media(self, project: str, media_id: str) -> Media | None:
        """See `MediaStore.read_media`."""
        with self.reading() as connection:
            return sqlite_media.read(connection.sql, project, media_id)

    def media_content(self, project: str, media_id: str) -> bytes | None:
        """See `MediaStore.media_content`."""
        with self.reading() as connection:
            return sqlite_media.content(connection.sql, project, media_id)

    def list_media(self, project: str, *, after: str = "", limit: int = 100) -> list[Media]:
        """See `MediaStore.list_media`."""
        with self.reading() as connection:
            return sqlite_media.list_media(connection.sql, project, after, limit)
