"""Keeps `twins` true in the ClickHouse store: after spans came, the calls that they may share are judged again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from everyspan.store.clickhouse_columns import WRITTEN, Ask, without_bodies
from everyspan.store.clickhouse_summaries import in_traces
from everyspan.store.clickhouse_where import Bound
from everyspan.store.rows import SpanRow
from everyspan.store.twins import SURE_ID_LENGTH, rebilled

Do = Callable[[str, dict[str, Any]], None]
"""Runs a statement with its parameters."""

_MOST_ROUNDS = 5
"""How far a response id may lead, from one trace to the next; only ids that identify nothing lead further."""


def settle(ask: Ask, do: Do, project: str, rows: Sequence[SpanRow]) -> set[str]:
    """Judge the calls in the traces of these spans of one project, which are stored already.

    Rows whose bill changed are written once more, as their next version. Doing it again changes nothing. Returns the
    traces that were judged.
    """
    traces = _with_two_calls(ask, project, {row.trace_id for row in rows})
    traces |= _sharing(ask, project, rows)
    calls: list[SpanRow] = []
    new = set(traces)
    for _ in range(_MOST_ROUNDS):
        if not new:
            break
        found = _calls(ask, project, new)
        calls += found
        new = _sharing(ask, project, found) - traces
        traces |= new
    if not calls:
        return traces
    bound = Bound()
    parents = ask(
        f"SELECT trace_id, span_id, parent_id FROM spans WHERE {in_traces(ask, bound, project, traces)}"
        " ORDER BY trace_id, key",
        bound.values,
    )
    changed = rebilled(calls, {(trace, span): parent for trace, span, parent in parents})
    if changed:
        _rewrite(do, project, {after.key: after.unbilled for _, after in changed})
    # Those too whose bill is as it was: an attempt before this one may have died once it was changed.
    return traces


def _rewrite(do: Do, project: str, reasons: dict[str, str]) -> None:
    bound = Bound()
    keys, values = bound.put(list(reasons)), bound.put(list(reasons.values()))
    changed = {"unbilled": f"transform(key, {keys}, {values}, unbilled)", "version": "version + 1"}
    columns = ", ".join(f"`{name}`" for name in WRITTEN)
    selected = ", ".join(changed.get(name, f"`{name}`") for name in WRITTEN)
    do(
        f"INSERT INTO spans ({columns}) SELECT {selected} FROM spans FINAL"
        f" WHERE project = {bound.put(project)} AND key IN {keys}",
        bound.values,
    )


def _with_two_calls(ask: Ask, project: str, traces: set[str]) -> set[str]:
    bound = Bound()
    found = ask(
        f"SELECT trace_id FROM spans WHERE {in_traces(ask, bound, project, traces)}"
        " AND state != '' GROUP BY trace_id HAVING count() > 1",
        bound.values,
    )
    return {row[0] for row in found}


def _sharing(ask: Ask, project: str, rows: Iterable[SpanRow]) -> set[str]:
    """Traces with a response id that one of these rows has and a span of another trace too."""
    ids = sorted({row.response_id for row in rows if len(row.response_id) >= SURE_ID_LENGTH})
    if not ids:
        return set()
    bound = Bound()
    found = ask(
        f"SELECT groupUniqArray(trace_id) FROM places WHERE project = {bound.put(project)}"
        f" AND kind = 'response' AND id IN {bound.put(ids)} GROUP BY id HAVING uniqExact(trace_id) > 1",
        bound.values,
    )
    return {trace for row in found for trace in row[0]}


def _calls(ask: Ask, project: str, traces: set[str]) -> list[SpanRow]:
    bound = Bound()
    where = f"{in_traces(ask, bound, project, traces)} AND cost_state != ''"
    return without_bodies(ask, where, bound.values)
