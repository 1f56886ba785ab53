"""How long calls took: roll-ups of histograms by hour, by day, and by day for each value alone, written and read."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any

from everyspan.store import histogram
from everyspan.store.groups import Each, LatencyBy, LatencyFilter, LatencyGroup
from everyspan.store.histogram import Histogram
from everyspan.store.periods import LENGTH_NS, label, whole_and_edges
from everyspan.store.rows import INTERRUPTED, SpanRow
from everyspan.store.sqlite_costs import COARSE
from everyspan.store.sqlite_where import Where

_HOURLY, _DAILY, _BY_VALUE = "latencies", "latencies_by_day", "latencies_by_value"
_KEYS = {
    _HOURLY: ("hour", *COARSE),
    _DAILY: ("day", *COARSE),
    _BY_VALUE: ("day", "project", "field", "value"),
}
_COUNTED = "cost_state IS NOT NULL AND unbilled = ''"


def _put(table: str) -> str:
    keys = ", ".join(_KEYS[table])
    return f"""
INSERT INTO {table} ({keys}, calls, errors, durations, first_tokens)
VALUES ({", ".join("?" * (len(_KEYS[table]) + 4))})
ON CONFLICT ({keys}) DO UPDATE SET calls = calls + excluded.calls, errors = errors + excluded.errors,
    durations = add_histogram(durations, excluded.durations),
    first_tokens = add_histogram(first_tokens, excluded.first_tokens)
"""


_MEASURED = ("calls", "errors", "durations", "first_tokens")
_COLUMNS = ", ".join((*COARSE, *_MEASURED))
_SINGLE = f"""
SELECT start_ns / {LENGTH_NS[Each.HOUR]} AS hour, start_ns / {LENGTH_NS[Each.DAY]} AS day, {", ".join(COARSE)},
    count(*) AS calls, sum(status = 'error') AS errors,
    histogram(CASE WHEN "end" != '{INTERRUPTED}' THEN max(end_ns - start_ns, 0) END) AS durations,
    histogram(max(first_token_ns, 0)) AS first_tokens
FROM spans WHERE (cost_state IS NOT NULL OR unbilled != '') AND {_COUNTED} AND start_ns BETWEEN ? AND ?
GROUP BY {", ".join(map(str, range(1, len(COARSE) + 3)))}
"""
_values_of = attrgetter(*COARSE)


@dataclass
class _Sums:
    calls: int = 0
    errors: int = 0
    durations: Histogram = field(default_factory=Histogram)
    first_tokens: Histogram = field(default_factory=Histogram)

    def add(self, row: SpanRow, sign: int) -> None:
        self.calls += sign
        self.errors += sign * (row.status == "error")
        if row.end != INTERRUPTED:
            self.durations[histogram.bucket(max(row.end_ns - row.start_ns, 0))] += sign
        if row.first_token_ns is not None:
            self.first_tokens[histogram.bucket(max(row.first_token_ns, 0))] += sign

    def join(self, other: _Sums) -> None:
        self.calls += other.calls
        self.errors += other.errors
        for mine, its in ((self.durations, other.durations), (self.first_tokens, other.first_tokens)):
            for bucket, count in its.items():
                mine[bucket] += count

    def values(self) -> tuple[int, int, str, str]:
        """As a roll-up has them."""
        histograms = (histogram.to_text(self.durations), histogram.to_text(self.first_tokens))
        return (self.calls, self.errors, *histograms)


@dataclass
class _Found:
    calls: int = 0
    errors: int = 0
    durations: histogram.Sums = field(default_factory=dict)
    first_tokens: histogram.Sums = field(default_factory=dict)


def add_latencies(
    connection: sqlite3.Connection, come: Sequence[SpanRow], gone: Sequence[SpanRow] = ()
) -> None:
    """Count rows that are new, and no longer count rows that are gone, inside the caller's transaction."""
    hourly: dict[tuple[Any, ...], _Sums] = defaultdict(_Sums)
    for rows, sign in ((come, 1), (gone, -1)):
        for row in rows:
            if row.cost_state is not None and not row.unbilled:
                hourly[row.start_ns // LENGTH_NS[Each.HOUR], *_values_of(row)].add(row, sign)
    daily: dict[tuple[Any, ...], _Sums] = defaultdict(_Sums)
    for (hour, *values), sums in hourly.items():
        daily[hour * LENGTH_NS[Each.HOUR] // LENGTH_NS[Each.DAY], *values].join(sums)
    by_value: dict[tuple[Any, ...], _Sums] = defaultdict(_Sums)
    for (day, project, *values), sums in daily.items():
        for name, value in zip(COARSE, (project, *values), strict=True):
            by_value[day, project, name, value].join(sums)
    for table, groups in ((_BY_VALUE, by_value), (_DAILY, daily), (_HOURLY, hourly)):
        connection.executemany(_put(table), ((*key, *sums.values()) for key, sums in groups.items()))
        if gone:
            where = " AND ".join(f"{name} = ?" for name in _KEYS[table])
            connection.executemany(f"DELETE FROM {table} WHERE calls = 0 AND {where}", groups)


def latency_groups(
    connection: sqlite3.Connection, by: LatencyBy, wanted: LatencyFilter, each: Each | None = None
) -> list[LatencyGroup]:
    """See `Store.latency_groups`. Whole hours or days come from the roll-ups, the rest of an hour from its calls."""
    where = Where()
    where.equal(**{name: getattr(wanted, name) for name in COARSE})
    # Asked for values of one field only, days are added up already.
    others = any(getattr(wanted, name) for name in COARSE if name not in ("project", by.value))
    table = _HOURLY if each is Each.HOUR else _DAILY if others else _BY_VALUE
    parts = list(_parts(table, by, wanted.since_ns, wanted.until_ns))
    period = each.value if each else "''"
    sql = (
        f"SELECT {by.value} AS value, {period} AS period, calls, errors, durations, first_tokens"
        f" FROM ({' UNION ALL '.join(part for part, _ in parts)}) {where}"
    )
    values = [value for _, values in parts for value in values]
    groups: dict[tuple[str, Any], _Found] = defaultdict(_Found)
    # Plain tuples, and sorted when they are groups: a report of many days reads thousands of long rows.
    cursor = connection.cursor()
    cursor.row_factory = None
    for value, number, calls, errors, durations, first_tokens in cursor.execute(
        sql, (*values, *where.values)
    ):
        found = groups[value, number]
        found.calls += calls
        found.errors += errors
        histogram.add_to(found.durations, durations)
        histogram.add_to(found.first_tokens, first_tokens)
    return [
        LatencyGroup(
            value=value,
            period=label(number, each) if each else "",
            calls=found.calls,
            errors=found.errors,
            duration=histogram.quantiles(histogram.of_sums(found.durations)),
            first_token=histogram.quantiles(histogram.of_sums(found.first_tokens)),
        )
        for (value, number), found in sorted(groups.items(), key=itemgetter(0))
    ]


def _parts(
    table: str, by: LatencyBy, since_ns: int | None, until_ns: int | None
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Queries that together cover a stretch of time: whole periods, and what is finer of both edges."""
    each = Each.HOUR if table == _HOURLY else Each.DAY
    whole, edges = whole_and_edges(since_ns, until_ns, LENGTH_NS[each])
    periods = "hour, hour / 24 AS day" if each is Each.HOUR else "NULL AS hour, day"
    columns, of_field = _COLUMNS, ""
    if table == _BY_VALUE:
        # The one value stands for every field; nobody asks for another than `by`.
        columns = ", ".join(("project", *(f"value AS {name}" for name in COARSE[1:]), *_MEASURED))
        of_field = f" AND field = '{by.value}'"
    yield (
        f"SELECT {periods}, {columns} FROM {table} WHERE {each.value} >= ? AND {each.value} < ?{of_field}",
        whole,
    )
    for since, until in edges:
        if each is Each.DAY:
            yield from _parts(_HOURLY, by, since, until)
        else:
            yield f"SELECT * FROM ({_SINGLE})", (since, until - 1)
