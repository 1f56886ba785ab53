"""A trace without its texts: what a waterfall is drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from everyspan.query.places import places
from everyspan.record import names
from everyspan.store.outline import Outline
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


def skeleton_of(summary: TraceSummary, spans: Sequence[Outline]) -> Mapping[str, Any]:
    """The `Skeleton` of a trace, as JSON already: ten thousand rows are not looked through again."""
    rows = list(_rows(spans, summary.started_ns))
    return {"summary": as_json(summary), "fields": FIELDS, "spans": rows}


def _rows(spans: Sequence[Outline], began_ns: int) -> Iterator[tuple[Any, ...]]:
    for index, depth, missing in places(spans):
        key, span_id, _, start_ns, end_ns, *rest, scope = spans[index]
        times = (start_ns - began_ns, end_ns - start_ns)
        yield (key, span_id, depth, missing, *times, *rest, scope == names.LEDGER_SCOPE)
