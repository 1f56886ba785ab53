"""How sums take in the newest costs of calls, which stand beside the recorded ones."""

from __future__ import annotations

from collections.abc import Sequence

from everyspan.store.groups import Each
from everyspan.store.periods import LENGTH_NS, whole_and_edges
from everyspan.store.reads import CostFilter
from everyspan.store.sqlite_columns import TOKENS

LATEST = (
    "(SELECT max(version) FROM repriced JOIN repricings USING (version) WHERE finished AND span = spans.id)"
)
"""The newest version that has a cost for a span, as a subquery."""


def corrections(fields: Sequence[str], *, with_tag: bool, wanted: CostFilter) -> tuple[str, list[int]]:
    """A query that, beside the recorded costs, makes of each repriced call its newest: once taken away, once added.

    Its columns are those of a roll-up: hour, day, state, `fields`, the sums, cost.
    """
    ((since, until),) = whole_and_edges(wanted.since_ns, wanted.until_ns, 1)[:1]
    tags = ", json_each(CASE tags WHEN '[]' THEN '[\"\"]' ELSE tags END)" if with_tag else ""
    calls = (
        "SELECT DISTINCT spans.*, repriced.cost_state AS new_state, repriced.cost AS new_cost"
        f"{', value AS tag' if with_tag else ''}"
        f" FROM repriced JOIN spans ON spans.id = repriced.span{tags}"
        f" WHERE repriced.version = {LATEST} AND unbilled = '' AND start_ns BETWEEN ? AND ?"
    )
    periods = f"start_ns / {LENGTH_NS[Each.HOUR]} AS hour, start_ns / {LENGTH_NS[Each.DAY]} AS day"
    gone, come = ("-1", "cost_state", "cost", "'-' || cost"), ("1", "new_state", "new_cost", "new_cost")
    parts = []
    for sign, state, cost, signed in (gone, come):
        sums = ", ".join(f"{sign} * coalesce({name}, 0) AS {name}" for name in TOKENS)
        parts.append(
            f"SELECT {periods}, {state} AS state, {', '.join(fields)}, {sign} AS calls,"
            f" {sign} * ({cost} IS NOT NULL) AS priced, {sums}, {signed} AS cost FROM ({calls})"
        )
    return " UNION ALL ".join(parts), [since, until - 1] * 2
