"""The embedded store: one SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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


class SqliteStore:
    """See `Store` for what each method promises."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only

    def insert(
        self, spans: Sequence[SpanRow], numbers: Sequence[Numbers] = (), sightings: Sequence[Sighting] = ()
    ) -> Inserted:
        raise NotImplementedError

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        raise NotImplementedError

    def read_trace(self, trace_id: str, *, project: str) -> tuple[TraceSummary, list[SpanRow]] | None:
        raise NotImplementedError

    def projects_of(self, trace_id: str) -> list[str]:
        raise NotImplementedError

    def cost_groups(self, by: CostBy, wanted: CostFilter) -> list[CostGroup]:
        raise NotImplementedError

    def writers(self, wanted: WriterFilter) -> list[WriterState]:
        raise NotImplementedError

    def unnumbered(self, wanted: WriterFilter) -> list[Unnumbered]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
