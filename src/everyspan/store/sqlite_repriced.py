"""How sums take in the newest costs of calls, which stand beside the recorded ones."""

from __future__ import annotations

from collections.abc import Sequence

from everyspan.store.groups import Each
from everyspan.store.periods import LENGTH_NS, whole_and_edges
from everyspan.store.reads import STANDARD_TIERS, CostFilter
from everyspan.store.sqlite_columns import TOKENS

_NO_TIER = ", ".join(f"'{name}'" for name in STANDARD_TIERS)
TIER = (
    "CASE WHEN json_extract(usage_rest, '$.batch') THEN 'batch'"
    f" WHEN coalesce(json_extract(usage_rest, '$.service_tier'), '') IN ({_NO_TIER}) THEN 'standard'"
    " ELSE json_extract(usage_rest, '$.service_tier') END"
)
"""The tier that a call was billed in, which has no column of its own."""

LATEST = (
    "(SELECT max(version) FROM repriced JOIN repricings USING (version) WHERE finished AND span = spans.id)"
)
"""The newest version that has a cost for a span, as a subquery."""


def corrections(fields: Sequence[str], *, with_tag: bool, wanted: CostFilter) -> tuple[str, list[int]]:
    """A query that, beside the recorded costs, makes of each repriced call its newest: once taken away, once added.

    Its columns are those of a roll-up: hour, day, state, `fields`, the sums, cost.
    """
    ((since, until),) = whole_and_edges(wanted.since_ns, wanted.until_ns, 1)[:1]
    columns = ("start_ns", "spans.cost_state", "spans.cost", *(f"spans.{name}" for name in TOKENS))
    tags = ", json_each(CASE tags WHEN '[]' THEN '[\"\"]' ELSE tags END)" if with_tag else ""
    calls = (
        # A tag that stands twice on a call is one.
        f"SELECT {'DISTINCT spans.id, value AS tag, ' if with_tag else ''}{', '.join(columns)},"
        f" {''.join(f'{TIER} AS tier, ' if name == 'tier' else f'spans.{name}, ' for name in fields if name != 'tag')}"
        "repriced.cost_state AS new_state, repriced.cost AS new_cost"
        f" FROM repriced JOIN spans ON spans.id = repriced.span{tags}"
        f" WHERE repriced.version = {LATEST} AND unbilled = '' AND start_ns BETWEEN ? AND ?"
    )
    sums = ", ".join(f"sign * coalesce({name}, 0) AS {name}" for name in TOKENS)
    sql = (
        f"SELECT start_ns / {LENGTH_NS[Each.HOUR]} AS hour, start_ns / {LENGTH_NS[Each.DAY]} AS day,"
        f" CASE sign WHEN 1 THEN new_state ELSE cost_state END AS state, {', '.join(fields)}, sign AS calls,"
        " sign * (CASE sign WHEN 1 THEN new_cost ELSE cost END IS NOT NULL) AS priced,"
        f" {sums}, CASE sign WHEN 1 THEN new_cost ELSE '-' || cost END AS cost"
        f" FROM ({calls}), (SELECT -1 AS sign UNION ALL SELECT 1)"
    )
    return sql, [since, until - 1]
