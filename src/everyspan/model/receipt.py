"""What became of the spans: the answer of `flush()`, `drain` and the collector."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Counts of spans, true to the last number at the moment it was made.

    recorded = delivered + pending + set_aside + dropped.
    """

    recorded: int = 0
    """Spans that ended and were handed to the spool."""
    delivered: int = 0
    """Spans that the destination acknowledged."""
    pending: int = 0
    """Spans on disk (or in memory, when the disk refuses) that wait for the destination."""
    set_aside: int = 0
    """Spans that the destination refused as malformed; kept in quarantine with its words."""
    dropped: int = 0
    """Spans that could not be kept; each has a sequence number and a reason that travel to the destination."""
    destination: str = ""
    """Where they go: a URL, or empty for the sum over all destinations."""
    problem: str = ""
    """The last thing that went wrong with this destination, in words; empty when nothing did."""
    parts: tuple[Receipt, ...] = ()
    """One receipt for each destination, when this is the sum."""

    @property
    def complete(self) -> bool:
        """True when every recorded span was delivered."""
        return self.delivered == self.recorded

    @property
    def counts(self) -> str:
        """The numbers in words: `2 of 3 spans delivered, 1 pending, 0 set aside, 0 dropped`."""
        return (
            f"{self.delivered:,} of {self.recorded:,} spans delivered, "
            f"{self.pending:,} pending, {self.set_aside:,} set aside, {self.dropped:,} dropped"
        )

    def __str__(self) -> str:
        """The counts for each destination, a line each, with what went wrong there last."""
        if self.parts:
            return "\n".join(map(str, self.parts))
        where = f"{self.destination}: " if self.destination else ""
        why = f" ({self.problem})" if self.problem else ""
        return f"{where}{self.counts}{why}"

    @classmethod
    def sum(cls, parts: Iterable[Receipt]) -> Receipt:
        """The sum over destinations."""
        each = tuple(parts)
        return cls(
            recorded=sum(part.recorded for part in each),
            delivered=sum(part.delivered for part in each),
            pending=sum(part.pending for part in each),
            set_aside=sum(part.set_aside for part in each),
            dropped=sum(part.dropped for part in each),
            problem="; ".join(part.problem for part in each if part.problem),
            parts=each,
        )
