"""Forgetting and handing over, in the ClickHouse store."""

from __future__ import annotations

import json
from collections.abc import Sequence

from everyspan.errors import SettingsError
from everyspan.store import clickhouse_writers
from everyspan.store.clickhouse_columns import AS_BYTES, READ, Ask, row_of
from everyspan.store.clickhouse_schema import Layout
from everyspan.store.clickhouse_summaries import Put, in_traces
from everyspan.store.clickhouse_twins import Do
from everyspan.store.clickhouse_where import Bound, Where
from everyspan.store.upkeep import Deleted, Deletion, SpanPage

AT_ONCE = 5000
"""Traces in one statement."""

_ORDER = ("project", "hour", "trace_id", "key")


def traces_of(ask: Ask, wanted: Deletion) -> list[str]:
    """The ids of the traces to delete."""
    bound = Bound()
    where = Where(bound)
    where.equal(project=wanted.project)
    if wanted.trace_id:
        where.add(in_traces(ask, bound, wanted.project, [wanted.trace_id]))
    if wanted.user:
        named = f"project = {bound.put(wanted.project)} AND user = {bound.put(wanted.user)}"
        where.add(f"trace_id GLOBAL IN (SELECT trace_id FROM spans WHERE {named})")
    where.between("ended_ns", None, wanted.before_ns)
    return [
        row[0] for row in ask(f"SELECT trace_id FROM traces WHERE {where} ORDER BY trace_id", bound.values)
    ]


def delete(ask: Ask, put: Put, do: Do, layout: Layout, project: str, traces: Sequence[str]) -> Deleted:
    """Delete traces and wait until their rows are rewritten without them, on every replica."""
    bound = Bound()
    whose = f"project = {bound.put(project)} AND trace_id IN {bound.put(list(traces))}"
    counted = ask(f"SELECT count(), uniqExact(trace_id) FROM spans WHERE {whose}", bound.values)
    of_writer = ask(
        f"SELECT writer, count() FROM spans WHERE {whose} AND writer != '' GROUP BY writer", bound.values
    )
    do(f"ALTER TABLE {layout.local('spans')} {layout.on_cluster} DELETE WHERE {whose}", bound.values)
    # Summaries at last: they are what an attempt that died in between is found again by.
    for table in ("scores", "repriced", "places", "traces"):
        do(f"ALTER TABLE {layout.local(table)} {layout.on_cluster} DELETE WHERE {whose}", bound.values)
    counts = {row[0]: row[1] for row in of_writer}
    changed = []
    for at, account in clickhouse_writers.accounts(ask, ((project, writer) for writer in counts)).items():
        # The numbers did arrive, so they stay received; the begun calls are fewer.
        account.begun = max(0, account.begun - counts[at[1]])
        changed.append(account.values())
    if changed:
        put("writers", changed, clickhouse_writers.COLUMNS, "")
    spans, found = counted[0]
    return Deleted(traces=found, spans=spans)


def forget_rest(do: Do, layout: Layout, project: str) -> None:
    """Delete what a project has beside traces: the accounts of its writers, scores of sessions, files."""
    bound = Bound()
    whose = f"project = {bound.put(project)}"
    for table in ("writers", "scores", "media", "media_uses"):
        do(f"ALTER TABLE {layout.local(table)} {layout.on_cluster} DELETE WHERE {whose}", bound.values)


def read_spans(ask: Ask, after: str, *, project: str, limit: int) -> SpanPage:
    """See `Store.read_spans`."""
    bound = Bound()
    where = Where(bound)
    where.equal(project=project)
    if after:
        try:
            last_project, hour, trace_id, key = map(str, json.loads(after))
            places = (bound.put(last_project), bound.put(int(hour)), bound.put(trace_id), bound.put(key))
        except (ValueError, TypeError):
            raise SettingsError(
                f"{after[:80]!r} is no position; pass on the one that came with the last page"
            ) from None
        where.add(f"project >= {places[0]}")
        where.add(f"({', '.join(_ORDER)}) > ({', '.join(places)})")
    columns = ", ".join(f"`{name}`" for name in READ)
    found = ask(
        f"SELECT {columns}, hour FROM spans WHERE {where} ORDER BY {', '.join(_ORDER)} LIMIT {bound.put(limit)}",
        bound.values,
        column_formats=AS_BYTES,
    )
    rows = [row_of(row[:-1]) for row in found]
    if len(rows) < limit:
        return SpanPage(rows=rows)
    last = rows[-1]
    return SpanPage(rows=rows, next=json.dumps([last.project, found[-1][-1], last.trace_id, last.key]))
