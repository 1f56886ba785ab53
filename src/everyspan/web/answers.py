"""Answers that are put together for the API, in the shapes that the documentation shows."""

from __future__ import annotations

from dataclasses import dataclass

from everyspan.query.sum import SumLine
from everyspan.store.reads import TraceSummary
from everyspan.store.rows import SpanRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the collector does; counts are since its start."""

    status: str
    """`ok`, or `degraded` while the last attempt to store something failed."""
    version: str
    inbox_pending: int
    quarantined: int
    problem: str
    requests: int
    refused_requests: int
    throttled_requests: int
    """Requests of keys that had used up their quota."""
    rejected_spans: int
    stored_spans: int
    known_spans: int
    refused_spans: int
    unreadable_frames: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanInTree(SpanRow):
    """A span as it is stored, and where it stands."""

    depth: int
    parent_missing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanAnswer(SpanRow):
    """A span with the sum of its cost."""

    cost_lines: tuple[SumLine, ...]
    """Empty when no lines are known that make the amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceAnswer:
    """A whole trace; with `bodies=no` it has neither input nor output."""

    summary: TraceSummary
    input: str
    output: str
    spans: tuple[SpanInTree, ...]
