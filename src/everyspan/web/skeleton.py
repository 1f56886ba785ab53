"""A trace without its texts: what a waterfall is drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from everyspan.query.traces import Trace, TraceSpan
from everyspan.record import names
from everyspan.store.reads import TraceSummary
from everyspan.web.as_json import as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Spans as rows of values, in tree order. Times are nanoseconds from the start of the trace, so that every digit
    survives in programs whose numbers are doubles."""

    summary: TraceSummary
    fields: tuple[str, ...]
    """What each value of a row is."""
    spans: tuple[tuple[Any, ...], ...]


FIELDS = (
    *("key", "id", "depth", "missing", "start", "took", "name", "kind", "model", "provider", "service"),
    *("status", "end", "cost", "state", "unbilled", "read", "written", "first_token"),
    "ledger",
)


def skeleton_of(trace: Trace) -> Mapping[str, Any]:
    """The `Skeleton` of a trace that was read, as JSON already: ten thousand rows are not looked through again."""
    began = trace.summary.started_ns
    rows = [_values(span, began) for span in trace.spans]
    return {"summary": as_json(trace.summary), "fields": FIELDS, "spans": rows}


def _values(span: TraceSpan, began: int) -> tuple[Any, ...]:
    row = span.row
    return (
        row.key,
        row.span_id,
        span.depth,
        span.parent_missing,
        row.start_ns - began,
        row.end_ns - row.start_ns,
        row.name,
        row.kind,
        row.model,
        row.provider,
        row.service,
        row.status,
        row.end,
        None if row.cost is None else format(row.cost, "f"),
        row.cost_state.value if row.cost_state else "",
        row.unbilled,
        row.usage.input_tokens,
        row.usage.output_tokens,
        row.first_token_ns,
        row.scope == names.LEDGER_SCOPE,
    )
