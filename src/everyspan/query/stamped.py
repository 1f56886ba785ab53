"""Is everything at a backend that is not ours? Answered by the stamps that it kept on the spans, and by nothing else.

A writer numbers what it writes: the begin of each call and its span, which therefore are two numbers. Begins are not
sent to others. So where a writer's highest number there is twice the count of its spans, each number up to it is a
span that is there or its begin: nothing is missing. Where it is higher, calls are still open, or were dropped or lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from everyspan.model.ids import WriterId
from everyspan.wire.stamp import Stamp

__all__ = ["ForeignAudit", "WriterStamps", "audit_stamps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterStamps:
    """One writer, as far as its stamps tell."""

    writer: WriterId
    spans: int
    """Different numbers among its spans."""
    copies: int
    """Spans beyond that: the backend keeps the same span twice."""
    highest: int
    """The highest number on a span; nothing is known of what came after it."""

    @property
    def unaccounted(self) -> int:
        """Numbers up to the highest one that are neither a span nor the begin of one that is there."""
        return max(0, self.highest - 2 * self.spans)

    @property
    def absent(self) -> tuple[int, int]:
        """At least and at most so many calls that began before the last number have no span there."""
        return -(-self.unaccounted // 2), self.unaccounted

    @property
    def complete(self) -> bool:
        """Every call that began up to the highest number has its span there, once."""
        return self.highest == 2 * self.spans and not self.copies


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAudit:
    """What the stamps of a whole project tell."""

    writers: tuple[WriterStamps, ...]
    unstamped: int
    """Spans without a stamp: somebody else sent them, and nothing can be said of them."""

    @property
    def verdict(self) -> str:
        """`complete`, `incomplete`, `doubled`, or `unproven` when there is no stamp at all."""
        if not self.writers:
            return "unproven"
        if any(each.unaccounted or each.highest < 2 * each.spans for each in self.writers):
            return "incomplete"
        return "complete" if all(each.complete for each in self.writers) else "doubled"


def audit_stamps(stamps: Iterable[Stamp | None]) -> ForeignAudit:
    """The account of spans by their stamps; None stands for a span without one."""
    numbers: dict[WriterId, Counter[int]] = {}
    unstamped = 0
    for stamp in stamps:
        if stamp is None:
            unstamped += 1
        else:
            numbers.setdefault(stamp.writer, Counter())[stamp.seq] += 1
    writers = (
        WriterStamps(writer=writer, spans=len(seen), copies=seen.total() - len(seen), highest=max(seen))
        for writer, seen in sorted(numbers.items())
    )
    return ForeignAudit(writers=tuple(writers), unstamped=unstamped)
