"""Questions about many traces or calls at once, and their answers: totals, users and sessions, latency over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from everyspan.store.reads import Prices


class Each(StrEnum):
    """A length of time by which sums are divided, in UTC."""

    HOUR = "hour"
    """As `2026-11-22T14:00Z`."""
    DAY = "day"
    """As `2026-11-22`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceTotals:
    """What the traces of a filter come to."""

    traces: int = 0
    spans: int = 0
    calls: int = 0
    """Billed model calls."""
    errors: int = 0
    """Spans whose status is an error."""
    cost: Decimal | None = None
    """US dollars of all calls whose cost is known, exact; None when it is known of none."""
    states: Mapping[str, int] = field(default_factory=dict)
    """Calls by `CostState` value, and `unbilled` for those that do not count; a state without calls is absent."""
    input_tokens: int = 0
    output_tokens: int = 0


class TraceBy(StrEnum):
    """What traces are gathered by. A trace with two tags, models, providers or services is in two groups."""

    USER = "user"
    SESSION = "session"
    TAG = "tag"
    NAME = "name"
    ENVIRONMENT = "environment"
    SERVICE = "service"
    MODEL = "model"
    PROVIDER = "provider"


class GroupOrder(StrEnum):
    """Which groups come first."""

    LATEST = "latest"
    DEAREST = "dearest"
    MOST = "most"
    """Traces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFilter:
    """Which groups of traces to list; empty fields do not narrow."""

    project: str = ""
    value: str = ""
    """The whole value."""
    containing: str = ""
    """A part of the value; capital letters of the Latin alphabet are as good as small ones."""
    since_ns: int | None = None
    """Groups whose latest trace started then or later; the sums are over all their traces."""
    order: GroupOrder = GroupOrder.LATEST
    limit: int = 50
    """Groups on one page, 1 to 1000."""
    offset: int = 0
    prices: Prices = Prices.RECORDED


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceGroup:
    """The traces of one project that share a value, such as a user."""

    project: str
    value: str
    first_ns: int
    """When the earliest of its traces started."""
    last_ns: int
    """When the latest one did."""
    totals: TraceTotals


class LatencyBy(StrEnum):
    """What latencies are gathered by."""

    MODEL = "model"
    PROVIDER = "provider"
    SERVICE = "service"
    ENVIRONMENT = "environment"
    PROJECT = "project"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFilter:
    """Which billed calls to measure; empty fields do not narrow. Times as in `CostFilter`, to the nanosecond."""

    project: str = ""
    service: str = ""
    environment: str = ""
    model: str = ""
    provider: str = ""
    since_ns: int | None = None
    until_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Of a set of lengths of time: the value that so many percent do not exceed, within 1.6 %; None without any."""

    count: int = 0
    p50_ns: int | None = None
    p90_ns: int | None = None
    p95_ns: int | None = None
    p99_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyGroup:
    """How long the billed calls of a group took. Interrupted calls count, but nobody knows how long they took."""

    value: str
    """Empty when the calls did not say."""
    period: str = ""
    """The hour or day, when the question divided by one."""
    calls: int = 0
    errors: int = 0
    """Those of `calls` whose status is an error."""
    duration: Quantiles = field(default_factory=Quantiles)
    first_token: Quantiles = field(default_factory=Quantiles)
    """From the start of the call to its first token; only calls that said so."""
