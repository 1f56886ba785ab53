"""The questions, as SQL. Each function runs inside one read transaction that its caller holds."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from everyspan.model.ids import Seq, WriterId
from everyspan.model.money import CostState
from everyspan.store import exact
from everyspan.store.bodies import Squeezer
from everyspan.store.limits import LATEST_NS
from everyspan.store.reads import (
    UNBILLED,
    CostBy,
    CostFilter,
    CostGroup,
    Dropped,
    Range,
    TraceFilter,
    TraceSummary,
    Unnumbered,
    WriterFilter,
    WriterState,
)
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite_columns import COST_KEYS, DAY_NS, TOKENS, draft_of, row_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Where:
    """Conditions with their values, in order."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._conditions: list[str] = []

    def add(self, condition: str, *values: object) -> None:
        self._conditions.append(condition)
        self.values += values

    def equal(self, **columns: str) -> None:
        """The column has this value, where one was asked for."""
        for column, value in columns.items():
            if value:
                # The second half tells the planner that an index without the empty values serves.
                self.add(f"{column} = ? AND {column} != ''", value)

    def between(self, column: str, since: int | None, until: int | None) -> None:
        # Bounds beyond what a column holds narrow nothing, or leave nothing.
        if since is not None:
            self.add(f"{column} >= ?", min(max(since, 0), LATEST_NS))
        if until is not None and until <= LATEST_NS:
            self.add(f"{column} < ?", max(until, 0))

    def __str__(self) -> str:
        return "WHERE " + " AND ".join(self._conditions) if self._conditions else ""


def list_traces(connection: sqlite3.Connection, wanted: TraceFilter) -> list[TraceSummary]:
    """See `Store.list_traces`."""
    where = _Where()
    where.equal(project=wanted.project, name=wanted.name, user=wanted.user, session=wanted.session)
    where.between("started_ns", wanted.since_ns, wanted.until_ns)
    for column, value in (("model", wanted.model), ("service", wanted.service)):
        if value:
            spans = f"SELECT project, trace_id FROM spans WHERE {column} = ? AND {column} != ''"
            where.add(f"(project, trace_id) IN ({spans})", value)
    if wanted.with_errors:
        where.add("errors > 0")
    position = wanted.position()
    if position is not None:
        where.add("(started_ns, project, trace_id) < (?, ?, ?)", *position)
    sql = f"SELECT * FROM traces {where} ORDER BY started_ns DESC, project DESC, trace_id DESC LIMIT ?"
    stored = connection.execute(sql, (*where.values, wanted.limit + 1))
    return [draft_of(row).summary() for row in stored]


def read_trace(
    connection: sqlite3.Connection, squeezer: Squeezer, trace_id: str, project: str
) -> tuple[TraceSummary, list[SpanRow]] | None:
    """See `Store.read_trace`."""
    at = (project, trace_id)
    stored = connection.execute("SELECT * FROM traces WHERE project = ? AND trace_id = ?", at).fetchone()
    if stored is None:
        return None
    rows = connection.execute(
        "SELECT spans.*, body FROM spans JOIN bodies USING (id) WHERE project = ? AND trace_id = ?"
        " ORDER BY start_ns, key",
        at,
    )
    return draft_of(stored).summary(), [row_of(row, squeezer.unpack(row["body"])) for row in rows]


def projects_of(connection: sqlite3.Connection, trace_id: str) -> list[str]:
    """See `Store.projects_of`."""
    sql = "SELECT DISTINCT project FROM spans WHERE trace_id = ? ORDER BY project"
    return [row["project"] for row in connection.execute(sql, (trace_id,))]


def cost_groups(connection: sqlite3.Connection, by: CostBy, wanted: CostFilter) -> list[CostGroup]:
    """See `Store.cost_groups`. Whole days come from the roll-up, the rest of a day from its calls."""
    source, values = _calls(wanted)
    where = _Where()
    where.equal(project=wanted.project, service=wanted.service, model=wanted.model)
    where.equal(provider=wanted.provider, user=wanted.user, session=wanted.session)
    sums = ", ".join(f"sum({name}) AS {name}" for name in ("calls", *TOKENS))
    sql = (
        f"SELECT {by.value} AS value, state AS how, {sums}, sum_text(cost) AS cost "
        f"FROM ({source}) {where} GROUP BY value, how ORDER BY value, how"
    )
    by_value: dict[Any, list[sqlite3.Row]] = defaultdict(list)
    for row in connection.execute(sql, (*values, *where.values)):
        by_value[row["value"]].append(row)
    return [_group(_day(value) if by is CostBy.DAY else value, rows) for value, rows in by_value.items()]


def _calls(wanted: CostFilter) -> tuple[str, list[int]]:
    """A query for all calls in the period, some added up already, and its values."""
    sums = ("calls", *TOKENS, "cost")
    rolled = f"SELECT {', '.join((*COST_KEYS, *sums))} FROM costs"
    if wanted.since_ns is None and wanted.until_ns is None:
        return rolled, []
    since = max(wanted.since_ns or 0, 0)
    until = LATEST_NS + 1 if wanted.until_ns is None else min(wanted.until_ns, LATEST_NS + 1)
    first_day, end_day = -(-since // DAY_NS), until // DAY_NS
    single = (
        f"SELECT start_ns / {DAY_NS}, project, service, model, provider, user, session,"
        f" CASE WHEN unbilled != '' THEN '{UNBILLED}' ELSE cost_state END, 1,"
        f" {', '.join(f'coalesce({name}, 0)' for name in TOKENS)}, cost"
        " FROM spans WHERE (cost_state IS NOT NULL OR unbilled != '') AND start_ns BETWEEN ? AND ?"
    )
    edges = [(since, until)]
    if first_day < end_day:
        edges = [(since, first_day * DAY_NS), (end_day * DAY_NS, until)]
    parts, values = [f"{rolled} WHERE day >= ? AND day < ?"], [first_day, end_day]
    for start, end in edges:
        if start < end:
            parts.append(single)
            values += [start, end - 1]
    return " UNION ALL ".join(parts), values


def _group(value: str, rows: Sequence[sqlite3.Row]) -> CostGroup:
    billed = [row for row in rows if row["how"] != UNBILLED]
    cost = None
    for row in billed:
        cost = exact.add(cost, exact.from_text(row["cost"]))
    return CostGroup(
        value=value,
        calls=sum(row["calls"] for row in billed),
        cost=cost,
        states={CostState(row["how"]): row["calls"] for row in billed},
        unbilled=sum(row["calls"] for row in rows if row["how"] == UNBILLED),
        **{name: sum(row[name] for row in billed) for name in TOKENS},
    )


def _day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()


def writers(connection: sqlite3.Connection, wanted: WriterFilter) -> list[WriterState]:
    """See `Store.writers`."""
    where = _Where()
    where.equal(project=wanted.project, writer=wanted.writer)
    if wanted.service:
        where.add("EXISTS (SELECT 1 FROM json_each(services) WHERE value = ?)", wanted.service)
    stored = connection.execute(
        f"SELECT * FROM writers {where} ORDER BY project, writer", where.values
    ).fetchall()
    received: dict[int, list[Range]] = defaultdict(list)
    whose = f"writer_id IN (SELECT id FROM writers {where})"
    for row in connection.execute(f"SELECT * FROM received WHERE {whose} ORDER BY first", where.values):
        received[row["writer_id"]].append((row["first"], row["last"]))
    dropped: dict[int, list[Dropped]] = defaultdict(list)
    for row in connection.execute(
        f"SELECT * FROM dropped WHERE {whose} ORDER BY reason, first", where.values
    ):
        dropped[row["writer_id"]].append(
            Dropped(reason=row["reason"], first=Seq(row["first"]), last=Seq(row["last"]))
        )
    return [_writer(row, received[row["id"]], dropped[row["id"]]) for row in stored]


def _writer(stored: sqlite3.Row, received: Sequence[Range], dropped: Sequence[Dropped]) -> WriterState:
    return WriterState(
        project=stored["project"],
        writer=WriterId(stored["writer"]),
        services=tuple(json.loads(stored["services"])),
        received=tuple(received),
        dropped=tuple(dropped),
        begun=stored["begun"],
        spans=stored["spans"],
        interrupted=stored["interrupted"],
        spooled_to=stored["spooled_to"],
        closed=bool(stored["closed"]),
        seen_ns=stored["seen_ns"],
        about=stored["about"],
    )


def unnumbered(connection: sqlite3.Connection, wanted: WriterFilter) -> list[Unnumbered]:
    """See `Store.unnumbered`."""
    where = _Where()
    where.equal(project=wanted.project, service=wanted.service)
    sql = f"SELECT project, service, spans, interrupted FROM unnumbered {where} ORDER BY project, service"
    return [Unnumbered(**dict(row)) for row in connection.execute(sql, where.values)]
