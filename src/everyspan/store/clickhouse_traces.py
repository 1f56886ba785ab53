"""Questions about traces, as SQL for ClickHouse: summaries are put together from the spans when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from everyspan.store.clickhouse_columns import Ask, money, with_bodies, without_bodies
from everyspan.store.clickhouse_repriced import calls_at
from everyspan.store.clickhouse_where import Bound, Where
from everyspan.store.exact import MOST, to_text
from everyspan.store.groups import GroupFilter, GroupOrder, TraceBy, TraceGroup, TraceTotals
from everyspan.store.outline import Outline
from everyspan.store.reads import UNBILLED, Prices, TraceFilter, TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.words import folded

_SAID = "if(trace_name != '', trace_name, if(parent_id IS NULL, name, ''))"
_BILLED = f"state NOT IN ('', '{UNBILLED}')"
_SUMMARY = f"""
SELECT project, trace_id, min(start_ns) AS started_ns, max(end_ns) AS ended_ns, count() AS spans,
    countIf(status = 'error') AS errors, countIf({_BILLED}) AS calls, sumIf(cost, {_BILLED}) AS known_cost,
    sumIf(ifNull(input_tokens, 0), {_BILLED}) AS tokens_in, sumIf(ifNull(output_tokens, 0), {_BILLED}) AS tokens_out,
    argMaxIf({_SAID}, (start_ns, key), {_SAID} != '') AS said_name,
    argMinIf(name, (start_ns, key), name != '') AS first_name,
    if(said_name != '', said_name, first_name) AS of_name,
    argMaxIf(user, (start_ns, key), user != '') AS of_user,
    argMaxIf(session, (start_ns, key), session != '') AS of_session,
    argMinIf(environment, (start_ns, key), environment != '') AS of_environment,
    arraySort(groupUniqArrayArray(tags)) AS of_tag,
    arraySort(groupUniqArrayIf(toString(service), service != '')) AS of_service,
    arraySort(groupUniqArrayIf(toString(model), model != '')) AS of_model,
    arraySort(groupUniqArrayIf(toString(provider), provider != '')) AS of_provider,
    sumMapIf(map(toString(state), toUInt64(1)), state != '') AS states
FROM {{source}} WHERE {{where}} GROUP BY project, trace_id HAVING {{having}}
"""
_ONE = ("name", "user", "session", "environment")
_MANY = ("tag", "service", "model", "provider")
_READ = (
    *("project", "trace_id", "of_name", "of_user", "of_session", "of_environment", "of_tag", "of_service"),
    *(
        "of_model",
        "of_provider",
        "started_ns",
        "ended_ns",
        "spans",
        "calls",
        "errors",
        "known_cost",
        "states",
    ),
    *("tokens_in", "tokens_out"),
)
_COUNTS = "count(), sum(spans), sum(calls), sum(errors)"
_TOTALS = f"{_COUNTS}, sum(known_cost), sumMap(states), sum(tokens_in), sum(tokens_out)"
_COST = Outline._fields.index("cost")
_ORDERS = {
    GroupOrder.LATEST: "max(started_ns) DESC",
    GroupOrder.DEAREST: "sum(known_cost) DESC NULLS LAST",
    GroupOrder.MOST: "count() DESC",
}


def list_traces(ask: Ask, wanted: TraceFilter) -> list[TraceSummary]:
    """See `Store.list_traces`."""
    position = wanted.position()
    bound = Bound()
    sql = _summaries(wanted, bound, position)
    limit = bound.put(wanted.limit + 1)
    order = "started_ns DESC, project DESC, trace_id DESC"
    rows = ask(f"SELECT {', '.join(_READ)} FROM ({sql}) ORDER BY {order} LIMIT {limit}", bound.values)
    return [_summary(row) for row in rows]


def trace_totals(ask: Ask, wanted: TraceFilter) -> TraceTotals:
    """See `Store.trace_totals`."""
    bound = Bound()
    sql = _summaries(wanted, bound, None)
    return _totals(ask(f"SELECT {_TOTALS} FROM ({sql})", bound.values)[0])


def trace_groups(ask: Ask, by: TraceBy, wanted: GroupFilter) -> list[TraceGroup]:
    """See `Store.trace_groups`."""
    bound = Bound()
    column = f"of_{by.value}"
    value = f"arrayJoin({column})" if by.value in _MANY else column
    where, having = Where(bound), Where(bound)
    where.add("value != ''")
    where.equal(value=wanted.value)
    if wanted.containing:
        where.add(f"positionCaseInsensitive(value, {bound.put(wanted.containing)}) > 0")
    having.between("max(started_ns)", wanted.since_ns, None)
    sql = _summaries(TraceFilter(project=wanted.project), bound, None, prices=wanted.prices)
    rows = ask(
        f"SELECT project, value, min(started_ns), max(started_ns), {_TOTALS}"
        f" FROM (SELECT *, {value} AS value FROM ({sql})) WHERE {where} GROUP BY project, value HAVING {having}"
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
    where = f"project = {bound.put(project)} AND trace_id = {bound.put(trace_id)}"
    summary = _one(ask, where, bound)
    if summary is None:
        return None
    return summary, (with_bodies if bodies else without_bodies)(ask, where, bound.values)


def read_outline(ask: Ask, trace_id: str, project: str) -> tuple[TraceSummary, list[Outline]] | None:
    """See `Store.read_outline`."""
    bound = Bound()
    where = f"project = {bound.put(project)} AND trace_id = {bound.put(trace_id)}"
    summary = _one(ask, where, bound)
    if summary is None:
        return None
    columns = ", ".join(f"`{name}`" for name in Outline._fields)
    rows = ask(f"SELECT {columns} FROM spans WHERE {where} ORDER BY start_ns, key", bound.values)
    return summary, [Outline._make(row)._replace(cost=to_text(money(row[_COST]))) for row in rows]


def _one(ask: Ask, where: str, bound: Bound) -> TraceSummary | None:
    sql = _SUMMARY.format(source="spans", where=where, having="true")
    found = ask(f"SELECT {', '.join(_READ)} FROM ({sql})", bound.values)
    return _summary(found[0]) if found else None


def read_span(ask: Ask, trace_id: str, key: str, project: str) -> SpanRow | None:
    """See `Store.read_span`."""
    bound = Bound()
    where = f"project = {bound.put(project)} AND trace_id = {bound.put(trace_id)} AND key = {bound.put(key)}"
    rows = with_bodies(ask, where, bound.values)
    return rows[0] if rows else None


def traces_that_fit(wanted: TraceFilter, bound: Bound) -> str:
    """A query for project, trace id and latest end of the traces of a filter."""
    return f"SELECT project, trace_id, ended_ns FROM ({_summaries(wanted, bound, None)})"


def _summaries(
    wanted: TraceFilter,
    bound: Bound,
    position: tuple[int, str, str] | None,
    *,
    prices: Prices = Prices.RECORDED,
) -> str:
    where, having = Where(bound), Where(bound)
    where.equal(project=wanted.project)
    for condition in _in_a_span(wanted, bound):
        # One of its spans must have it; that much can be known before the trace is put together.
        inner = Where(bound)
        inner.equal(project=wanted.project)
        inner.add(condition)
        where.add(f"(project, trace_id) IN (SELECT project, trace_id FROM spans WHERE {inner})")
    having.equal(**{f"of_{name}": getattr(wanted, name) for name in _ONE})
    having.between("started_ns", wanted.since_ns, wanted.until_ns)
    if wanted.with_errors:
        having.add("errors > 0")
    for length_ns, sign in ((wanted.min_duration_ns, ">="), (wanted.max_duration_ns, "<=")):
        if length_ns is not None:
            having.add(f"ended_ns - started_ns {sign} {bound.put(min(length_ns, (1 << 63) - 1))}")
    for amount, sign in ((wanted.min_cost, ">="), (wanted.max_cost, "<=")):
        if amount is not None:
            having.add(f"known_cost {sign} {bound.put(max(-MOST, min(amount, MOST)))}")
    if position is not None:
        start, project, trace_id = (bound.put(value) for value in position)
        having.add(f"(started_ns, project, trace_id) < ({start}, {project}, {trace_id})")
    return _SUMMARY.format(source=calls_at(prices), where=where, having=having)


def _in_a_span(wanted: TraceFilter, bound: Bound) -> Iterator[str]:
    for name in ("user", "session", "environment", "service", "model", "provider"):
        if value := getattr(wanted, name):
            yield f"{name} = {bound.put(value)}"
    if wanted.tag:
        yield f"has(tags, {bound.put(wanted.tag)})"
    if wanted.name:
        name = bound.put(wanted.name)
        yield f"(name = {name} OR trace_name = {name})"
    if wanted.since_ns is not None or wanted.until_ns is not None:
        times = Where(bound)
        times.between("start_ns", wanted.since_ns, wanted.until_ns)
        times.between("hour", _hour(wanted.since_ns), None)
        yield str(times)
    if wanted.text:
        asked = folded(wanted.text)
        yield " AND ".join(f"hasToken(words, {bound.put(word)})" for word in sorted(asked)) or "false"


def _hour(since_ns: int | None) -> int | None:
    return None if since_ns is None else min(max(since_ns, 0), (1 << 63) - 1) // (3600 * 10**9)


def _summary(row: Sequence[Any]) -> TraceSummary:
    found = dict(zip(_READ, row, strict=True))
    return TraceSummary(
        project=found["project"],
        trace_id=found["trace_id"],
        name=found["of_name"],
        user=found["of_user"],
        session=found["of_session"],
        environment=found["of_environment"],
        tags=tuple(found["of_tag"]),
        services=tuple(found["of_service"]),
        models=tuple(found["of_model"]),
        providers=tuple(found["of_provider"]),
        started_ns=found["started_ns"],
        ended_ns=found["ended_ns"],
        spans=found["spans"],
        calls=found["calls"],
        errors=found["errors"],
        cost=money(found["known_cost"]),
        states=dict(sorted(found["states"].items())),
        input_tokens=found["tokens_in"],
        output_tokens=found["tokens_out"],
    )


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
