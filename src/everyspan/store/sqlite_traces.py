"""Traces found by what they have in common: the list, and the sums of a list."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field, replace

from everyspan.store import exact
from everyspan.store.groups import TraceTotals
from everyspan.store.reads import STATES, TraceFilter, TraceSummary
from everyspan.store.sqlite_columns import draft_of
from everyspan.store.sqlite_facets import ALL, ids_of, totals, totals_of
from everyspan.store.sqlite_where import Where
from everyspan.store.words import asked

_KINDS = ("name", "user", "session", "environment", "tag", "service", "model", "provider")
_FEW_HITS = 1000
"""Up to so many traces with a text are looked at one by one; with more, the list is walked from its newest end."""


@dataclass
class Search:
    """The traces of a filter as SQL: sources after FROM, and conditions. `nothing` when no trace can fit."""

    sources: str = "traces"
    start: str = "started_ns"
    where: Where = field(default_factory=Where)
    nothing: bool = False


def list_traces(connection: sqlite3.Connection, wanted: TraceFilter) -> list[TraceSummary]:
    """See `Store.list_traces`."""
    search = traces_that_fit(connection, wanted)
    if search.nothing:
        return []
    position = wanted.position()
    if position is not None:
        # The first half says again what the second implies, for the index that knows only the start.
        search.where.add(f"{search.start} <= ?", position[0])
        search.where.add("(traces.started_ns, traces.project, traces.trace_id) < (?, ?, ?)", *position)
    sql = (
        f"SELECT traces.* FROM {search.sources} {search.where}"
        f" ORDER BY {search.start} DESC, traces.project DESC, traces.trace_id DESC LIMIT ?"
    )
    return [
        draft_of(row).summary() for row in connection.execute(sql, (*search.where.values, wanted.limit + 1))
    ]


def trace_totals(connection: sqlite3.Connection, wanted: TraceFilter) -> TraceTotals:
    """See `Store.trace_totals`. A project, or one value in it, is a row that is kept; anything else is added up."""
    asked_for = [(kind, value) for kind in _KINDS if (value := getattr(wanted, kind))]
    plain = TraceFilter(project=wanted.project, **dict(asked_for))
    if len(asked_for) < 2 and plain == replace(wanted, limit=plain.limit, before=""):
        kind, value = asked_for[0] if asked_for else (ALL, "")
        return totals_of(connection, kind, value, wanted.project)
    search = traces_that_fit(connection, wanted)
    if search.nothing:
        return TraceTotals()
    names = ("spans", "calls", "errors", "input_tokens", "output_tokens")
    sums = ", ".join(f"coalesce(sum(traces.{name}), 0) AS {name}" for name in names)
    states = ", ".join(
        f"coalesce(sum(json_extract(traces.states, '$.{state}')), 0) AS {state}" for state in STATES
    )
    sql = (
        f"SELECT count(*) AS traces, {sums}, {states}, sum_text(traces.cost) AS cost"
        f" FROM {search.sources} {search.where}"
    )
    return totals(connection.execute(sql, search.where.values).fetchone())


def traces_that_fit(connection: sqlite3.Connection, wanted: TraceFilter) -> Search:
    """Where the traces of a filter are found; its limit and `before` do not apply."""
    search = Search()
    _by_facets(connection, wanted, search)
    if wanted.text and not search.nothing:
        _by_text(connection, wanted.text, search)
    where = search.where
    where.equal(**{"traces.project": wanted.project})
    where.between(search.start, wanted.since_ns, wanted.until_ns)
    if wanted.with_errors:
        where.add("traces.errors > 0")
    for length_ns, sign in ((wanted.min_duration_ns, ">="), (wanted.max_duration_ns, "<=")):
        if length_ns is not None:
            where.add(f"traces.ended_ns - traces.started_ns {sign} ?", min(length_ns, (1 << 63) - 1))
    for bound, sign in ((wanted.min_cost, ">="), (wanted.max_cost, "<=")):
        if bound is not None:
            where.add(f"traces.cost_nano {sign} ?", exact.nano(bound))
            where.add(f"compare(traces.cost, ?) {sign} 0", exact.to_text(bound))
    return search


def _by_facets(connection: sqlite3.Connection, wanted: TraceFilter, search: Search) -> None:
    """Let the rarest value lead; the others are looked up for each of its traces."""
    found: list[tuple[int, list[int]]] = []
    for kind in _KINDS:
        value = getattr(wanted, kind)
        if value:
            facets = ids_of(connection, kind, value, wanted.project)
            found.append((sum(traces for _, traces in facets), [id_ for id_, _ in facets]))
    found.sort()
    if not found:
        return
    search.nothing = found[0][0] == 0
    (_, leading), *others = found
    # CROSS JOIN is SQLite's way of fixing the order of a join.
    search.sources = "trace_facets AS leading CROSS JOIN traces ON traces.id = leading.trace"
    search.start = "leading.started_ns"
    search.where.add(_one_of("leading.facet_id", leading), *leading)
    for _, ids in others:
        search.where.add(
            "EXISTS (SELECT 1 FROM trace_facets AS other WHERE other.trace = leading.trace"
            f" AND other.started_ns = leading.started_ns AND {_one_of('other.facet_id', ids)})",
            *ids,
        )


def _by_text(connection: sqlite3.Connection, text: str, search: Search) -> None:
    words = asked(text)
    if not words:
        search.nothing = True
        return
    match = " ".join(f'"{word}"' for word in words)
    # Three bytes of each place in the index count the spans of the trace: the rest is the trace's id.
    hits = "SELECT DISTINCT rowid >> 24 FROM texts WHERE texts MATCH ?"
    few = [row[0] for row in connection.execute(f"{hits} LIMIT ?", (match, _FEW_HITS + 1))]
    if len(few) > _FEW_HITS:
        # The plus keeps the planner from starting at the hits, which it would then have to sort.
        search.where.add(f"+traces.id IN ({hits})", match)
    else:
        search.nothing = not few
        search.where.add(f"traces.id IN ({', '.join(map(str, few))})")


def _one_of(column: str, ids: list[int]) -> str:
    return f"{column} = ?" if len(ids) == 1 else f"{column} IN ({', '.join('?' * len(ids))})"
