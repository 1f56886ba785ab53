"""What a store can be asked, and what it answers: filters and plain values shared by every implementation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from everyspan.errors import SettingsError
from everyspan.model.ids import Seq, WriterId
from everyspan.model.money import CostState

Range = tuple[int, int]
"""Sequence numbers from the first to the last, both included."""

UNBILLED = "unbilled"
"""The state under which roll-ups count calls that are kept but not billed."""

STANDARD_TIERS = ("", "auto", "default", "on_demand", "standard")
"""What providers call the tier that is none."""

STATES = (*(state.value for state in CostState), UNBILLED)
"""Every state under which a call is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A row or range that no store can hold, such as a time after the year 2262. The rest of its batch was kept."""

    project: str
    key: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """What became of the spans of one `insert`; new + known + the refused spans is what was handed over."""

    new: int
    known: int
    """Already there, or twice in this batch: changed nothing."""
    refused: tuple[Refused, ...] = ()
    """Kept out. Where they carried a stamp the audit shows their numbers as dropped, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """Which traces to list, newest first. Empty fields do not narrow.

    `since_ns` is included, `until_ns` is not; both speak of the start of the trace.
    """

    project: str = ""
    service: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    name: str = ""
    """The trace's whole name."""
    model: str = ""
    """Traces in which at least one span used this model; the same for `provider`, `service` and `tag`."""
    provider: str = ""
    tag: str = ""
    user: str = ""
    session: str = ""
    environment: str = ""
    with_errors: bool = False
    text: str = ""
    """Words that occur in the input or the output of one span, all of them in the same one. Whole words, in any order,
    whatever their case and accents; a text without a word, such as `?`, finds nothing."""
    min_cost: Decimal | None = None
    """US dollars, included, as `max_cost`. Traces of unknown cost fit neither."""
    max_cost: Decimal | None = None
    min_duration_ns: int | None = None
    """Included, as `max_duration_ns`."""
    max_duration_ns: int | None = None
    limit: int = 50
    """Traces on one page, 1 to 1000."""
    before: str = ""
    """`TracePage.next_cursor` of the page before this one."""

    def position(self) -> tuple[int, str, str] | None:
        """Start, project and trace id that `before` stands for; None when it is empty.

        Raises:
            SettingsError: it is not a cursor of ours.
        """
        if not self.before:
            return None
        start, _, rest = self.before.partition(".")
        trace_id, separator, project = rest.partition(".")
        # 19 digits hold any time in nanoseconds that a 64-bit column can; more would not.
        whole = start.isascii() and start.isdigit() and len(start) <= 19
        if not whole or not separator:
            raise SettingsError(
                f"{self.before[:80]!r} is no cursor; pass on the one that came with the last page"
            )
        return min(int(start), (1 << 63) - 1), project, trace_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """One trace in a list. The sums are over stored spans, each counted once however often it arrived.

    Name, user, session and tags are put together from all spans in the order of their start: a later value
    replaces an earlier one, an empty one replaces nothing, tags are united. The name is the root's or what a span
    calls its trace; while neither has arrived, it is the name of the earliest span. The environment is the first.
    """

    project: str
    trace_id: str
    name: str
    user: str = ""
    session: str = ""
    environment: str = ""
    tags: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    started_ns: int
    ended_ns: int
    """The latest end of any span."""
    spans: int
    calls: int
    """Billed model calls."""
    errors: int
    """Spans whose status is an error."""
    cost: Decimal | None = None
    """US dollars of all calls whose cost is known; None when it is known of none. See `states` for the rest."""
    states: Mapping[str, int] = field(default_factory=dict)
    """Calls by `CostState` value, and `unbilled` for those that do not count; a state without calls is absent."""
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def duration_ns(self) -> int:
        """From the earliest start to the latest end."""
        return self.ended_ns - self.started_ns

    @property
    def cursor(self) -> str:
        """For `TraceFilter.before`: the page that starts after this trace."""
        return f"{self.started_ns}.{self.trace_id}.{self.project}"


class CostBy(StrEnum):
    """What a cost report is grouped by."""

    DAY = "day"
    """Days in UTC, as `2026-11-22`."""
    HOUR = "hour"
    """Hours in UTC, as `2026-11-22T14:00Z`."""
    PROJECT = "project"
    SERVICE = "service"
    MODEL = "model"
    PROVIDER = "provider"
    USER = "user"
    SESSION = "session"
    ENVIRONMENT = "environment"
    TAG = "tag"
    """A call with two tags is in two groups, so these sums may come to more than the total."""
    KEY_ID = "key_id"
    """The public part of the collector's key that the call came with; a project may have several."""
    STATE = "state"
    TIER = "tier"
    """`batch`, the service tier that was billed, or `standard`."""


class Prices(StrEnum):
    """Which costs of the same calls are meant."""

    RECORDED = "recorded"
    """As they were recorded, which never changes."""
    LATEST = "latest"
    """As they were last repriced, where they were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFilter:
    """Which calls a cost report covers; empty fields do not narrow.

    `since_ns` is included, `until_ns` is not; both speak of the start of the call and hold to the nanosecond.
    """

    project: str = ""
    service: str = ""
    since_ns: int | None = None
    until_ns: int | None = None
    model: str = ""
    provider: str = ""
    user: str = ""
    session: str = ""
    environment: str = ""
    tag: str = ""
    key_id: str = ""
    tier: str = ""
    """As `CostBy.TIER` has it."""
    prices: Prices = Prices.RECORDED


@dataclass(frozen=True, slots=True, kw_only=True)
class CostGroup:
    """The billed calls that share one value of what was grouped by.

    User, session, environment and tags are those on the call's own span.
    """

    value: str
    """Empty when the calls did not say."""
    period: str = ""
    """The hour or day, when the question divided by one."""
    calls: int = 0
    cost: Decimal | None = None
    """US dollars of the calls whose cost is known, exact; None when it is known of none."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    states: Mapping[CostState, int] = field(default_factory=dict)
    """Calls by how far their cost can be trusted; a state without calls is absent."""
    unbilled: int = 0
    """Calls that are kept but do not count, such as a second recording of the same call; not in any sum here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterFilter:
    """Which writers an audit covers; empty fields do not narrow."""

    project: str = ""
    service: str = ""
    writer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Numbers that stand for spans which could not be kept, and why."""

    reason: str
    first: Seq
    last: Seq


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterState:
    """What the store knows of one writer."""

    project: str
    writer: WriterId
    services: tuple[str, ...] = ()
    received: tuple[Range, ...] = ()
    """Numbers that arrived as the begin or the end of a span: ascending, never touching."""
    dropped: tuple[Dropped, ...] = ()
    """As told by the writer, ascending within each reason; may overlap `received` and one another."""
    begun: int = 0
    """Calls whose begin arrived, or that arrived as interrupted."""
    spans: int = 0
    """Spans stored."""
    interrupted: int = 0
    """Those of `spans` whose process died before the call ended."""
    spooled_to: int = 0
    """The highest number the writer is known to have given out; 0 when it never said."""
    closed: bool = False
    seen_ns: int = 0
    """When something last arrived from it; 0 when nothing said."""
    about: str = "{}"
    """Process id, host, library version, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unnumbered:
    """Spans that came without a stamp: nothing can show whether others are missing."""

    project: str
    service: str
    spans: int
    interrupted: int = 0
