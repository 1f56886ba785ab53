"""Which traces are there, and what happened in one of them?"""

from __future__ import annotations

from dataclasses import dataclass

from everyspan.store.reads import TraceFilter, TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store

__all__ = ["Trace", "TraceFilter", "TracePage", "TraceSpan", "TraceSummary", "list_traces", "trace"]


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
    raise NotImplementedError


def trace(store: Store, trace_id: str, *, project: str | None = None) -> Trace:
    """The trace with this id. Without a project it is looked for in all of them.

    Raises:
        NotFoundError: there is no such trace.
        SettingsError: several projects have one; the message names them.
        StoreError: the store cannot be read.
    """
    raise NotImplementedError
