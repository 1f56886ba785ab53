"""Judgements about traces, spans and sessions, and single spans by their fields: a part of `Store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from everyspan.store.conditions import Condition, Period, SpanField, SpanGroup
from everyspan.store.daily import DailyFilter, DailyPage
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import SpanRow

Position = tuple[int, str]
"""A time and an id: where a page ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One judgement. (project, id) is its identity: the later one replaces the earlier."""

    project: str
    id: str
    name: str
    data_type: str
    """`NUMERIC`, `BOOLEAN`, `CATEGORICAL`, `TEXT` or `CORRECTION`."""
    value: float | None
    """The number; for `BOOLEAN` 0 or 1. A judgement and not money, so a float is right."""
    text: str = ""
    """The words, where the type has words."""
    trace_id: str = ""
    span_id: str = ""
    session: str = ""
    """What is judged: a trace, a span of it, or a session."""
    source: str = "API"
    comment: str = ""
    metadata: str = "{}"
    """JSON object."""
    environment: str = "default"
    config_id: str = ""
    author: str = ""
    queue_id: str = ""
    at_ns: int
    """When it was given."""
    created_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFilter:
    """Which scores to list, latest first. Empty fields do not narrow; of several values one has to fit."""

    project: str
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    trace_ids: tuple[str, ...] = ()
    span_ids: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    data_types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int = 50
    skip: int = 0
    before: Position | None = None

    @property
    def one_of(self) -> dict[str, tuple[str, ...]]:
        """By column, the values of which one has to fit."""
        return {
            "id": self.ids,
            "name": self.names,
            "trace_id": self.trace_ids,
            "span_id": self.span_ids,
            "session": self.sessions,
            "data_type": self.data_types,
            "source": self.sources,
            "environment": self.environments,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanFilter:
    """Which spans to list, latest start first. Empty fields do not narrow; of several values one has to fit."""

    project: str
    keys: tuple[str, ...] = ()
    trace_ids: tuple[str, ...] = ()
    span_ids: tuple[str, ...] = ()
    parent_id: str | None = None
    """Empty: spans without a parent. None: whatever parent."""
    names: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    only_observations: bool = False
    """Without the rows that stand for a whole trace, see `rows.WHOLE_TRACE`."""
    conditions: tuple[Condition, ...] = ()
    """All of which have to hold, beside the fields above."""
    limit: int = 50
    skip: int = 0
    before: Position | None = None

    @property
    def one_of(self) -> dict[str, tuple[str, ...]]:
        """By column, the values of which one has to fit."""
        return {
            "key": self.keys,
            "trace_id": self.trace_ids,
            "span_id": self.span_ids,
            "name": self.names,
            "kind": self.kinds,
            "user": self.users,
            "session": self.sessions,
            "environment": self.environments,
            "status": self.statuses,
        }


class SingleStore(Protocol):
    """The side of a store that keeps scores and lists single spans. Raises only StoreError; any thread may call it."""

    def put_scores(self, scores: Sequence[Score]) -> None:
        """Keep them; when it returns they survive the death of process and machine."""

    def list_scores(self, wanted: ScoreFilter) -> list[Score]:
        """Scores by time, latest first."""

    def count_scores(self, wanted: ScoreFilter) -> int:
        """How many there are, whatever page is asked for."""

    def delete_score(self, project: str, score_id: str) -> bool:
        """Remove one; False when it is not there."""

    def list_spans(self, wanted: SpanFilter) -> list[SpanRow]:
        """Spans by start and key, latest first, with their bodies."""

    def count_spans(self, wanted: SpanFilter) -> int:
        """How many there are, whatever page is asked for."""

    def span_groups(
        self,
        by: Sequence[SpanField],
        wanted: SpanFilter,
        *,
        measures: Sequence[SpanField] = (),
        each: Period | None = None,
        distinct: Sequence[SpanField] = (),
    ) -> list[SpanGroup]:
        """Spans by what they share, and what these measures of them come to; sorted by values and period.

        Args:
            by: texts or tags; none for a group of all.
            measures: numbers. Tokens and cost are those of spans that count towards the bill.
            distinct: texts whose different values are counted.
        """

    def trace_sums(
        self,
        by: Sequence[SpanField],
        wanted: TraceFilter,
        *,
        measures: Sequence[SpanField] = (),
        each: Period | None = None,
        distinct: Sequence[SpanField] = (),
    ) -> list[SpanGroup]:
        """As `span_groups`, of whole traces by their start; `limit` and `before` do not apply.

        Args:
            by: `TRACE_ID`, `TRACE_NAME`, `USER`, `SESSION`, `ENVIRONMENT` or `TAGS`, as `distinct`.
            measures: `DURATION`, from the first start to the last end; `COST` and tokens.
        """

    def daily(self, wanted: DailyFilter) -> DailyPage:
        """What each day brought, the latest first: added up from all spans of the traces that fit."""
