"""Rows for tests of the store and of what stands on it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Any

from everyspan.model.ids import Seq, WriterId
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.store.groups import Each, GroupFilter, LatencyBy, LatencyFilter, TraceBy
from everyspan.store.reads import CostBy, CostFilter, TraceFilter, WriterFilter
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.store import Store

DAY_NS = 86_400 * 10**9
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2
"""Noon of a day in 2024."""

WRITER = WriterId("0000042-aaaaaaaaaaaa")


def few(examples: int) -> int:
    """So many examples on SQLite, a few on ClickHouse's engine, which takes a second for each."""
    return 3 if os.environ.get("EVERYSPAN_TEST_CLICKHOUSE") else examples


def trace_id(number: int) -> str:
    """A trace id."""
    return f"{number:032x}"


def span_id(number: int) -> str:
    """A span id."""
    return f"{number:016x}"


def span(number: int, **changes: Any) -> SpanRow:
    """A root span without a stamp that is no model call; `number` makes its ids and its start."""
    values: dict[str, Any] = {
        "project": "default",
        "key": f"h:{number}",
        "trace_id": trace_id(number),
        "span_id": span_id(number),
        "parent_id": None,
        "name": f"span {number}",
        "kind": "span",
        "start_ns": NOON_NS + number * 1_000_000,
        "end_ns": NOON_NS + number * 1_000_000 + 500_000,
        "received_ns": NOON_NS + 10**12,
    }
    return SpanRow(**(values | changes))


def call(number: int, cost: str | None = "0.25", **changes: Any) -> SpanRow:
    """A billed model call; without a cost it is unpriced."""
    values: dict[str, Any] = {
        "kind": "generation",
        "provider": "openai",
        "model": "gpt-5",
        "cost_state": CostState.UNPRICED if cost is None else CostState.COMPUTED,
        "cost": None if cost is None else Decimal(cost),
        "usage": Usage(input_tokens=100, output_tokens=10),
    }
    return span(number, **(values | changes))


def stamped(row_number: int, seq: int, *, writer: WriterId = WRITER, **changes: Any) -> SpanRow:
    """A billed call that carries the stamp of `writer` and `seq`."""
    return call(row_number, key=f"w:{writer}:{seq:016x}", writer=writer, seq=Seq(seq), **changes)


def numbers(first: int, last: int | None = None, reason: str = "start", **changes: Any) -> Numbers:
    """Numbers of `WRITER` that came without being a span."""
    values: dict[str, Any] = {"project": "default", "writer": WRITER, "reason": reason}
    return Numbers(first=Seq(first), last=Seq(first if last is None else last), **(values | changes))


def dropped(first: int, last: int, reason: str = "the disk is full", **changes: Any) -> Numbers:
    """Numbers that `WRITER` could not keep."""
    return numbers(first, last, reason, dropped=True, **changes)


def sighting(spooled_to: int, *, closed: bool = False, **changes: Any) -> Sighting:
    """What a request said about `WRITER`."""
    values: dict[str, Any] = {"project": "default", "writer": WRITER, "seen_ns": NOON_NS}
    return Sighting(spooled_to=Seq(spooled_to), closed=closed, **(values | changes))


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum in whole units of 10^-30, where nothing can be rounded."""
    units = sum(int(amount.scaleb(30, _WIDE)) for amount in amounts)
    return _WIDE.scaleb(Decimal(units), -30)


def everything(store: Store) -> dict[str, Any]:
    """All that can be read from a store: equal answers mean that nobody can tell two stores apart."""
    traces = store.list_traces(TraceFilter(limit=1000))
    return {
        "traces": traces,
        "spans": {
            (one.project, one.trace_id): store.read_trace(one.trace_id, project=one.project) for one in traces
        },
        "outlines": {
            (one.project, one.trace_id): store.read_outline(one.trace_id, project=one.project)
            for one in traces
        },
        "totals": store.trace_totals(TraceFilter()),
        "totals added up": store.trace_totals(TraceFilter(since_ns=0)),
        "groups": {by: store.trace_groups(by, GroupFilter(limit=1000)) for by in TraceBy},
        "costs": {by: store.cost_groups(by, CostFilter()) for by in CostBy},
        "latency": {by: store.latency_groups(by, LatencyFilter(), each=Each.HOUR) for by in LatencyBy},
        "latency by day": {by: store.latency_groups(by, LatencyFilter(), each=Each.DAY) for by in LatencyBy},
        "searches": {
            word: store.list_traces(TraceFilter(text=word)) for word in ("apple", "pear", "apple pear")
        },
        "costs of single calls": store.cost_groups(
            CostBy.MODEL, CostFilter(since_ns=1, until_ns=NOON_NS * 2)
        ),
        "writers": store.writers(WriterFilter()),
        "unnumbered": store.unnumbered(WriterFilter()),
    }


_WIDE = Context(prec=200)
