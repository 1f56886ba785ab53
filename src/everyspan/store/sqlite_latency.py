"""How long calls took: a roll-up of histograms by hour, written and read."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from everyspan.store import histogram
from everyspan.store.groups import Each, LatencyBy, LatencyFilter, LatencyGroup
from everyspan.store.histogram import Histogram
from everyspan.store.periods import HOUR_NS, label, whole_and_edges
from everyspan.store.rows import INTERRUPTED, SpanRow
from everyspan.store.sqlite_costs import COARSE
from everyspan.store.sqlite_where import Where

_KEYS = ("hour", *COARSE)
_PUT = f"""
INSERT INTO latencies ({", ".join(_KEYS)}, calls, errors, durations, first_tokens)
VALUES ({", ".join("?" * (len(_KEYS) + 4))})
ON CONFLICT ({", ".join(_KEYS)}) DO UPDATE SET calls = calls + excluded.calls, errors = errors + excluded.errors,
    durations = add_histogram(durations, excluded.durations),
    first_tokens = add_histogram(first_tokens, excluded.first_tokens)
"""
_SINGLE = f"""
SELECT start_ns / {HOUR_NS} AS hour, {", ".join(COARSE)}, count(*) AS calls, sum(status = 'error') AS errors,
    histogram(CASE WHEN "end" != '{INTERRUPTED}' THEN max(end_ns - start_ns, 0) END) AS durations,
    histogram(max(first_token_ns, 0)) AS first_tokens
FROM spans WHERE (cost_state IS NOT NULL OR unbilled != '') AND unbilled = '' AND start_ns BETWEEN ? AND ?
GROUP BY {", ".join(map(str, range(1, len(_KEYS) + 1)))}
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


def add_latencies(
    connection: sqlite3.Connection, come: Sequence[SpanRow], gone: Sequence[SpanRow] = ()
) -> None:
    """Count rows that are new, and no longer count rows that are gone, inside the caller's transaction."""
    groups: dict[tuple[Any, ...], _Sums] = defaultdict(_Sums)
    for rows, sign in ((come, 1), (gone, -1)):
        for row in rows:
            if row.cost_state is not None and not row.unbilled:
                groups[row.start_ns // HOUR_NS, *_values_of(row)].add(row, sign)
    connection.executemany(
        _PUT,
        (
            (
                *(*key, sums.calls, sums.errors),
                *(histogram.to_text(sums.durations), histogram.to_text(sums.first_tokens)),
            )
            for key, sums in groups.items()
        ),
    )
    if gone:
        where = " AND ".join(f"{name} = ?" for name in _KEYS)
        connection.executemany(f"DELETE FROM latencies WHERE calls = 0 AND {where}", groups)


def latency_groups(
    connection: sqlite3.Connection, by: LatencyBy, wanted: LatencyFilter, each: Each | None = None
) -> list[LatencyGroup]:
    """See `Store.latency_groups`. Whole hours come from the roll-up, the rest of one from its calls."""
    where = Where()
    where.equal(**{name: getattr(wanted, name) for name in COARSE})
    (first, end), edges = whole_and_edges(wanted.since_ns, wanted.until_ns, HOUR_NS)
    parts, values = ["SELECT * FROM latencies WHERE hour >= ? AND hour < ?"], [first, end]
    for since, until in edges:
        parts.append(f"SELECT * FROM ({_SINGLE})")
        values += [since, until - 1]
    period = {None: "''", Each.HOUR: "hour", Each.DAY: "hour / 24"}[each]
    sql = (
        f"SELECT {by.value} AS value, {period} AS period, calls, errors, durations, first_tokens"
        f" FROM ({' UNION ALL '.join(parts)}) {where} ORDER BY 1, 2"
    )
    groups: dict[tuple[str, Any], _Sums] = defaultdict(_Sums)
    for row in connection.execute(sql, (*values, *where.values)):
        sums = groups[row["value"], row["period"]]
        sums.calls += row["calls"]
        sums.errors += row["errors"]
        sums.durations.update(histogram.from_text(row["durations"]))
        sums.first_tokens.update(histogram.from_text(row["first_tokens"]))
    return [
        LatencyGroup(
            value=value,
            period=label(number, each) if each else "",
            calls=sums.calls,
            errors=sums.errors,
            duration=histogram.quantiles(sums.durations),
            first_token=histogram.quantiles(sums.first_tokens),
        )
        for (value, number), sums in groups.items()
    ]
