"""Conditions on single spans and sums over them, as SQL for ClickHouse."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from everyspan.store.clickhouse_columns import Ask, money
from everyspan.store.clickhouse_traces import conditions
from everyspan.store.clickhouse_where import Bound, Where
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
from everyspan.store.exact import MOST
from everyspan.store.limits import LATEST_NS
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import WHOLE_TRACE

_BILLED = "if(unbilled = '', {}, NULL)"
OBSERVED = f"NOT startsWith(key, '{WHOLE_TRACE}')"
"""The condition that a span does not stand for a whole trace."""

_LENGTH = "greatest(end_ns - start_ns, 0)"
# `greatest` passes over NULL.
_STREAMED = "if(isNull(first_token_ns), NULL, greatest(end_ns - start_ns - first_token_ns, 0))"
_A_SECOND = "({}) * 1e9 / nullIf({}, 0)"
_TOTAL = "if(isNull(input_tokens) AND isNull(output_tokens), NULL, ifNull(input_tokens, 0) + ifNull(output_tokens, 0))"
_COLUMNS = {
    **{each: f"toString(`{each.value}`)" for each in SpanField},
    SpanField.PARENT_ID: "ifNull(parent_id, '')",
    SpanField.TRACE_NAME: "if(trace_name != '', trace_name, if(parent_id IS NULL, name, ''))",
    SpanField.START: "start_ns",
    SpanField.END: "end_ns",
    SpanField.DURATION: _LENGTH,
    SpanField.STREAMING: _STREAMED,
    SpanField.FIRST_TOKEN: "first_token_ns",
    SpanField.INPUT_TOKENS: _BILLED.format("input_tokens"),
    SpanField.OUTPUT_TOKENS: _BILLED.format("output_tokens"),
    SpanField.TOTAL_TOKENS: _BILLED.format(_TOTAL),
    SpanField.COST: _BILLED.format("cost"),
    SpanField.TOKENS_PER_SECOND: _A_SECOND.format(_BILLED.format(_TOTAL), _LENGTH),
    SpanField.OUTPUT_TOKENS_PER_SECOND: _A_SECOND.format(_BILLED.format("output_tokens"), _STREAMED),
    SpanField.SCORES: "ifNull(judged, 0)",
}
_AS_A_SPAN = (
    "trace_id, name, name AS trace_name, CAST(NULL AS Nullable(String)) AS parent_id, user, session, environment, tags,"
    " started_ns AS start_ns, ended_ns AS end_ns, cost, input_tokens, output_tokens, '' AS unbilled"
)
_PERIODS = {
    Period.MINUTE: "intDiv(start_ns, 60000000000) * 60",
    Period.HOUR: "intDiv(start_ns, 3600000000000) * 3600",
    Period.DAY: "intDiv(start_ns, 86400000000000) * 86400",
    # 1970 began on a Thursday.
    Period.WEEK: "(intDiv(intDiv(start_ns, 86400000000000) + 3, 7) * 7 - 3) * 86400",
    Period.MONTH: (
        "toInt64(toRelativeDayNum(toStartOfMonth(toDateTime64(intDiv(start_ns, 1000000000), 0, 'UTC'))))* 86400"
    ),
    None: "0",
}
_JUDGED = (
    " GLOBAL LEFT JOIN (SELECT project AS judged_project, trace_id AS judged_trace, span_id AS judged_span,"
    " toInt64(count()) AS judged FROM scores WHERE span_id != '' GROUP BY project, trace_id, span_id) AS judgements"
    " ON judged_project = spans.project AND judged_trace = spans.trace_id AND judged_span = spans.span_id"
)
# A hair less than the level, as in clickhouse_costs.py: the nearest rank also where the product is a whole number.
_LEVELS = ", ".join(f"{percent / 100 - 1e-9:.9f}" for percent in PERCENTS)


def add_conditions(where: Where, conditions: Sequence[Condition]) -> None:
    """Ask of each span what these say."""
    for each in conditions:
        if each.field is SpanField.TAGS:
            where.add(_tags(where, each))
        elif each.field in NUMBERS:
            where.add(_number(where, each))
        else:
            where.add(_text(where, each))


def _text(where: Where, asked: Condition) -> str:
    column = _COLUMNS[asked.field]
    if asked.how in (Is.MISSING, Is.PRESENT):
        return f"{column} {'=' if asked.how is Is.MISSING else '!='} ''"
    if asked.how in (Is.ANY_OF, Is.NONE_OF):
        return f"{column} {'NOT ' if asked.how is Is.NONE_OF else ''}IN {where.bound.put(list(asked.texts))}"
    text = where.bound.put(asked.texts[0])
    return {
        Is.CONTAINING: f"position({column}, {text}) > 0",
        Is.NOT_CONTAINING: f"position({column}, {text}) = 0",
        Is.BEGINNING: f"startsWith({column}, {text})",
        Is.ENDING: f"endsWith({column}, {text})",
    }[asked.how]


def _number(where: Where, asked: Condition) -> str:
    column = _COLUMNS[asked.field]
    if asked.how in (Is.MISSING, Is.PRESENT):
        return f"{column} IS {'' if asked.how is Is.MISSING else 'NOT '}NULL"
    if asked.field is SpanField.COST:
        amount = max(-MOST, min(Decimal(asked.number), MOST))
        return f"{column} {asked.how.value} {where.bound.put(amount)}"
    number = max(-LATEST_NS, min(int(asked.number), LATEST_NS))
    return f"{column} {asked.how.value} {where.bound.put(number)}"


def _tags(where: Where, asked: Condition) -> str:
    if asked.how in (Is.MISSING, Is.PRESENT):
        return "empty(tags)" if asked.how is Is.MISSING else "notEmpty(tags)"
    texts = where.bound.put(list(asked.texts))
    function = "hasAll" if asked.how is Is.ALL_OF else "hasAny"
    return f"{'NOT ' if asked.how is Is.NONE_OF else ''}{function}(tags, {texts})"


def span_groups(ask: Ask, where: Where, sums: Sums) -> list[SpanGroup]:
    """See `SingleStore.span_groups`, of the spans that fit `where`. The quantiles are exact here."""
    return _groups(ask, "spans" + (_JUDGED if SpanField.SCORES in sums.measures else ""), where, sums)


def trace_sums(ask: Ask, wanted: TraceFilter, sums: Sums) -> list[SpanGroup]:
    """See `SingleStore.trace_sums`."""
    where = Where(Bound())
    # With the names of spans, so that the same is asked of both.
    traces = f"(SELECT {_AS_A_SPAN} FROM traces WHERE {conditions(wanted, where.bound)})"
    return _groups(ask, traces, where, sums)


def _groups(ask: Ask, source: str, where: Where, sums: Sums) -> list[SpanGroup]:
    values = [_value(field) for field in sums.by]
    columns = [part for field in sums.measures for part in _measured(field)]
    columns += [f"uniqExactIf({_COLUMNS[field]}, {_COLUMNS[field]} != '')" for field in sums.distinct]
    keys = [f"v{index}" for index in range(len(values))] + ["period"]
    named = [f"{value} AS v{index}" for index, value in enumerate(values)]
    rows = ask(
        f"SELECT {', '.join([*named, f'{_PERIODS[sums.each]} AS period', 'count()', *columns])}"
        f" FROM {source} WHERE {where} GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)} LIMIT {MOST_GROUPS}",
        where.bound.values,
    )
    return [_group(list(row), sums) for row in rows]


def _value(field: SpanField) -> str:
    if field is SpanField.TAGS:
        return "arrayJoin(if(empty(tags), [''], arrayDistinct(tags)))"
    return _COLUMNS[field]


def _measured(field: SpanField) -> list[str]:
    value = _COLUMNS[field]
    found = [f"count({value})", f"sum({value})", f"min({value})", f"max({value})"]
    return (
        [*found, f"quantilesExactIf({_LEVELS})(ifNull({value}, 0), {value} IS NOT NULL)"]
        if field in TIMES
        else found
    )


def _group(row: list[Any], sums: Sums) -> SpanGroup:
    grouped = len(sums.by)
    values, (period, spans), rest = row[:grouped], row[grouped : grouped + 2], row[grouped + 2 :]
    measured = {}
    for field in sums.measures:
        count, total, least, most = rest[:4]
        rest = rest[4:]
        quantiles = {}
        if field in TIMES:
            ranked = rest.pop(0)  # of no values it is not to be read, but it is there
            quantiles = dict(zip(PERCENTS, map(int, ranked), strict=True)) if count else {}
        measured[field] = Measured(
            count=count,
            total=_decimal(total),
            least=_decimal(least),
            most=_decimal(most),
            quantiles=quantiles,
        )
    return SpanGroup(
        values=tuple(values),
        period_s=period,
        spans=spans,
        measured=measured,
        distinct=dict(zip(sums.distinct, rest, strict=True)),
    )


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return money(value) or Decimal(0)
    return Decimal(value or 0)
