"""How sums take in the newest costs of calls, which stand beside the recorded ones."""

from __future__ import annotations

from collections.abc import Sequence

from everyspan.model.money import CostState
from everyspan.store.groups import Each, TraceBy
from everyspan.store.periods import LENGTH_NS, whole_and_edges
from everyspan.store.reads import STANDARD_TIERS, UNBILLED, CostFilter
from everyspan.store.sqlite_columns import TOKENS

_NO_TIER = ", ".join(f"'{name}'" for name in STANDARD_TIERS)
TIER = (
    "CASE WHEN json_extract(usage_rest, '$.batch') THEN 'batch'"
    f" WHEN coalesce(json_extract(usage_rest, '$.service_tier'), '') IN ({_NO_TIER}) THEN 'standard'"
    " ELSE json_extract(usage_rest, '$.service_tier') END"
)
"""The tier that a call was billed in, which has no column of its own."""

_LISTS = {
    TraceBy.TAG: "tags",
    TraceBy.SERVICE: "services",
    TraceBy.MODEL: "models",
    TraceBy.PROVIDER: "providers",
}
"""Of these a trace has any number, in a column with a JSON array."""

_PRICED = tuple(state.value for state in CostState)
_KEPT = (
    *("kind", "project", "value", "first_ns", "last_ns", "traces", "spans", "calls", "errors"),
    *("input_tokens", "output_tokens", UNBILLED),
)
"""What of a facet no price changes."""

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


def groups_at_latest(by: TraceBy, project: str) -> tuple[str, list[str]]:
    """The table of facets with its sums at the newest costs, as a subquery; only those of one project when it is named.

    Every repriced call is looked at, because what a group's own traces are takes longer to find out.
    """
    listed = _LISTS.get(by)
    changed = ", ".join(
        f"sum((new_state = '{state}') - (was_state = '{state}')) AS {state}" for state in _PRICED
    )
    calls = (
        f"SELECT traces.project, {'each.value' if listed else f'traces.{by.value}'} AS value,"
        " repriced.cost_state AS new_state, repriced.cost AS new_cost,"
        " spans.cost_state AS was_state, spans.cost AS was_cost"
        # CROSS JOIN is SQLite's way of fixing the order of a join.
        " FROM repriced CROSS JOIN spans ON spans.id = repriced.span"
        " CROSS JOIN traces ON traces.project = spans.project AND traces.trace_id = spans.trace_id"
        f"{f', json_each(traces.{listed}) AS each' if listed else ''}"
        f" WHERE repriced.version = {LATEST} AND unbilled = ''{' AND spans.project = ?' if project else ''}"
    )
    made = (
        f"SELECT project, value, {changed}, add_text(sum_text(new_cost), sum_text('-' || was_cost)) AS cost"
        f" FROM ({calls}) GROUP BY project, value"
    )
    kept = ", ".join(f"facets.{name}" for name in _KEPT)
    states = ", ".join(f"facets.{state} + coalesce(made.{state}, 0) AS {state}" for state in _PRICED)
    sql = (
        f"(SELECT {kept}, {states}, add_text(facets.cost, made.cost) AS cost,"
        " nano(add_text(facets.cost, made.cost)) AS cost_nano"
        f" FROM facets LEFT JOIN ({made}) AS made ON made.project = facets.project AND made.value = facets.value)"
    )
    return sql, [project] * bool(project)
