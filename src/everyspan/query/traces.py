"""Which traces are there, and what happened in one of them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from everyspan.errors import NotFoundError, SettingsError
from everyspan.query.places import places
from everyspan.store.groups import TraceTotals
from everyspan.store.outline import Outline
from everyspan.store.reads import TraceFilter, TraceSummary
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


def list_traces(store: Store, wanted: TraceFilter) -> TracePage:
    """One page of traces, newest first.

    Raises:
        SettingsError: the limit is not from 1 to 1000, or the cursor is not one of ours.
        StoreError: the store cannot be read.
    """
    if not 1 <= wanted.limit <= MOST_TRACES:
        raise SettingsError(f"limit is {wanted.limit}; it takes 1 to {MOST_TRACES}")
    wanted.position()
    found = store.list_traces(wanted)
    page = tuple(found[: wanted.limit])
    return TracePage(traces=page, next_cursor=page[-1].cursor if len(found) > len(page) else "")


def totals(store: Store, wanted: TraceFilter) -> TraceTotals:
    """What all traces that fit come to; `limit` and `before` do not apply.

    Raises:
        StoreError: the store cannot be read.
    """
    return store.trace_totals(wanted)


def trace(store: Store, trace_id: str, *, project: str | None = None, bodies: bool = True) -> Trace:
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
    return Trace(
        summary=summary,
        input=_latest((row.trace_input or (row.input if row.parent_id is None else "")) for row in rows),
        output=_latest((row.trace_output or (row.output if row.parent_id is None else "")) for row in rows),
        spans=tuple(in_tree_order(rows)),
    )


def outline(store: Store, trace_id: str, *, project: str | None = None) -> tuple[TraceSummary, list[Outline]]:
    """The trace with this id without anything long, spans by start; see `trace` for projects and errors."""
    if project is None:
        project = _only_project(store, trace_id)
    found = store.read_outline(trace_id, project=project)
    if found is None:
        raise NotFoundError(f"project {project!r} has no trace {trace_id}")
    return found


def span(store: Store, trace_id: str, key: str, *, project: str | None = None) -> SpanRow:
    """One span of a trace, with everything; projects as for `trace`.

    Raises:
        NotFoundError: there is no such trace, or it has no such span.
        SettingsError: several projects have the trace; the message names them.
        StoreError: the store cannot be read.
    """
    found = store.read_span(
        trace_id, key, project=_only_project(store, trace_id) if project is None else project
    )
    if found is None:
        raise NotFoundError(f"trace {trace_id} has no span {key}")
    return found


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
