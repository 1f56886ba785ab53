"""The one interface behind which spans are kept, and how to open what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from everyspan.errors import StoreError
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
from everyspan.store.media import MediaStore
from everyspan.store.outline import Outline
from everyspan.store.reads import (
    CostBy,
    CostFilter,
    CostGroup,
    Inserted,
    Refused,
    TraceFilter,
    TraceSummary,
    Unnumbered,
    WriterFilter,
    WriterState,
)
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.scores import SingleStore
from everyspan.store.upkeep import Deleted, Deletion, SpanPage

__all__ = ["Inserted", "Refused", "Store", "open_store"]


class Store(SingleStore, MediaStore, Protocol):
    """Keeps spans and answers questions. Every method may be called from any thread, and raises only StoreError."""

    def insert(
        self, spans: Sequence[SpanRow], numbers: Sequence[Numbers] = (), sightings: Sequence[Sighting] = ()
    ) -> Inserted:
        """Keep all of it, or, when this raises, nothing; a store without transactions may have kept a part then, which
        handing in the same again completes.

        When it returns, the batch survives the death of process and machine. Handing in the same again, in any
        order, mixed or in part, changes no row, no sum and no audit.

        A call that its writer's successor told as `interrupted` counts only until its end is known: a row of the same
        project with the same ids and start that is not interrupted and, where both have a stamp, has a higher number of
        the same writer. Which of the two comes first does not matter.
        """

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """Summaries, newest first, up to `wanted.limit` and one more when there are more."""

    def trace_totals(self, wanted: TraceFilter) -> TraceTotals:
        """The sums of all traces that fit; `limit` and `before` do not apply."""

    def trace_groups(self, by: TraceBy, wanted: GroupFilter) -> list[TraceGroup]:
        """Users, sessions, tags and so on with the sums of their traces, up to `limit` and one more.

        In the order asked for, then by project and value. Traces without a value are in no group.
        """

    def read_trace(
        self, trace_id: str, *, project: str, bodies: bool = True
    ) -> tuple[TraceSummary, list[SpanRow]] | None:
        """A trace and all its spans, by start and then key; None when there is no such trace.

        Without `bodies` the texts, attributes, cost notes and status messages of the rows are left empty.
        """

    def read_outline(self, trace_id: str, *, project: str) -> tuple[TraceSummary, list[Outline]] | None:
        """A trace and its spans without anything long, in the order of `read_trace`; None when there is none."""

    def read_span(self, trace_id: str, key: str, *, project: str) -> SpanRow | None:
        """One span with its body; None when the trace has none with this key."""

    def projects_of(self, trace_id: str) -> list[str]:
        """The projects in which a trace with this id exists, sorted."""

    def projects(self) -> list[str]:
        """Every project of which anything is kept, sorted."""

    def cost_groups(self, by: CostBy, wanted: CostFilter, *, each: Each | None = None) -> list[CostGroup]:
        """Billed calls by group, divided by hour or day when asked, sorted by value and period. The sums are exact."""

    def latency_groups(
        self, by: LatencyBy, wanted: LatencyFilter, *, each: Each | None = None
    ) -> list[LatencyGroup]:
        """How long billed calls took and how many failed, sorted by value and period."""

    def writers(self, wanted: WriterFilter) -> list[WriterState]:
        """Every writer that something arrived from, sorted by project and writer."""

    def unnumbered(self, wanted: WriterFilter) -> list[Unnumbered]:
        """Spans without a stamp, by project and service; `wanted.writer` does not apply."""

    def read_spans(self, after: str = "", *, project: str = "", limit: int = 1000) -> SpanPage:
        """Every span, page by page, each once; spans that arrive meanwhile may be left out.

        Args:
            after: `SpanPage.next` of the page before.

        Raises:
            SettingsError: `after` is not a position of this store.
        """

    def delete(self, wanted: Deletion) -> Deleted:
        """Delete traces with rows, bodies, words and their share of every sum, so that no file holds them any more.

        The numbers of deleted spans stay received: the audit goes on to prove that they arrived. What still waits in an
        inbox or a spool comes back when it is delivered. Dying half-way leaves whole traces; another call goes on.
        """

    def close(self) -> None:
        """Give up files and connections; calling it twice is harmless, any other call afterwards raises."""


def open_store(where: str | Path, *, read_only: bool = False) -> Store:
    """The store at a path or a URL: `sqlite:///path`, `chdb:///directory` or `clickhouse://host/database`.

    Created, with its directory, when it is not there. Other processes may read while one writes.

    Args:
        read_only: never write, and raise instead of creating.

    Raises:
        StoreError: the address means nothing, the file cannot be used, or a newer everyspan made it.
    """
    # Imported here so that asking for one kind of store does not load the libraries of another.
    scheme, separator, rest = str(where).partition("://")
    if separator and scheme in ("chdb", "clickhouse", "clickhouses"):
        return _open_clickhouse(str(where), read_only=read_only)
    from everyspan.store.sqlite import SqliteStore

    if not separator:
        return SqliteStore(Path(where), read_only=read_only)
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        # As SQLAlchemy has it: three slashes for a relative path, four for an absolute one.
        return SqliteStore(Path(rest[1:]), read_only=read_only)
    raise StoreError(
        f"{where} is no store; give a path, sqlite:///path, chdb:///directory or clickhouse://host/database"
    )


def _open_clickhouse(url: str, *, read_only: bool) -> Store:
    extra = "chdb" if url.startswith("chdb") else "clickhouse"
    try:
        from everyspan.store.clickhouse import ClickHouseStore
        from everyspan.store.clickhouse_address import Address

        return ClickHouseStore(Address.of(url), read_only=read_only)
    except ImportError as missing:
        raise StoreError(
            f"{extra}:// needs a library that is not installed: pip install 'everyspan[{extra}]' ({missing})"
        ) from missing
