"""What each day brought, as SQL for SQLite: added up from the spans of the traces that fit, when it is asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from everyspan.store import exact
from everyspan.store.daily import DailyFilter, DailyPage, ModelOfDay, page_of
from everyspan.store.periods import DAY_NS
from everyspan.store.sqlite_measures import OBSERVED
from everyspan.store.sqlite_traces import Search, traces_that_fit

_SPANS = (
    "CROSS JOIN spans ON substr(spans.trace_id, -8) = substr(traces.trace_id, -8)"
    " AND +spans.trace_id = traces.trace_id AND +spans.project = traces.project"
)
_BILLED = "CASE WHEN spans.unbilled = '' THEN spans.{} END"


def daily(connection: sqlite3.Connection, wanted: DailyFilter) -> DailyPage:
    """See `SingleStore.daily`."""
    search = _search(connection, wanted)
    if search.nothing:
        return DailyPage([], 0)
    sql = f"SELECT traces.started_ns / {DAY_NS}, count(*) FROM {search.sources} {search.where} GROUP BY 1"
    started = {row[0]: row[1] for row in connection.execute(sql, search.where.values)}

    def active() -> Iterable[int]:
        sql = f"SELECT DISTINCT start_ns / {DAY_NS} FROM spans WHERE project = ?"
        values: list[object] = [wanted.project]
        if wanted.narrows:
            sql = (
                f"SELECT DISTINCT spans.start_ns / {DAY_NS} FROM {search.sources} {_SPANS}"
                f" {search.where} AND {OBSERVED}"
            )
            values = search.where.values
        return [row[0] for row in connection.execute(sql, values)]

    return page_of(
        wanted, started, active, lambda first, end: _models(connection, wanted, search, (first, end))
    )


def _models(
    connection: sqlite3.Connection, wanted: DailyFilter, search: Search, days: tuple[int, int]
) -> Iterator[tuple[int, ModelOfDay]]:
    times = [day * DAY_NS for day in days]
    # Without a filter every span of the project belongs to it, and their own index leads to those of a few days.
    source = f"{search.sources} {_SPANS} {search.where}"
    values = search.where.values
    if not wanted.narrows:
        source, values = "spans WHERE spans.project = ?", [wanted.project]
    sums = ", ".join(f"sum({_BILLED.format(name)})" for name in ("input_tokens", "output_tokens"))
    sql = (
        f"SELECT spans.start_ns / {DAY_NS}, spans.model, count(DISTINCT spans.trace_id), count(*), {sums},"
        f" sum_text({_BILLED.format('cost')}) FROM {source}"
        f" AND spans.start_ns >= ? AND spans.start_ns < ? AND {OBSERVED} GROUP BY 1, 2"
    )
    for day, model, traces, observations, inputs, outputs, cost in connection.execute(sql, (*values, *times)):
        yield (
            day,
            ModelOfDay(
                model=model,
                traces=traces,
                observations=observations,
                input_tokens=inputs or 0,
                output_tokens=outputs or 0,
                cost=exact.from_text(cost),
            ),
        )


def _search(connection: sqlite3.Connection, wanted: DailyFilter) -> Search:
    search = traces_that_fit(connection, wanted.of_the_list)
    for tag in wanted.other_tags:
        search.where.add("EXISTS (SELECT 1 FROM json_each(traces.tags) WHERE value = ?)", tag)
    if environments := wanted.other_environments:
        search.where.add(f"traces.environment IN ({', '.join('?' * len(environments))})", *environments)
    return search
