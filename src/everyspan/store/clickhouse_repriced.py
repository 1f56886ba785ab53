"""How questions take in the newest costs of calls, which stand beside the recorded ones in a table of their own."""

from __future__ import annotations

from everyspan.store.clickhouse_columns import TOKENS
from everyspan.store.reads import UNBILLED, Prices

NEWEST = (
    "SELECT project, trace_id, key, argMax(tuple(toString(cost_state), cost, note), number) AS newest FROM repriced"
    " WHERE number GLOBAL IN (SELECT number FROM repricings WHERE finished) {more} GROUP BY project, trace_id, key"
)
"""The newest cost of each span that has another than the recorded one. In a tuple, because `argMax` skips NULL."""

_OF_CALLS = ", ".join(
    f"`{name}`"
    for name in (
        *(
            "project",
            "key_id",
            "trace_id",
            "key",
            "start_ns",
            "hour",
            "service",
            "model",
            "provider",
            "user",
            "session",
        ),
        *("environment", "tags", "usage_rest", *TOKENS),
        *("end_ns", "status", "parent_id", "name", "trace_name"),
    )
)


def calls_at(prices: Prices) -> str:
    """Where calls are read from: as they were recorded, or with their newest costs in place of the recorded ones."""
    if prices != Prices.LATEST:
        return "spans"
    recorded = f"SELECT {_OF_CALLS}, toString(state) AS was_state, cost AS was_cost FROM spans"
    is_new = f"newest.1 != '' AND was_state NOT IN ('', '{UNBILLED}')"
    return (
        f"(SELECT {_OF_CALLS}, if({is_new}, newest.1, was_state) AS state, if({is_new}, newest.2, was_cost) AS cost"
        f" FROM ({recorded}) AS calls GLOBAL LEFT JOIN ({NEWEST.format(more='')}) AS made"
        " USING (project, trace_id, key)"
        # A tuple can not be NULL: where nothing is new, its state is empty.
        " SETTINGS join_use_nulls = 0)"
    )
