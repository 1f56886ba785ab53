"""Traces found by what they have in common: the list, and the sums of a list."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field, replace

from everyspan.store import exact
from everyspan.store.groups import TraceTotals
from everyspan.store.reads import TraceFilter, TraceSummary
from everyspan.store.sqlite_columns import draft_of
from everyspan.store.sqlite_facets import ALL, ids_of, totals_of
from everyspan.store.sqlite_where import Where
from everyspan.store.words import asked

_KINDS = ("name", "user", "session", "environment", "tag", "service", "model", "provider")
_FEW_HITS = 1000
"""Up to so many traces with a text are looked at one by one; with more, the list is walked from its newest end."""
_PORTIONS = (1.25, 10, 100)
"""How many of the newest traces are searched for a text that many have, for each trace of a page, before all that have
it are gathered."""
_APART = 50
"""Up to so many ids for each trace of a portion their stretch of the index is read; beyond, the texts of others are
most of it."""
_ONE_BY_ONE = 100
"""Then so many traces are looked up one by one."""
_HITS = "SELECT DISTINCT rowid >> 24 FROM texts WHERE texts MATCH ?"
"""Three bytes of each place in the index count the spans of the trace: the rest is the trace's id."""

Position = tuple[int, str, str]
"""Start, project and trace id of the last trace of a page."""


@dataclass
class Search:
    """The traces of a filter as SQL: sources after FROM, and conditions. `nothing` when no trace can fit."""

    sources: str = "traces"
    start: str = "started_ns"
    where: Where = field(default_factory=Where)
    nothing: bool = False
    match: str = ""
    """Words, in the language of the index, that more than a few traces have; not among the conditions."""

    def with_text(self) -> Where:
        """All conditions."""
        where = self.where.copy()
        if self.match:
            # The plus keeps the planner from starting at the hits, which it would then have to sort.
            where.add(f"+traces.id IN ({_HITS})", self.match)
        return where


def list_traces(connection: sqlite3.Connection, wanted: TraceFilter) -> list[TraceSummary]:
    """See `Store.list_traces`."""
    search = traces_that_fit(connection, wanted)
    if search.nothing:
        return []
    position = wanted.position()
    if position is not None:
        _go_on(search, position)
    if search.match:
        ids = _newest(connection, search, wanted.limit + 1)
        if ids is not None:
            search = Search(where=Where())
            search.where.add(f"traces.id IN ({', '.join(map(str, ids))})")
    where = search.with_text()
    sql = f"SELECT traces.* FROM {search.sources} {where} {_order(search)} LIMIT ?"
    return [draft_of(row).summary() for row in connection.execute(sql, (*where.values, wanted.limit + 1))]


def _order(search: Search) -> str:
    return f"ORDER BY {search.start} DESC, traces.project DESC, traces.trace_id DESC"


def _go_on(search: Search, position: Position) -> None:
    # The first half says again what the second implies, for the index that knows only the start.
    search.where.add(f"{search.start} <= ?", position[0])
    search.where.add("(traces.started_ns, traces.project, traces.trace_id) < (?, ?, ?)", *position)


def _newest(connection: sqlite3.Connection, search: Search, count: int) -> list[int] | None:
    """The newest traces with a text that many have, as many as are asked for; None where they are not among the first.

    Traces are numbered as they arrive, which is about as they start: the newest are close together in the index.
    """
    found: list[int] = []
    walk = replace(search, where=search.where.copy())
    for times in _PORTIONS:
        size = int(count * times) + 1
        columns = "traces.id, traces.started_ns, traces.project, traces.trace_id"
        sql = f"SELECT {columns} FROM {walk.sources} {walk.where} {_order(walk)} LIMIT ?"
        rows = connection.execute(sql, (*walk.where.values, size)).fetchall()
        hits = _with(connection, search.match, [row["id"] for row in rows])
        if hits is None:
            return None
        found += [row["id"] for row in rows if row["id"] in hits]
        if len(found) >= count or len(rows) < size:
            return found[:count]
        walk = replace(search, where=search.where.copy())
        _go_on(walk, tuple(rows[-1])[1:])
    return None


def _with(connection: sqlite3.Connection, match: str, ids: list[int]) -> set[int] | None:
    """Those of these traces that have the words; None where it is cheaper to gather all that have them."""
    if not ids:
        return set()
    stretches = [(min(ids), max(ids))]
    if stretches[0][1] - stretches[0][0] > _APART * len(ids):
        if len(ids) > _ONE_BY_ONE:
            return None
        stretches = [(id_, id_) for id_ in ids]
    found: set[int] = set()
    for first, last in stretches:
        places = (first << 24, ((last + 1) << 24) - 1)
        found.update(
            row[0] for row in connection.execute(f"{_HITS} AND rowid BETWEEN ? AND ?", (match, *places))
        )
    return found


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
    where = search.with_text()
    names = ("spans", "calls", "errors", "input_tokens", "output_tokens")
    sums = ", ".join(f"coalesce(sum(traces.{name}), 0) AS {name}" for name in names)
    sql = (
        f"SELECT count(*) AS traces, {sums}, sum_states(traces.states) AS states, sum_text(traces.cost) AS cost"
        f" FROM {search.sources} {where}"
    )
    row = connection.execute(sql, where.values).fetchone()
    return TraceTotals(
        **{name: row[name] for name in ("traces", *names)},
        states=json.loads(row["states"] or "{}"),
        cost=exact.from_text(row["cost"]),
    )


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
    few = [row[0] for row in connection.execute(f"{_HITS} LIMIT ?", (match, _FEW_HITS + 1))]
    if len(few) > _FEW_HITS:
        search.match = match
    else:
        search.nothing = not few
        search.where.add(f"traces.id IN ({', '.join(map(str, few))})")


def _one_of(column: str, ids: list[int]) -> str:
    return f"{column} = ?" if len(ids) == 1 else f"{column} IN ({', '.join('?' * len(ids))})"
