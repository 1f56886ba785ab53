"""The rows that the collector makes and every store keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from everyspan.model.ids import Seq, WriterId
from everyspan.model.money import CostState
from everyspan.model.usage import Usage

INTERRUPTED = "interrupted"
"""The `end` of a span whose process died before the call ended."""

REVISED = "l:"
"""How the key of a row begins that a later one with the same key replaces, instead of being a repetition of it."""

WHOLE_TRACE = f"{REVISED}trace:"
"""How the key of a row begins that stands for a trace beside its observations, as Langfuse 2 sends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanRow:
    """One span as it is stored. `key` is its identity: inserting a row whose (project, key) is known changes nothing.

    `key` is `w:<writer>:<seq>` for a span that carries our stamp, else `h:<trace id>:<span id>:<content hash>`: ids
    alone collide, because `random.seed()` makes the OpenTelemetry SDK repeat them. `l:…` is what Langfuse 2 sends,
    see `REVISED`.
    """

    project: str
    key: str
    key_id: str = ""
    """The public part of the collector's key that it came with; empty without keys."""
    trace_id: str
    """32 lower-case hex digits."""
    span_id: str
    """16 lower-case hex digits."""
    parent_id: str | None
    writer: WriterId | None = None
    seq: Seq | None = None
    name: str
    kind: str
    """`generation`, `embedding`, `span`, `agent`, `tool`, `chain`, `retriever`, `event`, ..."""
    service: str = ""
    scope: str = ""
    start_ns: int
    end_ns: int
    status: str = "unset"
    """`ok`, `error` or `unset`: OpenTelemetry's status."""
    status_message: str = ""
    end: str = ""
    """How the call ended: `complete`, `closed`, `abandoned`, `cancelled`, `error`, `timeout`, `exit`, `interrupted`."""
    provider: str = ""
    model: str = ""
    """The model that answered, else the one that was asked."""
    response_id: str = ""
    user: str = ""
    session: str = ""
    environment: str = ""
    tags: tuple[str, ...] = ()
    trace_name: str = ""
    """The name this span gives to its whole trace (`langfuse.trace.name`); empty when it gives none."""
    first_token_ns: int | None = None
    """Nanoseconds from the start of the span to the first token."""
    usage: Usage = field(default_factory=Usage)
    cost_state: CostState | None = None
    """None for spans that are no model call."""
    cost: Decimal | None = None
    """US dollars; None when unpriced. Never a float."""
    cost_note: str = ""
    """Table, matched model and what was unpriced, as JSON."""
    unbilled: str = ""
    """Why this span does not count towards the bill; empty when it does."""
    attributes: str = "{}"
    """Every attribute that has no column, resource attributes included, as JSON."""
    input: str = ""
    output: str = ""
    trace_input: str = ""
    """What this span gives its whole trace as input (`langfuse.trace.input`); empty when it gives none."""
    trace_output: str = ""
    received_ns: int
    words: str | None = field(default=None, compare=False, repr=False)
    """What `words.searchable` finds in input and output, where somebody has asked already; never read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Sequence numbers of one writer that arrived without being a span: `first` to `last`, both included.

    reason: `start` (a call began), `close` (the writer ended in order), `header`, or why spans were dropped.
    """

    project: str
    writer: WriterId
    first: Seq
    last: Seq
    reason: str
    dropped: bool = False
    """True when these numbers stand for spans that could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What a request told us about its writer."""

    project: str
    writer: WriterId
    spooled_to: Seq
    """The highest number the writer had given out when it sent the request."""
    closed: bool
    """The writer is finished: it said so, or a successor adopted its spool."""
    seen_ns: int
    about: str = "{}"
    """Process id, host, library version, as JSON; `{}` when this request did not say."""
