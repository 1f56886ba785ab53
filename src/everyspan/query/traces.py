"""Which traces are there, and what happened in one of them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from everyspan.errors import NotFoundError, SettingsError
from everyspan.query.latest import outlines_at, rows_at, summaries_at_latest, summary_at
from everyspan.query.places import places
from everyspan.store import exact
from everyspan.store.groups import TraceTotals
from everyspan.store.outline import Outline
from everyspan.store.reads import Prices, TraceFilter, TraceSummary
from everyspan.store.repricing import repricer
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store

__all__ = [
    "Trace",
    "TraceFilter",
    "TracePage",
    "TraceSpan",
    "TraceSummary",
    "TraceTotals",
    "list_traces",
    "outline",
    "span",
    "totals",
    "trace",
]

MOST_TRACES = 1000
"""Most traces on one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePage:
    """Traces, newest first."""

    traces: tuple[TraceSummary, ...]
    next_cursor: str = ""
    """Pass it as `TraceFilter.before` for the next page; empty on the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSpan:
    """A span at its place in the tree."""

    row: SpanRow
    depth: int
    """0 for a root, and for a span whose parent never arrived."""
    parent_missing: bool = False
    """It names a parent that is not in this trace (yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A whole trace."""

    summary: TraceSummary
    input: str = ""
    """What the trace was given: the root's input, or what a span calls its trace's input."""
    output: str = ""
    spans: tuple[TraceSpan, ...]
    """In the order of a tree printed from top to bottom: each span before its children, siblings by start."""


def list_traces(store: Store, wanted: TraceFilter, *, prices: Prices = Prices.RECORDED) -> TracePage:
    """One page of traces, newest first.

    Raises:
        SettingsError: the limit is not from 1 to 1000, the cursor is not one of ours, or the newest costs are asked for
            together with limits of cost, which are about the recorded ones.
        StoreError: the store cannot be read.
    """
    if not 1 <= wanted.limit <= MOST_TRACES:
        raise SettingsError(f"limit is {wanted.limit}; it takes 1 to {MOST_TRACES}")
    wanted.position()
    _check(wanted, prices)
    found = store.list_traces(wanted)
    page = tuple(found[: wanted.limit])
    if prices is Prices.LATEST:
        page = summaries_at_latest(store, page)
    return TracePage(traces=page, next_cursor=page[-1].cursor if len(found) > len(page) else "")


def totals(store: Store, wanted: TraceFilter, *, prices: Prices = Prices.RECORDED) -> TraceTotals:
    """What all traces that fit come to; `limit` and `before` do not apply.

    The recorded costs are sums that are kept. The newest ones are added up from the traces, page by page, once there
    are any.

    Raises:
        SettingsError: as for `list_traces`.
        StoreError: the store cannot be read.
    """
    _check(wanted, prices)
    found = store.trace_totals(wanted)
    if prices is not Prices.LATEST or not repricer(store).versions():
        return found
    cost, states = None, Counter[str]()
    asked = replace(wanted, limit=MOST_TRACES, before="")
    while True:
        page = list_traces(store, asked, prices=prices)
        for summary in page.traces:
            cost = exact.add(cost, summary.cost)
            states.update(summary.states)
        if not page.next_cursor:
            return replace(found, cost=cost, states=dict(sorted(states.items())))
        asked = replace(asked, before=page.next_cursor)


def _check(wanted: TraceFilter, prices: Prices) -> None:
    if prices is Prices.LATEST and (wanted.min_cost is not None or wanted.max_cost is not None):
        raise SettingsError(
            "min_cost and max_cost are about the recorded costs; ask with prices=recorded, or without them"
        )


def trace(
    store: Store,
    trace_id: str,
    *,
    project: str | None = None,
    bodies: bool = True,
    prices: Prices = Prices.RECORDED,
) -> Trace:
    """The trace with this id. Without a project it is looked for in all of them.

    Args:
        bodies: whether texts, attributes, cost notes and status messages are read; a large trace is there sooner
            without them.

    Raises:
        NotFoundError: there is no such trace.
        SettingsError: several projects have one; the message names them.
        StoreError: the store cannot be read.
    """
    if project is None:
        project = _only_project(store, trace_id)
    found = store.read_trace(trace_id, project=project, bodies=bodies)
    if found is None:
        raise NotFoundError(f"project {project!r} has no trace {trace_id}")
    summary, rows = found
    if prices is Prices.LATEST:
        newer = repricer(store).latest(project, [trace_id])
        summary, rows = summary_at(summary, newer), rows_at(rows, newer)
    return Trace(
        summary=summary,
        input=_latest((row.trace_input or (row.input if row.parent_id is None else "")) for row in rows),
        output=_latest((row.trace_output or (row.output if row.parent_id is None else "")) for row in rows),
        spans=tuple(in_tree_order(rows)),
    )


def outline(
    store: Store, trace_id: str, *, project: str | None = None, prices: Prices = Prices.RECORDED
) -> tuple[TraceSummary, list[Outline]]:
    """The trace with this id without anything long, spans by start; see `trace` for projects and errors."""
    if project is None:
        project = _only_project(store, trace_id)
    found = store.read_outline(trace_id, project=project)
    if found is None:
        raise NotFoundError(f"project {project!r} has no trace {trace_id}")
    if prices is not Prices.LATEST:
        return found
    newer = repricer(store).latest(project, [trace_id])
    return summary_at(found[0], newer), outlines_at(found[1], newer)


def span(
    store: Store,
    trace_id: str,
    key: str,
    *,
    project: str | None = None,
    prices: Prices = Prices.RECORDED,
) -> SpanRow:
    """One span of a trace, with everything; projects as for `trace`.

    Raises:
        NotFoundError: there is no such trace, or it has no such span.
        SettingsError: several projects have the trace; the message names them.
        StoreError: the store cannot be read.
    """
    if project is None:
        project = _only_project(store, trace_id)
    found = store.read_span(trace_id, key, project=project)
    if found is None:
        raise NotFoundError(f"trace {trace_id} has no span {key}")
    if prices is not Prices.LATEST:
        return found
    return rows_at([found], repricer(store).latest(project, [trace_id]))[0]


def in_tree_order(rows: Sequence[SpanRow]) -> Iterator[TraceSpan]:
    """The rows, given by start, as a tree printed from top to bottom; see `places`."""
    for index, depth, missing in places(rows):
        yield TraceSpan(row=rows[index], depth=depth, parent_missing=missing)


def _only_project(store: Store, trace_id: str) -> str:
    projects = store.projects_of(trace_id)
    if not projects:
        raise NotFoundError(f"there is no trace {trace_id}")
    if len(projects) > 1:
        raise SettingsError(
            f"trace {trace_id} is in {len(projects)} projects; name one of: {', '.join(projects)}"
        )
    return projects[0]


def _latest(values: Iterable[str]) -> str:
    latest = ""
    for value in values:
        latest = value or latest
    return latest
