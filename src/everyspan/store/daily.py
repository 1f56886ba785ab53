"""What each day brought: traces, observations, and the usage and cost of each model. A part of `Store`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

from everyspan.store.limits import LATEST_NS
from everyspan.store.periods import DAY_NS
from everyspan.store.reads import TraceFilter

UNSAID = "default"
"""What an environment that nobody said is asked for as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyFilter:
    """Which traces to report on, with all their observations; empty fields do not narrow."""

    project: str
    name: str = ""
    user: str = ""
    tags: tuple[str, ...] = ()
    """All of them."""
    environments: tuple[str, ...] = ()
    """Any of them; `UNSAID` stands for none as well."""
    since_ns: int | None = None
    """Traces that started then or later, and before `until_ns`."""
    until_ns: int | None = None
    limit: int = 50
    """Days on one page."""
    skip: int = 0

    @property
    def of_the_list(self) -> TraceFilter:
        """The part of it that lists of traces know as well."""
        one = self.environments[0] if len(self.environments) == 1 else ""
        return TraceFilter(
            project=self.project,
            name=self.name,
            user=self.user,
            tag=self.tags[0] if self.tags else "",
            environment="" if one == UNSAID else one,
            since_ns=self.since_ns,
            until_ns=self.until_ns,
        )

    @property
    def other_tags(self) -> tuple[str, ...]:
        """The tags that lists of traces do not look for."""
        return self.tags[1:]

    @property
    def other_environments(self) -> tuple[str, ...]:
        """The same of environments, with an empty one for those that nobody said."""
        if len(self.environments) < 2 and UNSAID not in self.environments:
            return ()
        return (*self.environments, "") if UNSAID in self.environments else self.environments

    @property
    def narrows(self) -> bool:
        """Whether it leaves out anything of its project."""
        return self.of_the_list != TraceFilter(project=self.project) or bool(self.other_environments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOfDay:
    """The observations of a day that share a model; tokens and cost are those that count towards the bill."""

    model: str
    """Empty for those without a model."""
    traces: int
    """Traces to which they belong."""
    observations: int
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    """US dollars, exact; None when it is known of none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day in UTC."""

    at: date
    traces: int
    """Those that started on it."""
    models: tuple[ModelOfDay, ...]
    """Of the observations that started on it, whatever day their trace did; sorted by model."""


class DailyPage(NamedTuple):
    """Some of the days on which there is anything, the latest first, and how many there are of them in all."""

    days: list[Day]
    total: int


Models = Callable[[int, int], Iterable[tuple[int, ModelOfDay]]]
"""The models of each day of a stretch of days, from the first to before the last."""

EVER = (0, LATEST_NS // DAY_NS)
"""All days that a store can hold but the last, which is not a whole one."""


def page_of(
    wanted: DailyFilter, started: Mapping[int, int], active: Callable[[], Iterable[int]], models: Models
) -> DailyPage:
    """The page that is asked for.

    Args:
        started: how many traces started, by day since 1970.
        active: finds the days on which observations started; asked only where a page is not all there is.
    """
    found: dict[int, list[ModelOfDay]] = defaultdict(list)
    whole = not wanted.skip and len(started) <= wanted.limit
    if whole:
        for day, model in models(*EVER):
            found[day].append(model)
    days = sorted({*started, *(found if whole else active())}, reverse=True)
    shown = days[wanted.skip : wanted.skip + wanted.limit]
    if shown and not whole:
        for day, model in models(shown[-1], shown[0] + 1):
            found[day].append(model)
    return DailyPage([_day(each, started.get(each, 0), found[each]) for each in shown], len(days))


def _day(number: int, traces: int, models: list[ModelOfDay]) -> Day:
    at = datetime.fromtimestamp(number * DAY_NS // 10**9, UTC).date()
    return Day(at=at, traces=traces, models=tuple(sorted(models, key=lambda each: each.model)))
