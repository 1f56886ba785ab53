"""The store for scale: ClickHouse, a server or cluster of them, or its engine embedded in this process (chDB).

Rows replace their duplicates when they merge, every question asks for rows as if all merges had happened (FINAL), and
before an insert what is stored already is left out. What a trace comes to is made anew from its spans then.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
import urllib3
from clickhouse_connect.datatypes.base import ClickHouseType
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from everyspan.errors import StoreError
from everyspan.store import (
    clickhouse_costs,
    clickhouse_daily,
    clickhouse_measures,
    clickhouse_media,
    clickhouse_scores,
    clickhouse_traces,
    clickhouse_upkeep,
    clickhouse_write,
    clickhouse_writers,
    limits,
)
from everyspan.store.clickhouse_address import Address
from everyspan.store.clickhouse_columns import Ask
from everyspan.store.clickhouse_schema import migrate
from everyspan.store.conditions import Period, SpanField, SpanGroup, Sums
from everyspan.store.daily import DailyFilter, DailyPage
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
from everyspan.store.media import Media, Use
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
from everyspan.store.scores import Score, ScoreFilter, SpanFilter
from everyspan.store.upkeep import Deleted, Deletion, SpanPage

_READ = {"final": 1, "do_not_merge_across_partitions_select_final": 1, "join_use_nulls": 1}


class ClickHouseStore:
    """See `Store` for what each method promises.

    An insert that raises may have stored a part; handing in the same again completes it and counts nothing twice.
    """

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        """Connect, and create or upgrade the tables unless `read_only`.

        Raises:
            StoreError: see `open_store`.
        """
        self.address = address
        self.read_only = read_only
        self._write_lock = threading.Lock()
        self._client: Client | None = None
        self._types: dict[tuple[str, ...], Sequence[ClickHouseType]] = {}
        with self._translated("open"):
            client = clickhouse_connect.get_client(**address.connection())
            try:
                migrate(client, address.layout, read_only=read_only, where=str(address))
                client.close()
                client = clickhouse_connect.get_client(
                    **address.connection(), database=address.layout.database
                )
            except BaseException:
                client.close()
                raise
            self._client = client

    def insert(
        self, spans: Sequence[SpanRow], numbers: Sequence[Numbers] = (), sightings: Sequence[Sighting] = ()
    ) -> Inserted:
        """See `Store.insert`. One thread at a time; others wait."""
        self._check_writable()
        batch = limits.acceptable(spans, numbers, sightings)
        with self._write_lock, self._translated("write to"):
            return clickhouse_write.insert(self._ask, self._put, self._do, self._take_out_spans, batch)

    def list_traces(self, wanted: TraceFilter) -> list[TraceSummary]:
        """See `Store.list_traces`."""
        with self._translated("read"):
            return clickhouse_traces.list_traces(self._ask, wanted)

    def trace_totals(self, wanted: TraceFilter) -> TraceTotals:
        """See `Store.trace_totals`."""
        with self._translated("read"):
            return clickhouse_traces.trace_totals(self._ask, wanted)

    def trace_groups(self, by: TraceBy, wanted: GroupFilter) -> list[TraceGroup]:
        """See `Store.trace_groups`."""
        with self._translated("read"):
            return clickhouse_traces.trace_groups(self._ask, by, wanted)

    def read_trace(
        self, trace_id: str, *, project: str, bodies: bool = True
    ) -> tuple[TraceSummary, list[SpanRow]] | None:
        """See `Store.read_trace`."""
        with self._translated("read"):
            return clickhouse_traces.read_trace(self._ask, trace_id, project, bodies=bodies)

    def read_outline(self, trace_id: str, *, project: str) -> tuple[TraceSummary, list[Outline]] | None:
        """See `Store.read_outline`."""
        with self._translated("read"):
            return clickhouse_traces.read_outline(self._ask, trace_id, project)

    def read_span(self, trace_id: str, key: str, *, project: str) -> SpanRow | None:
        """See `Store.read_span`."""
        with self._translated("read"):
            return clickhouse_traces.read_span(self._ask, trace_id, key, project)

    def projects_of(self, trace_id: str) -> list[str]:
        """See `Store.projects_of`."""
        sql = "SELECT DISTINCT toString(project) FROM spans WHERE trace_id = {trace_id:String} ORDER BY 1"
        with self._translated("read"):
            return [row[0] for row in self._ask(sql, {"trace_id": trace_id})]

    def projects(self) -> list[str]:
        """See `Store.projects`."""
        tables = ("spans", "writers", "scores", "media")
        sql = " UNION DISTINCT ".join(f"SELECT toString(project) AS project FROM {name}" for name in tables)
        with self._translated("read"):
            return sorted(row[0] for row in self._ask(sql, {}))

    def cost_groups(self, by: CostBy, wanted: CostFilter, *, each: Each | None = None) -> list[CostGroup]:
        """See `Store.cost_groups`."""
        with self._translated("read"):
            return clickhouse_costs.cost_groups(self._ask, by, wanted, each)

    def latency_groups(
        self, by: LatencyBy, wanted: LatencyFilter, *, each: Each | None = None
    ) -> list[LatencyGroup]:
        """See `Store.latency_groups`."""
        with self._translated("read"):
            return clickhouse_costs.latency_groups(self._ask, by, wanted, each)

    def writers(self, wanted: WriterFilter) -> list[WriterState]:
        """See `Store.writers`."""
        with self._translated("read"):
            return clickhouse_writers.writers(self._ask, wanted)

    def unnumbered(self, wanted: WriterFilter) -> list[Unnumbered]:
        """See `Store.unnumbered`."""
        with self._translated("read"):
            return clickhouse_writers.unnumbered(self._ask, wanted)

    def put_scores(self, scores: Sequence[Score]) -> None:
        """See `SingleStore.put_scores`."""
        self._check_writable()
        with self._write_lock, self._translated("write to"):
            clickhouse_scores.put(self._ask, self._add, scores)

    def list_scores(self, wanted: ScoreFilter) -> list[Score]:
        """See `SingleStore.list_scores`."""
        with self._translated("read"):
            return clickhouse_scores.list_scores(self._ask, wanted)

    def count_scores(self, wanted: ScoreFilter) -> int:
        """See `SingleStore.count_scores`."""
        with self._translated("read"):
            return clickhouse_scores.count_scores(self._ask, wanted)

    def delete_score(self, project: str, score_id: str) -> bool:
        """See `SingleStore.delete_score`. The answer comes when no file holds it any more."""
        self._check_writable()
        with self._write_lock, self._translated("delete from"):
            there = clickhouse_scores.count_scores(self._ask, ScoreFilter(project=project, ids=(score_id,)))
            if there:
                self._take_out("scores", project, "id = {id:String}", {"id": score_id})
        return bool(there)

    def list_spans(self, wanted: SpanFilter) -> list[SpanRow]:
        """See `SingleStore.list_spans`."""
        with self._translated("read"):
            return clickhouse_scores.list_spans(self._ask, wanted)

    def count_spans(self, wanted: SpanFilter) -> int:
        """See `SingleStore.count_spans`."""
        with self._translated("read"):
            return clickhouse_scores.count_spans(self._ask, wanted)

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
        with self._translated("read"):
            sums = Sums(by=by, measures=measures, each=each, distinct=distinct)
            return clickhouse_scores.span_groups(self._ask, wanted, sums)

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
        with self._translated("read"):
            return clickhouse_measures.trace_sums(self._ask, wanted, sums)

    def daily(self, wanted: DailyFilter) -> DailyPage:
        """See `SingleStore.daily`."""
        with self._translated("read"):
            return clickhouse_daily.daily(self._ask, wanted)

    def put_media(self, media: Media, content: bytes) -> None:
        """See `MediaStore.put_media`."""
        self._check_writable()
        with self._write_lock, self._translated("write to"):
            clickhouse_media.put(self._add, media, content)

    def use_media(self, project: str, media_id: str, uses: Sequence[Use]) -> None:
        """See `MediaStore.use_media`."""
        self._check_writable()
        with self._write_lock, self._translated("write to"):
            clickhouse_media.use(self._add, project, media_id, uses)

    def read_media(self, project: str, media_id: str) -> Media | None:
        """See `MediaStore.read_media`."""
        with self._translated("read"):
            return clickhouse_media.read(self._ask, project, media_id)

    def media_content(self, project: str, media_id: str) -> bytes | None:
        """See `MediaStore.media_content`."""
        with self._translated("read"):
            return clickhouse_media.content(self._ask, project, media_id)

    def list_media(self, project: str, *, after: str = "", limit: int = 100) -> list[Media]:
        """See `MediaStore.list_media`."""
        with self._translated("read"):
            return clickhouse_media.list_media(self._ask, project, after, limit)

    def read_spans(self, after: str = "", *, project: str = "", limit: int = 1000) -> SpanPage:
        """See `Store.read_spans`."""
        with self._translated("read"):
            return clickhouse_upkeep.read_spans(self._ask, after, project=project, limit=limit)

    def delete(self, wanted: Deletion) -> Deleted:
        """See `Store.delete`. Inserts of this process wait; those of others are not disturbed."""
        self._check_writable()
        gone = Deleted()
        layout, at_once = self.address.layout, clickhouse_upkeep.AT_ONCE
        with self._write_lock, self._translated("delete from"):
            traces = clickhouse_upkeep.traces_of(self._ask, wanted)
            for start in range(0, len(traces), at_once):
                some = traces[start : start + at_once]
                clickhouse_media.forget(self._ask, self._take_out, wanted.project, some)
                done = clickhouse_upkeep.delete(
                    self._ask, self._put, self._change, layout, wanted.project, some
                )
                gone = Deleted(traces=gone.traces + done.traces, spans=gone.spans + done.spans)
            if wanted.all_of_it:
                clickhouse_upkeep.forget_rest(self._change, layout, wanted.project)
        return gone

    @contextmanager
    def reading(self) -> Iterator[Ask]:
        """What asks the tables, for the parts of this store that stand in modules of their own."""
        with self._translated("read"):
            yield self._ask

    @contextmanager
    def writing(self) -> Iterator[tuple[Ask, clickhouse_scores.Put]]:
        """What asks them and what adds rows, for the same; one thread at a time."""
        self._check_writable()
        with self._write_lock, self._translated("write to"):
            yield self._ask, self._add

    def close(self) -> None:
        """See `Store.close`."""
        with self._write_lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Client:
        if self._client is None:
            raise StoreError(f"store {self.address} is closed")
        return self._client

    def _ask(
        self, sql: str, parameters: dict[str, Any], column_formats: dict[str, Any] | None = None
    ) -> Sequence[Sequence[Any]]:
        found = self._connected().query(
            sql, parameters=parameters, settings=_READ, column_formats=column_formats
        )
        rows: Sequence[Sequence[Any]] = found.result_rows
        return rows

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreError(f"store {self.address} is open for reading only")

    def _add(self, table: str, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
        self._put(table, rows, columns, uuid.uuid4().hex)

    def _put(self, table: str, rows: Sequence[Sequence[Any]], columns: Sequence[str], token: str) -> None:
        settings = {**self.address.insert_settings(), "insert_deduplication_token": token}
        types = self._types.get((table, *columns))
        if types is None:
            # Asked of the server once, and not before each insert.
            types = self._connected().create_insert_context(table, list(columns)).column_types
            self._types[table, *columns] = types
        self._connected().insert(
            table, rows, column_names=list(columns), column_types=types, settings=settings
        )

    def _do(self, statement: str, parameters: dict[str, Any]) -> None:
        self._connected().command(statement, parameters=parameters, settings=self.address.insert_settings())

    def _take_out_spans(self, project: str, condition: str, parameters: dict[str, Any]) -> None:
        self._take_out("spans", project, condition, parameters)

    def _take_out(self, table: str, project: str, condition: str, parameters: dict[str, Any]) -> None:
        layout = self.address.layout
        whose = f"project = {{whose:String}} AND {condition}"
        self._change(
            f"ALTER TABLE {layout.local(table)} {layout.on_cluster} DELETE WHERE {whose}",
            {**parameters, "whose": project},
        )

    def _change(self, statement: str, parameters: dict[str, Any]) -> None:
        # The answer comes when all replicas have rewritten their files.
        self._connected().command(statement, parameters=parameters, settings={"mutations_sync": 2})

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError, OverflowError) as error:
            raise StoreError(f"could not {doing} the store {self.address}: {str(error)[:1000]}") from error
