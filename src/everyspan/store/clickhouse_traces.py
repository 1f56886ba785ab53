"""Questions about traces, as SQL for ClickHouse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from everyspan.store.clickhouse_columns import Ask, money, with_bodies, without_bodies
from everyspan.store.clickhouse_repriced import calls_at
from everyspan.store.clickhouse_summaries import COLUMNS, in_traces, made_of, summary_of
from everyspan.store.clickhouse_where import Bound, Where, hour_of
from everyspan.store.exact import MOST, to_text
from everyspan.store.groups import GroupFilter, GroupOrder, TraceBy, TraceGroup, TraceTotals
from everyspan.store.outline import Outline
from everyspan.store.periods import HOUR_NS
from everyspan.store.reads import Prices, TraceFilter, TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.summary import Draft
from everyspan.store.words import folded

_ONE = ("name", "user", "session", "environment")
_MANY = {"tag": "tags", "service": "services", "model": "models", "provider": "providers"}
_COUNTS = "count(), sum(spans), sum(calls), sum(errors)"
_TOTALS = f"{_COUNTS}, sum(cost), sumMap(states), sum(input_tokens), sum(output_tokens)"
_COST = Outline._fields.index("cost")
_ORDERS = {
    GroupOrder.LATEST: "max(started_ns) DESC",
    GroupOrder.DEAREST: "sum(cost) DESC NULLS LAST",
    GroupOrder.MOST: "count() DESC",
}
_FIRST_LOOK = 50_000
"""Traces among which a page is looked for first; where it does not fill, the search goes on to four times as many."""

Hours = tuple[int, int]
"""From the first to the last, both included."""


def list_traces(ask: Ask, wanted: TraceFilter) -> list[TraceSummary]:
    """See `Store.list_traces`."""
    position = wanted.position()
    found: list[TraceSummary] = []
    for hours in _stretches(ask, wanted, position):
        bound = Bound()
        where = conditions(wanted, bound, hours)
        if position is not None:
            start, project, trace_id = (bound.put(value) for value in position)
            where.add(f"(started_ns, project, trace_id) < ({start}, {project}, {trace_id})")
        rows = ask(
            f"SELECT {', '.join(COLUMNS)} FROM traces WHERE {where}"
            " ORDER BY started_ns DESC, project DESC, trace_id DESC"
            f" LIMIT {bound.put(wanted.limit + 1 - len(found))}",
            bound.values,
        )
        found += map(summary_of, rows)
        if len(found) > wanted.limit:
            break
    return found


def _stretches(ask: Ask, wanted: TraceFilter, position: tuple[int, str, str] | None) -> Iterator[Hours]:
    """The hours of all traces that may fit, from the newest back, in stretches of more and more traces."""
    where = Where(Bound())
    where.equal(project=wanted.project)
    _between_hours(where, wanted)
    if position is not None:
        where.add(f"hour <= {where.bound.put(position[0] // HOUR_NS)}")
    # A rough count is enough: a summary that was replaced, and is not merged away yet, counts twice.
    sql = (
        f"SELECT hour, count() FROM traces WHERE {where} GROUP BY hour ORDER BY hour DESC SETTINGS final = 0"
    )
    hours = ask(sql, where.bound.values)
    traces, most, last = 0, _FIRST_LOOK, None
    for hour, count in hours:
        last = hour if last is None else last
        traces += count
        if traces >= most:
            yield hour, last
            traces, most, last = 0, 4 * most, None
    if last is not None:
        yield hours[-1][0], last


def trace_totals(ask: Ask, wanted: TraceFilter) -> TraceTotals:
    """See `Store.trace_totals`."""
    bound = Bound()
    where = conditions(wanted, bound)
    return _totals(ask(f"SELECT {_TOTALS} FROM traces WHERE {where}", bound.values)[0])


def trace_groups(ask: Ask, by: TraceBy, wanted: GroupFilter) -> list[TraceGroup]:
    """See `Store.trace_groups`."""
    bound = Bound()
    value = f"arrayJoin({_MANY[by.value]})" if by.value in _MANY else by.value
    where, having = Where(bound), Where(bound)
    where.add("value != ''")
    where.equal(value=wanted.value)
    if wanted.containing:
        where.add(f"positionCaseInsensitive(value, {bound.put(wanted.containing)}) > 0")
    having.between("max(started_ns)", wanted.since_ns, None)
    of_project = Where(bound)
    of_project.equal(project=wanted.project)
    source = "traces"
    if wanted.prices is Prices.LATEST:
        source = f"({made_of(calls_at(wanted.prices), str(of_project))})"
    of_traces = f"SELECT *, toString({value}) AS value FROM {source} WHERE {of_project}"
    rows = ask(
        f"SELECT project, value, min(started_ns), max(started_ns), {_TOTALS}"
        f" FROM ({of_traces}) WHERE {where} GROUP BY project, value HAVING {having}"
        f" ORDER BY {_ORDERS[wanted.order]}, project, value"
        f" LIMIT {bound.put(wanted.limit + 1)} OFFSET {bound.put(wanted.offset)}",
        bound.values,
    )
    return [
        TraceGroup(project=row[0], value=row[1], first_ns=row[2], last_ns=row[3], totals=_totals(row[4:]))
        for row in rows
    ]


def read_trace(
    ask: Ask, trace_id: str, project: str, *, bodies: bool
) -> tuple[TraceSummary, list[SpanRow]] | None:
    """See `Store.read_trace`."""
    bound = Bound()
    where = in_traces(ask, bound, project, [trace_id])
    rows = (with_bodies if bodies else without_bodies)(ask, where, bound.values)
    if not rows:
        return None
    draft = Draft(project=project, trace_id=trace_id)
    for row in rows:
        draft.add(row)
    return draft.summary(), rows


def read_outline(ask: Ask, trace_id: str, project: str) -> tuple[TraceSummary, list[Outline]] | None:
    """See `Store.read_outline`."""
    bound = Bound()
    where = in_traces(ask, bound, project, [trace_id])
    found = ask(f"SELECT {', '.join(COLUMNS)} FROM ({made_of('spans', where)})", bound.values)
    if not found:
        return None
    columns = ", ".join(f"`{name}`" for name in Outline._fields)
    rows = ask(f"SELECT {columns} FROM spans WHERE {where} ORDER BY start_ns, key", bound.values)
    return summary_of(found[0]), [
        Outline._make(row)._replace(cost=to_text(money(row[_COST]))) for row in rows
    ]


def read_span(ask: Ask, trace_id: str, key: str, project: str) -> SpanRow | None:
    """See `Store.read_span`."""
    bound = Bound()
    where = f"{in_traces(ask, bound, project, [trace_id])} AND key = {bound.put(key)}"
    rows = with_bodies(ask, where, bound.values)
    return rows[0] if rows else None


def conditions(wanted: TraceFilter, bound: Bound, hours: Hours | None = None) -> Where:
    """What a summary must say for its trace to fit, among those of all hours or of some."""
    where = Where(bound)
    where.equal(project=wanted.project)
    _between_hours(where, wanted)
    if hours is not None:
        where.add(f"hour BETWEEN {bound.put(hours[0])} AND {bound.put(hours[1])}")
    where.between("started_ns", wanted.since_ns, wanted.until_ns)
    where.equal(**{name: getattr(wanted, name) for name in _ONE})
    for name, column in _MANY.items():
        if value := getattr(wanted, name):
            where.add(f"has({column}, {bound.put(value)})")
    if wanted.with_errors:
        where.add("errors > 0")
    for length_ns, sign in ((wanted.min_duration_ns, ">="), (wanted.max_duration_ns, "<=")):
        if length_ns is not None:
            where.add(f"ended_ns - started_ns {sign} {bound.put(min(length_ns, (1 << 63) - 1))}")
    for amount, sign in ((wanted.min_cost, ">="), (wanted.max_cost, "<=")):
        if amount is not None:
            where.add(f"cost {sign} {bound.put(max(-MOST, min(amount, MOST)))}")
    if wanted.text:
        where.add(f"(project, trace_id) GLOBAL IN ({_with_text(wanted, bound, hours)})")
    return where


def _with_text(wanted: TraceFilter, bound: Bound, hours: Hours | None) -> str:
    where = Where(bound)
    where.equal(project=wanted.project)
    if hours is not None:
        # No span starts before its trace does.
        where.add(f"hour >= {bound.put(hours[0])}")
    for word in sorted(folded(wanted.text)):
        where.add(f"hasToken(words, {bound.put(word)})")
    if not folded(wanted.text):
        where.add("false")
    return f"SELECT project, trace_id FROM spans WHERE {where}"


def _between_hours(where: Where, wanted: TraceFilter) -> None:
    # The hour is what the table is sorted by.
    if wanted.since_ns is not None:
        where.add(f"hour >= {where.bound.put(hour_of(wanted.since_ns))}")
    if wanted.until_ns is not None:
        where.add(f"hour <= {where.bound.put(hour_of(wanted.until_ns))}")


def _totals(row: Sequence[Any]) -> TraceTotals:
    traces, spans, calls, errors, cost, states, tokens_in, tokens_out = row
    return TraceTotals(
        traces=traces,
        spans=spans,
        calls=calls,
        errors=errors,
        cost=money(cost),
        states=dict(sorted(states.items())),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
    )
