"""What a trace is called and what it sums up to, put together from spans in whatever order they arrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from everyspan.store import exact
from everyspan.store.reads import UNBILLED, TraceSummary
from everyspan.store.rows import SpanRow

Mark = tuple[int, str, str]
"""Start and key of the span that a value came from, and the value: marks compare in the order of contribution."""

LATER_WINS = ("name", "user", "session")
"""Of these the mark with the later start counts; of all others the earlier one."""


def call_state(row: SpanRow) -> str | None:
    """Under which state roll-ups count this span: a cost state, `unbilled`, or None when it is no model call."""
    if row.unbilled:
        return UNBILLED
    # A StrEnum is text already; its `value` is looked up in Python, and every span is asked several times.
    return str.__str__(row.cost_state) if row.cost_state else None


@dataclass(slots=True, kw_only=True)
class Draft:
    """A trace summary in the making. Adding the same spans in any order gives the same summary.

    Children end, and so arrive, before their parents: the order that counts is that of the starts, to the
    nanosecond, and each value remembers the span it came from.
    """

    project: str
    trace_id: str
    started_ns: int = 0
    ended_ns: int = 0
    spans: int = 0
    errors: int = 0
    states: dict[str, int] = field(default_factory=dict)
    cost: Decimal | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    tags: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    models: set[str] = field(default_factory=set)
    providers: set[str] = field(default_factory=set)
    marks: dict[str, Mark] = field(default_factory=dict)

    def add(self, row: SpanRow) -> None:
        """Take in a span that was not taken in before."""
        self.started_ns = min(self.started_ns, row.start_ns) if self.spans else row.start_ns
        self.ended_ns = max(self.ended_ns, row.end_ns)
        self.spans += 1
        self.errors += row.status == "error"
        self.tags.update(row.tags)
        if row.service:
            self.services.add(row.service)
        if row.model:
            self.models.add(row.model)
        if row.provider:
            self.providers.add(row.provider)
        self._add_call(row)
        self._mark("name", row, row.trace_name or (row.name if row.parent_id is None else ""))
        self._mark("user", row, row.user)
        self._mark("session", row, row.session)
        self._mark("earliest_name", row, row.name)
        self._mark("environment", row, row.environment)

    def _add_call(self, row: SpanRow) -> None:
        state = call_state(row)
        if state is None:
            return
        self.states[state] = self.states.get(state, 0) + 1
        if state != UNBILLED:
            self.cost = exact.add(self.cost, row.cost)
            self.input_tokens += row.usage.input_tokens or 0
            self.output_tokens += row.usage.output_tokens or 0

    def _mark(self, what: str, row: SpanRow, value: str) -> None:
        if not value:
            return
        mark, there = (row.start_ns, row.key, value), self.marks.get(what)
        if there is None or (mark > there if what in LATER_WINS else mark < there):
            self.marks[what] = mark

    def value(self, what: str) -> str:
        """The value that won so far, or an empty text."""
        return self.marks[what][2] if what in self.marks else ""

    def summary(self) -> TraceSummary:
        """What the spans added so far come to."""
        return TraceSummary(
            project=self.project,
            trace_id=self.trace_id,
            name=self.value("name") or self.value("earliest_name"),
            user=self.value("user"),
            session=self.value("session"),
            environment=self.value("environment"),
            tags=_in_order(self.tags),
            services=_in_order(self.services),
            models=_in_order(self.models),
            providers=_in_order(self.providers),
            started_ns=self.started_ns,
            ended_ns=self.ended_ns,
            spans=self.spans,
            calls=sum(count for state, count in self.states.items() if state != UNBILLED),
            errors=self.errors,
            cost=self.cost,
            states=dict(sorted(self.states.items())),
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )


def _in_order(values: set[str]) -> tuple[str, ...]:
    # Most traces have one of each or none.
    return tuple(sorted(values)) if len(values) > 1 else tuple(values)
