"""What each day brought, as SQL for ClickHouse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from everyspan.store.clickhouse_columns import Ask, money
from everyspan.store.clickhouse_measures import OBSERVED
from everyspan.store.clickhouse_traces import conditions
from everyspan.store.clickhouse_where import Bound, Where
from everyspan.store.daily import DailyFilter, DailyPage, ModelOfDay, page_of
from everyspan.store.periods import DAY_NS, HOUR_NS
from everyspan.store.reads import TraceFilter

_DAY = f"intDiv(start_ns, {DAY_NS})"
_HOURS = DAY_NS // HOUR_NS


def daily(ask: Ask, wanted: DailyFilter) -> DailyPage:
    """See `SingleStore.daily`."""
    where = _of_the_traces(wanted)
    rows = ask(
        f"SELECT intDiv(started, {DAY_NS}) AS day, count() FROM"
        f" (SELECT min(start_ns) AS started FROM spans WHERE {where} GROUP BY trace_id) GROUP BY day",
        where.bound.values,
    )

    def active() -> Iterable[int]:
        asked = _of_the_traces(wanted)
        asked.add(OBSERVED)
        return [row[0] for row in ask(f"SELECT DISTINCT {_DAY} FROM spans WHERE {asked}", asked.bound.values)]

    started = {row[0]: row[1] for row in rows}
    return page_of(wanted, started, active, lambda first, end: _models(ask, wanted, first, end))


def _models(ask: Ask, wanted: DailyFilter, first: int, end: int) -> Iterator[tuple[int, ModelOfDay]]:
    where = _of_the_traces(wanted)
    # The hour is what rows are sorted by.
    where.between("hour", first * _HOURS, end * _HOURS)
    where.add(OBSERVED)
    rows = ask(
        f"SELECT {_DAY} AS day, toString(model) AS of_model, uniqExact(trace_id), count(),"
        " sumIf(ifNull(input_tokens, 0), unbilled = ''), sumIf(ifNull(output_tokens, 0), unbilled = ''),"
        f" sumIf(cost, unbilled = '') FROM spans WHERE {where} GROUP BY day, of_model",
        where.bound.values,
    )
    for day, model, traces, observations, inputs, outputs, cost in rows:
        yield (
            day,
            ModelOfDay(
                model=model,
                traces=traces,
                observations=observations,
                input_tokens=inputs,
                output_tokens=outputs,
                cost=money(cost),
            ),
        )


def _of_the_traces(wanted: DailyFilter) -> Where:
    where = Where(Bound())
    where.equal(project=wanted.project)
    if not wanted.narrows:
        return where
    bound, listed = where.bound, wanted.of_the_list
    for each in (listed, *(TraceFilter(project=wanted.project, tag=tag) for tag in wanted.other_tags)):
        if each != TraceFilter(project=wanted.project):
            where.add(f"trace_id GLOBAL IN ({_ids(each, bound)})")
    if environments := wanted.other_environments:
        ways = [
            f"trace_id GLOBAL IN ({_ids(TraceFilter(project=wanted.project, environment=each), bound)})"
            for each in environments
            if each
        ]
        if "" in environments:
            # One that nobody said: no span of the trace has any.
            said = Where(bound)
            said.equal(project=wanted.project)
            ways.append(
                f"trace_id GLOBAL NOT IN (SELECT trace_id FROM spans WHERE {said} AND environment != '')"
            )
        where.add(f"({' OR '.join(ways)})")
    return where


def _ids(wanted: TraceFilter, bound: Bound) -> str:
    return f"SELECT trace_id FROM traces WHERE {conditions(wanted, bound)}"
