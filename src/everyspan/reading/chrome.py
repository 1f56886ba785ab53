"""Spans as Chrome's trace events, which Perfetto and `chrome://tracing` open.

Source: Trace Event Format, complete events (`ph: "X"`); times are microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from everyspan.store.rows import SpanRow


def chrome_events(rows: Sequence[SpanRow], *, process: int) -> list[dict[str, Any]]:
    """The events of one trace, whose spans are given parents first, as `process`.

    A lane of the viewer holds spans that lie within each other. Spans at the same time, such as those of
    `asyncio.gather`, get lanes of their own; a child stays in its parent's lane while there is room.
    """
    lanes: list[list[int]] = []  # for each lane the ends of the spans that are open in it, outermost first
    lane_of: dict[str, int] = {}
    events = []
    for row in sorted(rows, key=lambda row: (row.start_ns, -row.end_ns)):
        lane = _lane(row, lanes, lane_of.get(row.parent_id or ""))
        lane_of[row.span_id] = lane
        events.append(
            {
                "name": row.name or "(no name)",
                "cat": row.kind,
                "ph": "X",
                "ts": row.start_ns / 1000,
                "dur": (row.end_ns - row.start_ns) / 1000,
                "pid": process,
                "tid": lane + 1,
                "args": _arguments(row),
            }
        )
    return events


def named_process(name: str, process: int) -> dict[str, Any]:
    """The event that gives a process its name."""
    return {"name": "process_name", "ph": "M", "pid": process, "tid": 0, "args": {"name": name}}


def _lane(row: SpanRow, lanes: list[list[int]], wanted: int | None) -> int:
    order: list[int] = [*([] if wanted is None else [wanted]), *range(len(lanes))]
    for lane in order:
        open_ends = lanes[lane]
        while open_ends and open_ends[-1] <= row.start_ns:
            open_ends.pop()
        if not open_ends or row.end_ns <= open_ends[-1]:
            open_ends.append(row.end_ns)
            return lane
    lanes.append([row.end_ns])
    return len(lanes) - 1


def _arguments(row: SpanRow) -> dict[str, Any]:
    said = {
        "model": row.model,
        "provider": row.provider,
        "cost_usd": None if row.cost is None else format(row.cost, "f"),
        "cost_state": row.cost_state.value if row.cost_state else None,
        "input_tokens": row.usage.input_tokens,
        "output_tokens": row.usage.output_tokens,
        "first_token_ms": None if row.first_token_ns is None else row.first_token_ns / 1e6,
        "status": row.status if row.status != "unset" else "",
        "end": row.end,
        "unbilled": row.unbilled,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
    }
    return {name: value for name, value in said.items() if value not in (None, "")}
