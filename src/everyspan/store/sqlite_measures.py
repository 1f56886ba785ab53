"""Conditions on single spans and sums over them, as SQL for SQLite. Added up from the spans when it is asked."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from everyspan.store import exact, histogram
from everyspan.store.conditions import (
    MOST_GROUPS,
    NUMBERS,
    PERCENTS,
    TIMES,
    Condition,
    Is,
    Measured,
    Period,
    SpanField,
    SpanGroup,
    Sums,
)
from everyspan.store.limits import LATEST_NS
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import WHOLE_TRACE
from everyspan.store.sqlite_ids import one_of, sought
from everyspan.store.sqlite_traces import traces_that_fit
from everyspan.store.sqlite_where import Where

OBSERVED = f"coalesce(substr(spans.own_key, 1, {len(WHOLE_TRACE)}), '') != '{WHOLE_TRACE}'"
"""The condition that a span does not stand for a whole trace."""

_TOTAL = "coalesce(input_tokens + output_tokens, input_tokens, output_tokens)"
_BILLED = "CASE WHEN unbilled = '' THEN {} END"
_LENGTH = "max(end_ns - start_ns, 0)"
_STREAMED = "max(end_ns - start_ns - first_token_ns, 0)"
_A_SECOND = "({}) * 1e9 / nullif({}, 0)"
_COLUMNS = {
    **{each: f'"{each.value}"' for each in SpanField},
    SpanField.PARENT_ID: "coalesce(parent_id, '')",
    SpanField.TRACE_NAME: "CASE WHEN trace_name != '' THEN trace_name WHEN parent_id IS NULL THEN name ELSE '' END",
    SpanField.DURATION: _LENGTH,
    SpanField.STREAMING: _STREAMED,
    SpanField.INPUT_TOKENS: _BILLED.format("input_tokens"),
    SpanField.OUTPUT_TOKENS: _BILLED.format("output_tokens"),
    SpanField.TOTAL_TOKENS: _BILLED.format(_TOTAL),
    SpanField.COST: _BILLED.format("cost"),
    SpanField.TOKENS_PER_SECOND: _A_SECOND.format(_BILLED.format(_TOTAL), _LENGTH),
    SpanField.OUTPUT_TOKENS_PER_SECOND: _A_SECOND.format(_BILLED.format("output_tokens"), _STREAMED),
    SpanField.SCORES: "coalesce(judged, 0)",
}
_JUDGED = (
    " LEFT JOIN (SELECT project AS judged_project, trace_id AS judged_trace, span_id AS judged_span, count(*) AS judged"
    " FROM scores WHERE span_id != '' GROUP BY 1, 2, 3) ON judged_project = spans.project"
    " AND judged_trace = spans.trace_id AND judged_span = spans.span_id"
)
_AS_A_SPAN = (
    "traces.id, traces.project, traces.trace_id, traces.name, traces.name AS trace_name, NULL AS parent_id,"
    " traces.user, traces.session, traces.environment, traces.tags, traces.started_ns AS start_ns,"
    " traces.ended_ns AS end_ns, traces.cost, traces.input_tokens, traces.output_tokens, '' AS unbilled"
)
_PERIODS = {
    Period.MINUTE: "start_ns / 60000000000 * 60",
    Period.HOUR: "start_ns / 3600000000000 * 3600",
    Period.DAY: "start_ns / 86400000000000 * 86400",
    # 1970 began on a Thursday.
    Period.WEEK: "((start_ns / 86400000000000 + 3) / 7 * 7 - 3) * 86400",
    Period.MONTH: "CAST(strftime('%s', start_ns / 1000000000, 'unixepoch', 'start of month') AS INTEGER)",
    None: "0",
}


def add_conditions(where: Where, conditions: Sequence[Condition]) -> None:
    """Ask of each span what these say."""
    for each in conditions:
        if each.field is SpanField.TAGS:
            _add_tags(where, each)
        elif each.field in NUMBERS:
            _add_number(where, each)
        else:
            _add_text(where, each)


def leads(asked: Condition) -> bool:
    """Whether an index leads to the few spans that fit."""
    return asked.how is Is.ANY_OF and asked.field in (SpanField.TRACE_ID, SpanField.SPAN_ID)


def _add_text(where: Where, asked: Condition) -> None:
    column, texts = _COLUMNS[asked.field], asked.texts
    if asked.how in (Is.MISSING, Is.PRESENT):
        where.add(f"{column} {'=' if asked.how is Is.MISSING else '!='} ''")
    elif leads(asked):
        where.add(one_of(asked.field.value, len(texts)), *sought(texts))
    elif asked.how in (Is.ANY_OF, Is.NONE_OF):
        no = "NOT " if asked.how is Is.NONE_OF else ""
        where.add(f"{column} {no}IN ({', '.join('?' * len(texts))})", *texts)
    elif asked.how in (Is.CONTAINING, Is.NOT_CONTAINING):
        where.add(f"instr({column}, ?) {'>' if asked.how is Is.CONTAINING else '='} 0", texts[0])
    else:
        # Not LIKE, which takes capital letters for small ones.
        part = (
            f"substr({column}, 1, length(?))"
            if asked.how is Is.BEGINNING
            else (f"substr({column}, max(length({column}) - length(?), 0) + 1)")
        )
        where.add(f"{part} = ?", texts[0], texts[0])


def _add_number(where: Where, asked: Condition) -> None:
    column = _COLUMNS[asked.field]
    if asked.how in (Is.MISSING, Is.PRESENT):
        where.add(f"{column} IS {'' if asked.how is Is.MISSING else 'NOT '}NULL")
    elif asked.field is SpanField.COST:
        where.add(f"compare({column}, ?) {asked.how.value} 0", exact.to_text(Decimal(asked.number)))
    else:
        number = max(-LATEST_NS, min(int(asked.number), LATEST_NS))
        where.add(f"{column} {asked.how.value} ?", number)


def _add_tags(where: Where, asked: Condition) -> None:
    if asked.how in (Is.MISSING, Is.PRESENT):
        where.add(f"tags {'=' if asked.how is Is.MISSING else '!='} '[]'")
        return
    one_of = "EXISTS (SELECT 1 FROM json_each(tags) WHERE value IN (SELECT value FROM json_each(?)))"
    groups = [(each,) for each in asked.texts] if asked.how is Is.ALL_OF else [asked.texts]
    for texts in groups:
        where.add(f"{'NOT ' if asked.how is Is.NONE_OF else ''}{one_of}", json.dumps(texts))


def span_groups(connection: sqlite3.Connection, where: Where, sums: Sums) -> list[SpanGroup]:
    """See `SingleStore.span_groups`, of the spans that fit `where`."""
    return _groups(connection, "spans", where, sums)


def trace_sums(connection: sqlite3.Connection, wanted: TraceFilter, sums: Sums) -> list[SpanGroup]:
    """See `SingleStore.trace_sums`."""
    search = traces_that_fit(connection, wanted)
    if search.nothing:
        return []
    where = search.with_text()
    # With the names of spans, so that the same is asked of both.
    traces = f"(SELECT {_AS_A_SPAN} FROM {search.sources} {where}) AS spans"
    only_values = Where()
    only_values.values = where.values
    return _groups(connection, traces, only_values, sums)


def _groups(connection: sqlite3.Connection, table: str, where: Where, sums: Sums) -> list[SpanGroup]:
    by, measures, distinct = sums.by, sums.measures, sums.distinct
    with_tags = SpanField.TAGS in by
    values = [_value(field) for field in by]
    named = [f"{value} AS v{index}" for index, value in enumerate(values)]
    columns = [part for index, field in enumerate(measures) for part in _measured(field, index)]
    columns += [
        f"count(DISTINCT nullif({_COLUMNS[field]}, '')) AS distinct{index}"
        for index, field in enumerate(distinct)
    ]
    keys = [f"v{index}" for index in range(len(by))] + ["period"]
    tags = ", json_each(CASE tags WHEN '[]' THEN '[\"\"]' ELSE tags END) AS tag" if with_tags else ""
    # A tag that a span has twice counts once.
    source = "SELECT DISTINCT spans.id, tag.value AS one_tag, spans.*" if with_tags else "SELECT spans.*"
    judged = SpanField.SCORES in measures
    source += ", judged" if judged else ""
    source += f" FROM {table}{_JUDGED if judged else ''}{tags} {where}"
    sql = (
        f"SELECT {', '.join([*named, f'{_PERIODS[sums.each]} AS period', 'count(*) AS spans', *columns])}"
        f" FROM ({source}) GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)} LIMIT {MOST_GROUPS}"
    )
    return [_group(row, sums) for row in connection.execute(sql, where.values)]


def _value(field: SpanField) -> str:
    return "one_tag" if field is SpanField.TAGS else _COLUMNS[field]


def _measured(field: SpanField, index: int) -> list[str]:
    value = _COLUMNS[field]
    if field is SpanField.COST:
        # Decimal text: the exact sum, and least and most by their value and not by their letters.
        return [
            f"count({value}) AS count{index}",
            f"sum_text({value}) AS total{index}",
            f"least_text({value}) AS least{index}",
            f"most_text({value}) AS most{index}",
        ]
    found = [
        f"count({value}) AS count{index}",
        f"sum({value}) AS total{index}",
        f"min({value}) AS least{index}",
        f"max({value}) AS most{index}",
    ]
    return [*found, f"histogram({value}) AS quantiles{index}"] if field in TIMES else found


def _group(row: sqlite3.Row, sums: Sums) -> SpanGroup:
    measured = {}
    for index, field in enumerate(sums.measures):
        quantiles = (
            histogram.percentiles(histogram.from_text(row[f"quantiles{index}"]), PERCENTS)
            if field in TIMES
            else {}
        )
        measured[field] = Measured(
            count=row[f"count{index}"],
            total=_decimal(row[f"total{index}"]),
            least=_decimal(row[f"least{index}"]),
            most=_decimal(row[f"most{index}"]),
            quantiles=quantiles,
        )
    return SpanGroup(
        values=tuple(row[f"v{index}"] for index in range(len(sums.by))),
        period_s=row["period"],
        spans=row["spans"],
        measured=measured,
        distinct={field: row[f"distinct{index}"] for index, field in enumerate(sums.distinct)},
    )


def _decimal(value: Any) -> Decimal:
    return Decimal(value if value is not None else 0)
