"""Summaries of traces in ClickHouse: how spans are put together, and the table that keeps what they come to.

A summary is never added to. After each batch those of its traces are made anew from the spans that are stored, so a
batch that comes twice, or died halfway and comes again, leaves the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from everyspan.store.clickhouse_columns import Ask, money
from everyspan.store.clickhouse_where import Bound
from everyspan.store.periods import HOUR_NS
from everyspan.store.reads import UNBILLED, TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.twins import SURE_ID_LENGTH

Put = Callable[[str, Sequence[Sequence[Any]], Sequence[str], str], None]
"""Adds rows to a table: its name, the rows, their columns, and a token by which a repeated request is known."""

COLUMNS = (
    *("project", "trace_id", "started_ns", "ended_ns", "name", "user", "session", "environment"),
    *("tags", "services", "models", "providers", "spans", "calls", "errors", "cost", "states"),
    *("input_tokens", "output_tokens"),
)
"""Of the table, and of the query that makes a summary."""

_SAID = "if(trace_name != '', trace_name, if(parent_id IS NULL, name, ''))"
_BILLED = f"state NOT IN ('', '{UNBILLED}')"
_NAMED = {
    **dict.fromkeys(COLUMNS, ""),
    "name": "if(said_name != '', said_name, first_name)",
    **{name: f"of_{name}" for name in ("user", "session", "environment", "tags")},
    **{name: f"of_{name}" for name in ("cost", "input_tokens", "output_tokens")},
}
# What is added up has the name of what it is made of, which ClickHouse takes for the sum itself: hence two steps.
_MADE = f"""
SELECT {{named}} FROM (
    SELECT project, trace_id, min(start_ns) AS started_ns, max(end_ns) AS ended_ns, count() AS spans,
        countIf(status = 'error') AS errors, countIf({_BILLED}) AS calls, sumIf(cost, {_BILLED}) AS of_cost,
        sumIf(ifNull(input_tokens, 0), {_BILLED}) AS of_input_tokens,
        sumIf(ifNull(output_tokens, 0), {_BILLED}) AS of_output_tokens,
        argMaxIf({_SAID}, (start_ns, key), {_SAID} != '') AS said_name,
        argMinIf(name, (start_ns, key), name != '') AS first_name,
        argMaxIf(user, (start_ns, key), user != '') AS of_user,
        argMaxIf(session, (start_ns, key), session != '') AS of_session,
        argMinIf(environment, (start_ns, key), environment != '') AS of_environment,
        arraySort(groupUniqArrayArray(tags)) AS of_tags,
        arraySort(groupUniqArrayIf(toString(service), service != '')) AS services,
        arraySort(groupUniqArrayIf(toString(model), model != '')) AS models,
        arraySort(groupUniqArrayIf(toString(provider), provider != '')) AS providers,
        sumMapIf(map(toString(state), toUInt64(1)), state != '') AS states
    FROM {{source}} WHERE {{where}} GROUP BY project, trace_id
)"""
_AT_ONCE = 2000
_STORED = (*COLUMNS, "hour", "version")
_TRACE_ID, _STARTED = COLUMNS.index("trace_id"), COLUMNS.index("started_ns")


def made_of(source: str, where: str = "true") -> str:
    """A query for the summaries, in `COLUMNS`, of the traces whose spans a source holds."""
    named = ", ".join(f"{said} AS {name}" if said else name for name, said in _NAMED.items())
    return _MADE.format(named=named, source=source, where=where)


def in_traces(ask: Ask, bound: Bound, project: str, trace_ids: Iterable[str]) -> str:
    """The condition for the spans, or the summaries, of these traces; both are sorted by the hour first."""
    of, ids = bound.put(project), bound.put(sorted(trace_ids))
    # One that stands there twice says the same: no need to leave it out.
    sql = f"SELECT DISTINCT hour FROM places WHERE project = {of} AND kind = 'trace' AND id IN {ids} SETTINGS final = 0"
    # Asked for beforehand: with numbers in their place the planner finds its rows sooner than with a subquery.
    hours = sorted(row[0] for row in ask(sql, bound.values))
    return f"project = {of} AND hour IN {bound.put(hours)} AND trace_id IN {ids}" if hours else "false"


def note_places(put: Put, rows: Iterable[SpanRow], token: str) -> None:
    """Say where spans will be, before they are added: what is looked for by its trace or its answer is found there."""
    places = set()
    for row in rows:
        hour = row.start_ns // HOUR_NS
        places.add((row.project, "trace", row.trace_id, row.trace_id, hour))
        if len(row.response_id) >= SURE_ID_LENGTH:
            places.add((row.project, "response", row.response_id, row.trace_id, hour))
    if places:
        columns = ("project", "kind", "id", "trace_id", "hour", "version", "gone")
        put("places", [(*place, 1, 0) for place in sorted(places)], columns, token)


def renew(ask: Ask, put: Put, project: str, trace_ids: Iterable[str], token: str) -> None:
    """Make the summaries of these traces say what their spans say now. Doing it again changes nothing."""
    ids = sorted(set(trace_ids))
    changed: list[Sequence[Any]] = []
    for start in range(0, len(ids), _AT_ONCE):
        changed += _changed(ask, project, ids[start : start + _AT_ONCE])
    if changed:
        put("traces", changed, (*COLUMNS, "version", "gone"), token)


def _changed(ask: Ask, project: str, trace_ids: Sequence[str]) -> list[Sequence[Any]]:
    bound = Bound()
    whose = in_traces(ask, bound, project, trace_ids)
    stored = {}
    for *before, hour, version in ask(f"SELECT {', '.join(_STORED)} FROM traces WHERE {whose}", bound.values):
        stored[before[_TRACE_ID], hour] = (before, version)
    # The server's clock from before it reads: of two that make one summary, the later has seen what the earlier saw.
    moment = "toUnixTimestamp64Nano(now64(9)) AS moment"
    changed: list[Sequence[Any]] = []
    for *values, moment_ns in ask(f"SELECT *, {moment} FROM ({made_of('spans', whose)})", bound.values):
        before, version = stored.pop((values[_TRACE_ID], values[_STARTED] // HOUR_NS), ([], 0))
        if before != values:
            changed.append([*values, max(moment_ns, version + 1), 0])
    # The table is sorted by the hour: one that starts in another now, or has no span any more, gives its old place up.
    changed += [[*before, version + 1, 1] for before, version in stored.values()]
    return changed


def summary_of(row: Sequence[Any]) -> TraceSummary:
    """The summary whose `COLUMNS` these are."""
    found = dict(zip(COLUMNS, row, strict=True))
    for name in ("tags", "services", "models", "providers"):
        found[name] = tuple(found[name])
    found["cost"] = money(found["cost"])
    found["states"] = dict(sorted(found["states"].items()))
    return TraceSummary(**found)
