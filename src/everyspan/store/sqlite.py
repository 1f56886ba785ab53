"""The embedded store: one SQLite file, one writer at a time, readers in any thread and process.

Every insert is one transaction with synchronous=FULL: when it returns, it survives power loss. Trace summaries,
cost roll-ups and the accounts of writers change in the same transaction as the rows, and only for rows that are
new, so no state that anyone can read counts a span twice or misses one.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from everyspan.errors import StoreError
from everyspan.store import (
    limits,
    sqlite_costs,
    sqlite_facets,
    sqlite_functions,
    sqlite_latency,
    sqlite_read,
    sqlite_traces,
    sqlite_upkeep,
    sqlite_write,
)
from everyspan.store.bodies import Squeezer
from everyspan.store.groups import (
    Each,
    GroupFilter,
    LatencyBy,
    LatencyFilter,
    LatencyGroup,
    TraceBy,
    TraceGroup,
    TraceTotals,
)
from everyspan.store.migrate import check, migrate
from everyspan.store.outline import Outline
from everyspan.store.reads import (
    CostBy,
    CostFilter,
    CostGroup,
    Inserted,
    TraceFilter,
    TraceSummary,
    Unnumbered,
    WriterFilter,
    WriterState,
)
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.sqlite_sides import Connection, Sides
from everyspan.store.upkeep import Deleted, Deletion, SpanPage

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables: without them an integer that overflows silently becomes a float."""

_BUSY_S = 20.0
"""How long to wait for a writer in another process before giving up."""

_WRITER_CACHE_KIB = 64 << 10
"""What a large batch changes fits, as each span touches five indexes somewhere. A page that has to leave before the end
of its transaction is written twice; the memory is taken only when there is so much to do."""

_LOG_PAGES = 16_000
"""How long the log grows, 64 MiB, before its pages move into the file: most are changed again before that."""

_IDLE_READERS = 8
"""Connections kept for the next reader; more are opened when needed and closed again."""


class SqliteStore(Sides):
    """See `Store` for what each method promises."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the store at `path`, creating or upgrading it unless `read_only`.

        Raises:
            StoreError: see `open_store`.
        """
        self.path = path
        self.read_only = read_only
        self._write_lock = threading.Lock()
        self._idle_lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False
        self._writer: Connection | None = None
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old; the store needs 3.37 or newer")
        with self._translated("open"):
            self._open()

    def insert(
        self, spans: Sequence[SpanRow], numbers: Sequence[Numbers] = (), sightings: Sequence[Sighting] = ()
    ) -> Inserted:
        """See `Store.insert`. One thread at a time; others wait."""
        batch = limits.acceptable(spans, numbers, sightings)
        with self._translated("write to"), self._writing() as connection:
            return sqlite_write.insert(connection.sql, connection.squeezer, batch)

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """See `Store.list_traces`."""
        with self._reading() as connection:
            return sqlite_traces.list_traces(connection.sql, wanted)

    def trace_totals(self, wanted: TraceFilter) -> TraceTotals:
        """See `Store.trace_totals`."""
        with self._reading() as connection:
            return sqlite_traces.trace_totals(connection.sql, wanted)

    def trace_groups(self, by: TraceBy, wanted: GroupFilter) -> list[TraceGroup]:
        """See `Store.trace_groups`."""
        with self._reading() as connection:
            return sqlite_facets.trace_groups(connection.sql, by, wanted)

    def read_trace(
        self, trace_id: str, *, project: str, bodies: bool = True
    ) -> tuple[TraceSummary, list[SpanRow]] | None:
        """See `Store.read_trace`."""
        with self._reading() as connection:
            squeezer = connection.squeezer if bodies else None
            return sqlite_read.read_trace(connection.sql, squeezer, trace_id, project)

    def read_outline(self, trace_id: str, *, project: str) -> tuple[TraceSummary, list[Outline]] | None:
        """See `Store.read_outline`."""
        with self._reading() as connection:
            return sqlite_read.read_outline(connection.sql, trace_id, project)

    def read_span(self, trace_id: str, key: str, *, project: str) -> SpanRow | None:
        """See `Store.read_span`."""
        with self._reading() as connection:
            return sqlite_read.read_span(connection.sql, connection.squeezer, trace_id, key, project)

    def projects_of(self, trace_id: str) -> list[str]:
        """See `Store.projects_of`."""
        with self._reading() as connection:
            return sqlite_read.projects_of(connection.sql, trace_id)

    def projects(self) -> list[str]:
        """See `Store.projects`."""
        with self._reading() as connection:
            return sqlite_read.projects(connection.sql)

    def cost_groups(self, by: CostBy, wanted: CostFilter, *, each: Each | None = None) -> list[CostGroup]:
        """See `Store.cost_groups`."""
        with self._reading() as connection:
            return sqlite_costs.cost_groups(connection.sql, by, wanted, each)

    def latency_groups(
        self, by: LatencyBy, wanted: LatencyFilter, *, each: Each | None = None
    ) -> list[LatencyGroup]:
        """See `Store.latency_groups`."""
        with self._reading() as connection:
            return sqlite_latency.latency_groups(connection.sql, by, wanted, each)

    def writers(self, wanted: WriterFilter) -> list[WriterState]:
        """See `Store.writers`."""
        with self._reading() as connection:
            return sqlite_read.writers(connection.sql, wanted)

    def unnumbered(self, wanted: WriterFilter) -> list[Unnumbered]:
        """See `Store.unnumbered`."""
        with self._reading() as connection:
            return sqlite_read.unnumbered(connection.sql, wanted)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A snapshot, for the parts of this store that stand in modules of their own."""
        with self._reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, for the same."""
        with self._translated("write to"), self._writing() as connection:
            yield connection

    def read_spans(self, after: str = "", *, project: str = "", limit: int = 1000) -> SpanPage:
        """See `Store.read_spans`."""
        with self._reading() as connection:
            return sqlite_upkeep.read_spans(*connection, after, project=project, limit=limit)

    def delete(self, wanted: Deletion) -> Deleted:
        """See `Store.delete`. Inserts get their turn between any hundred traces, and wait while the index is tidied."""
        traces = spans = 0
        with self._reading() as connection:
            ids = sqlite_upkeep.traces_of(connection.sql, wanted)
        with self._translated("delete from"):
            for start in range(0, len(ids), sqlite_upkeep.AT_ONCE):
                with self._writing() as connection:
                    done = sqlite_upkeep.delete(*connection, ids[start : start + sqlite_upkeep.AT_ONCE])
                traces, spans = traces + done.traces, spans + done.spans
            with self._writing() as connection:
                if wanted.all_of_it:
                    sqlite_upkeep.forget_rest(connection.sql, wanted.project)
                if spans:
                    # Until then the words of what was deleted stand in the index beside a note that they are gone.
                    connection.sql.execute("INSERT INTO texts (texts) VALUES ('optimize')")
            with self._write_lock:
                if self._writer is not None and spans:
                    # Pages as they were are still in the log.
                    self._writer.sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Deleted(traces=traces, spans=spans)

    def back_up(self, to: Path, *, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Copy the store as it is at one moment into a new file, beside whoever writes.

        Args:
            progress: told how many pages are copied, and of how many.

        Raises:
            StoreError: the file is there already, or cannot be written.
        """
        with self._translated("back up"):
            # Created here, so that nobody else may read it, and never over another file.
            os.close(os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            source = self._connect()
            with closing(source.sql), closing(sqlite3.connect(to)) as target:
                source.sql.backup(target, pages=1000, progress=lambda _, left, of: progress(of - left, of))
                verdict = target.execute("PRAGMA integrity_check").fetchone()[0]
            if verdict != "ok":
                raise StoreError(f"the backup {to} is damaged: {verdict}")

    def close(self) -> None:
        """See `Store.close`. A reader in another thread finishes its question first."""
        with self._idle_lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.sql.close()
        with self._write_lock:
            if self._writer is not None:
                self._writer.sql.close()
                self._writer = None

    def _open(self) -> None:
        if self.read_only:
            if not self.path.is_file():
                raise StoreError(
                    f"there is no store at {self.path}; start `everyspan serve` or give its path"
                )
            with closing(self._connect().sql) as connection:
                if check(connection, where=str(self.path)) == 0:
                    raise StoreError(f"{self.path} is empty; start `everyspan serve` or give another path")
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Prompts are in it: nobody else may read the file, and SQLite gives its side files the same mode.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        writer = self._connect()
        try:
            # Before anything is changed in a file that may belong to somebody else.
            check(writer.sql, where=str(self.path))
            writer.sql.execute("PRAGMA journal_mode = WAL")
            writer.sql.execute("PRAGMA synchronous = FULL")
            # What is deleted is overwritten, not only unlinked.
            writer.sql.execute("PRAGMA secure_delete = ON")
            writer.sql.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
            writer.sql.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            migrate(writer.sql, where=str(self.path))
        except BaseException:
            writer.sql.close()
            raise
        self._writer = writer

    def _connect(self) -> Connection:
        # A URI, so that a path is never created by looking. Threads share connections, each used by one at a time.
        sql = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        sql.row_factory = sqlite3.Row
        connection = Connection(sql, Squeezer())
        sqlite_functions.register(*connection)
        return connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._write_lock:
            if self._writer is None:
                raise StoreError(
                    f"store {self.path} is {'closed' if self._closed else 'open for reading only'}"
                )
            connection = self._writer
            connection.sql.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.sql.execute("COMMIT")
            except BaseException:
                # A failed COMMIT may have rolled back already.
                if connection.sql.in_transaction:
                    connection.sql.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated("read"):
            connection = self._take()
            try:
                # One snapshot for all statements of a question.
                connection.sql.execute("BEGIN")
                yield connection
                connection.sql.execute("COMMIT")
            except BaseException:
                connection.sql.close()
                raise
            self._give_back(connection)

    def _take(self) -> Connection:
        with self._idle_lock:
            if self._closed:
                raise StoreError(f"store {self.path} is closed")
            if self._idle:
                return self._idle.pop()
        connection = self._connect()
        connection.sql.execute("PRAGMA query_only = ON")
        return connection

    def _give_back(self, connection: Connection) -> None:
        with self._idle_lock:
            if not self._closed and len(self._idle) < _IDLE_READERS:
                self._idle.append(connection)
                return
        connection.sql.close()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError, UnicodeEncodeError) as error:
            raise StoreError(f"could not {doing} the store {self.path}: {error}") from error
