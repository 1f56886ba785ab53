"""Values by which traces are found, and the sums of the traces that have each: kept up to date, never searched for."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from operator import attrgetter

from everyspan.store import exact
from everyspan.store.groups import GroupFilter, GroupOrder, TraceBy, TraceGroup, TraceTotals
from everyspan.store.reads import STATES, Prices, TraceSummary
from everyspan.store.sqlite_repriced import groups_at_latest
from everyspan.store.sqlite_where import Where

ALL = "all"
"""The kind under which the sums of a whole project stand."""

_SUMS = ("traces", "spans", "calls", "errors", "input_tokens", "output_tokens", *STATES, "priced")
_ADD = (
    "UPDATE facets SET "
    + ", ".join(f"{name} = {name} + ?" for name in _SUMS)
    + ", cost = CASE WHEN priced + ? = 0 THEN NULL ELSE add_text(cost, ?) END WHERE id = ?"
)
# Two looks into an index; the earliest trace may have gone, so neither end can be kept by comparing.
_SETTLE = """
UPDATE facets SET cost_nano = nano(cost),
    first_ns = (SELECT min(started_ns) FROM trace_facets WHERE facet_id = facets.id),
    last_ns = (SELECT max(started_ns) FROM trace_facets WHERE facet_id = facets.id)
WHERE id = ?
"""
_LEAVE = "DELETE FROM trace_facets WHERE facet_id = ? AND started_ns = ? AND trace = ?"
_ENTER = "INSERT INTO trace_facets (facet_id, started_ns, trace) VALUES {}"
_AT_ONCE = 64
"""Places in one statement: a trace has seven or so, and running one for each took twice as long."""
_PLACE = "(?, ?, ?)"
_PLACES = ", ".join([_PLACE] * _AT_ONCE)
_ORDERS = {
    GroupOrder.LATEST: "last_ns DESC",
    GroupOrder.DEAREST: "cost_nano DESC NULLS LAST",
    GroupOrder.MOST: "traces DESC",
}

# A member of an enum looks its `value` up in Python, and this is asked for each trace.
_ONE_OF = tuple(
    (by.value, attrgetter(by.value))
    for by in (TraceBy.NAME, TraceBy.USER, TraceBy.SESSION, TraceBy.ENVIRONMENT)
)
_SOME_OF = (
    (TraceBy.TAG.value, attrgetter("tags")),
    (TraceBy.SERVICE.value, attrgetter("services")),
    (TraceBy.MODEL.value, attrgetter("models")),
    (TraceBy.PROVIDER.value, attrgetter("providers")),
)

Facet = tuple[str, str, str]
"""Project, kind and value."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A trace before and after a batch; None when it was or is not there."""

    trace: int
    before: TraceSummary | None
    after: TraceSummary | None


class _Change:
    """What a batch adds to the sums of one facet."""

    __slots__ = (
        "calls",
        "cost",
        "errors",
        "input_tokens",
        "output_tokens",
        "priced",
        "spans",
        "states",
        "traces",
    )

    def __init__(self) -> None:
        self.states = dict.fromkeys(STATES, 0)
        self.traces = self.spans = self.calls = self.errors = 0
        self.input_tokens = self.output_tokens = self.priced = 0
        self.cost: Decimal | None = None

    def add(self, summary: TraceSummary, sign: int) -> None:
        # Written out: this runs for each trace.
        self.traces += sign
        self.spans += sign * summary.spans
        self.calls += sign * summary.calls
        self.errors += sign * summary.errors
        self.input_tokens += sign * summary.input_tokens
        self.output_tokens += sign * summary.output_tokens
        for state, calls in summary.states.items():
            self.states[state] += sign * calls
        if summary.cost is not None:
            self.priced += sign
            self.cost = (exact.add if sign > 0 else exact.subtract)(self.cost, summary.cost)

    def join(self, other: _Change) -> None:
        """Add what another one adds."""
        self.traces += other.traces
        self.spans += other.spans
        self.calls += other.calls
        self.errors += other.errors
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.priced += other.priced
        for state, calls in other.states.items():
            self.states[state] += calls
        self.cost = exact.add(self.cost, other.cost)

    def sums(self) -> tuple[int, ...]:
        """As `_SUMS` names them."""
        tokens = (self.input_tokens, self.output_tokens)
        return (self.traces, self.spans, self.calls, self.errors, *tokens, *self.states.values(), self.priced)


def facets_of(summary: TraceSummary) -> Iterator[Facet]:
    """Everything by which a trace is found."""
    project = summary.project
    yield project, ALL, ""
    for kind, value_of in _ONE_OF:
        value = value_of(summary)
        if value:
            yield project, kind, value
    for kind, values_of in _SOME_OF:
        for value in values_of(summary):
            if value:
                yield project, kind, value


def update(connection: sqlite3.Connection, changes: Iterable[Changed]) -> None:
    """Bring lists and sums up to date, inside the caller's transaction."""
    # Most traces of a batch have most of their values in common: what adds up is added up before it is spread.
    alike: dict[tuple[Facet, ...], _Change] = defaultdict(_Change)
    ids: dict[Facet, int] = {}
    ids_of_alike: dict[tuple[Facet, ...], list[int]] = {}
    gone: list[tuple[int, int, int]] = []
    come: list[tuple[int, int, int]] = []
    for change in changes:
        for summary, places, sign in ((change.before, gone, -1), (change.after, come, 1)):
            if summary is not None:
                facets = tuple(facets_of(summary))
                alike[facets].add(summary, sign)
                if facets not in ids_of_alike:
                    ids |= {facet: _id(connection, facet) for facet in facets if facet not in ids}
                    ids_of_alike[facets] = [ids[facet] for facet in facets]
                started_ns, trace = summary.started_ns, change.trace
                places += [(id_, started_ns, trace) for id_ in ids_of_alike[facets]]
    sums: dict[Facet, _Change] = defaultdict(_Change)
    for facets, added in alike.items():
        for facet in facets:
            sums[facet].join(added)
    if gone:
        stay = set(gone).intersection(come)
        gone, come = ([place for place in places if place not in stay] for places in (gone, come))
    # In the order of the index: neighbours are written together.
    connection.executemany(_LEAVE, sorted(gone))
    _enter(connection, sorted(come))
    connection.executemany(
        _ADD,
        (
            (*change.sums(), change.priced, exact.to_text(change.cost), ids[facet])
            for facet, change in sums.items()
        ),
    )
    connection.executemany("DELETE FROM facets WHERE id = ? AND traces = 0", ((id_,) for id_ in ids.values()))
    connection.executemany(_SETTLE, ((id_,) for id_ in ids.values()))


def _enter(connection: sqlite3.Connection, places: Sequence[tuple[int, int, int]]) -> None:
    whole = len(places) - len(places) % _AT_ONCE
    some = (places[start : start + _AT_ONCE] for start in range(0, whole, _AT_ONCE))
    connection.executemany(_ENTER.format(_PLACES), (tuple(chain.from_iterable(each)) for each in some))
    connection.executemany(_ENTER.format(_PLACE), places[whole:])


def ids_of(connection: sqlite3.Connection, kind: str, value: str, project: str) -> list[tuple[int, int]]:
    """The facets with this value, as id and number of traces: one for each project that has it."""
    where = Where()
    where.add("kind = ? AND value = ?", kind, value)
    where.equal(project=project)
    return [
        (row["id"], row["traces"])
        for row in connection.execute(f"SELECT id, traces FROM facets {where}", where.values)
    ]


def totals_of(connection: sqlite3.Connection, kind: str, value: str, project: str) -> TraceTotals:
    """The sums of all traces with this value."""
    sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in _SUMS)
    where = Where()
    where.add("kind = ? AND value = ?", kind, value)
    where.equal(project=project)
    sql = f"SELECT {sums}, sum_text(cost) AS cost FROM facets {where}"
    return totals(connection.execute(sql, where.values).fetchone())


def trace_groups(connection: sqlite3.Connection, by: TraceBy, wanted: GroupFilter) -> list[TraceGroup]:
    """See `Store.trace_groups`."""
    latest = wanted.prices == Prices.LATEST
    source, values = groups_at_latest(by, wanted.project) if latest else ("facets", [])
    where = Where()
    where.add("kind = ?", by.value)
    where.equal(project=wanted.project, value=wanted.value)
    where.between("last_ns", wanted.since_ns, None)
    if wanted.containing:
        # LIKE with its wildcards taken literally; it folds A to Z and nothing else.
        pattern = wanted.containing.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where.add("value LIKE ? ESCAPE '\\'", f"%{pattern}%")
    sql = f"SELECT * FROM {source} {where} ORDER BY {_ORDERS[wanted.order]}, project, value LIMIT ? OFFSET ?"
    return [
        TraceGroup(
            project=row["project"],
            value=row["value"],
            first_ns=row["first_ns"],
            last_ns=row["last_ns"],
            totals=totals(row),
        )
        for row in connection.execute(sql, (*values, *where.values, wanted.limit + 1, wanted.offset))
    ]


def totals(row: sqlite3.Row) -> TraceTotals:
    """The sums of a row that has them."""
    return TraceTotals(
        traces=row["traces"],
        spans=row["spans"],
        calls=row["calls"],
        errors=row["errors"],
        cost=exact.from_text(row["cost"]),
        states={state: row[state] for state in STATES if row[state]},
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
    )


def _id(connection: sqlite3.Connection, facet: Facet) -> int:
    project, kind, value = facet
    sql = "SELECT id FROM facets WHERE kind = ? AND project = ? AND value = ?"
    row = connection.execute(sql, (kind, project, value)).fetchone()
    if row is not None:
        return int(row["id"])
    added = connection.execute(
        "INSERT INTO facets (project, kind, value) VALUES (?, ?, ?)", (project, kind, value)
    )
    return int(added.lastrowid or 0)
