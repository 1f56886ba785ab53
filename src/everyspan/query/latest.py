"""Traces and spans at the newest costs that were made for their calls, in place of the recorded ones."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from everyspan.record import names
from everyspan.store import exact
from everyspan.store.outline import Outline
from everyspan.store.reads import TraceSummary
from everyspan.store.repricing import Newer, Place, repricer
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store

_OF_THE_NOTE = {
    "table": names.COST_TABLE,
    "model": names.COST_MODEL,
    "unpriced": names.COST_UNPRICED,
    "lines": names.COST_LINES,
}
_RECORDED = "everyspan.cost.recorded"
"""Beside a newer cost among a span's attributes: what was recorded."""


def summaries_at_latest(store: Store, recorded: Sequence[TraceSummary]) -> tuple[TraceSummary, ...]:
    """The same traces with their sums at the newest costs.

    Raises:
        StoreError: the store cannot be read.
    """
    traces: dict[str, list[str]] = defaultdict(list)
    for summary in recorded:
        traces[summary.project].append(summary.trace_id)
    calls = repricer(store)
    newer: dict[tuple[str, str], list[Newer]] = defaultdict(list)
    for project, trace_ids in traces.items():
        for each in calls.latest(project, trace_ids):
            newer[project, each.made.at.trace_id].append(each)
    return tuple(summary_at(each, newer.get((each.project, each.trace_id), ())) for each in recorded)


def summary_at(recorded: TraceSummary, newer: Iterable[Newer]) -> TraceSummary:
    """One trace's sums with these of its calls at their newest costs."""
    cost, states = recorded.cost, Counter(recorded.states)
    for each in newer:
        cost = exact.add(exact.subtract(cost, each.was_cost), each.made.cost)
        states[each.was_state.value] -= 1
        states[each.made.state.value] += 1
    left = {state: count for state, count in sorted(states.items()) if count}
    return replace(recorded, cost=cost, states=left)


def rows_at(recorded: Iterable[SpanRow], newer: Iterable[Newer]) -> list[SpanRow]:
    """Spans with these of their costs; what was recorded stands among the attributes of such a one."""
    made = {each.made.at: each for each in newer}
    found = []
    for row in recorded:
        new = made.get(Place(row.project, row.trace_id, row.key))
        found.append(row if new is None else _row_at(row, new))
    return found


def outlines_at(recorded: Iterable[Outline], newer: Iterable[Newer]) -> list[Outline]:
    """The same for spans of one trace that were read without their texts."""
    made = {each.made.at.key: each.made for each in newer}
    found = []
    for each in recorded:
        new = made.get(each.key)
        found.append(
            each if new is None else each._replace(cost=exact.to_text(new.cost), cost_state=new.state.value)
        )
    return found


def _row_at(row: SpanRow, new: Newer) -> SpanRow:
    made = new.made
    kept: dict[str, Any] = json.loads(row.attributes or "{}")
    said: dict[str, Any] = {
        name: value
        for name, value in (kept.get("attributes") or {}).items()
        if not name.startswith("everyspan.cost.") and name != names.USAGE_COST
    }
    note = json.loads(made.note or "{}")
    said |= {name: note[field] for field, name in _OF_THE_NOTE.items() if field in note}
    said[names.COST_STATE] = made.state.value
    if made.cost is not None:
        said[names.COST_TOTAL] = f"{made.cost:f}"
    if new.was_cost is not None:
        said[_RECORDED] = f"{new.was_cost:f}"
    if names.COST_LINES in said:
        said[names.COST_LINES] = json.dumps(said[names.COST_LINES], separators=(",", ":"))
    attributes = json.dumps({**kept, "attributes": said}, ensure_ascii=False, separators=(",", ":"))
    return replace(row, cost_state=made.state, cost=made.cost, cost_note=made.note, attributes=attributes)
