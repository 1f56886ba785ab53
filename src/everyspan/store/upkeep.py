"""What is asked of a store beside questions: to forget, and to hand over everything it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from everyspan.errors import SettingsError
from everyspan.store.rows import SpanRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Whole traces of one project to delete: exactly one of the four ways to say which.

    A trace goes with all of its spans, also those that name another user.
    """

    project: str
    trace_id: str = ""
    user: str = ""
    """Traces in which at least one span names this user."""
    before_ns: int | None = None
    """Traces whose last span ended before this."""
    all_of_it: bool = False
    """Every trace, and what is known of the project's writers."""

    def __post_init__(self) -> None:
        ways = (bool(self.trace_id), bool(self.user), self.before_ns is not None, self.all_of_it)
        if sum(ways) != 1 or not self.project:
            raise SettingsError("a deletion names a project and one of: a trace, a user, a time, all of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """What is gone."""

    traces: int = 0
    spans: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanPage:
    """Some of all spans, in an order of the store's own."""

    rows: Sequence[SpanRow]
    """With their bodies."""
    next: str = ""
    """What to ask for the page after this one; empty when this was the last."""
