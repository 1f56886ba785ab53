"""Is everything here? Answered by writer and number, never with "probably"."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from everyspan.store.reads import Dropped, Range, Unnumbered, WriterFilter, WriterState
from everyspan.store.store import Store

__all__ = ["Audit", "Verdict", "WriterAudit", "WriterFilter", "audit"]


class Verdict(StrEnum):
    """From the best to the worst; the verdict of several writers is the worst of theirs."""

    COMPLETE = "complete"
    """The writer is finished and every number it gave out is here."""
    OPEN = "open"
    """Everything given out so far is here, but the writer lives, or a begun call has no span yet."""
    PENDING = "pending"
    """Numbers were given out that have not arrived: in the writer's spool, on the way, or in the inbox."""
    DROPPED = "dropped"
    """Spans could not be kept; the writer said which and why. Nothing is unexplained."""
    MISSING = "missing"
    """Numbers below the last one that arrived are neither here nor explained."""
    UNPROVEN = "unproven"
    """Nothing numbered has arrived: there is nothing to check against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterAudit:
    """One writer's account."""

    verdict: Verdict
    state: WriterState
    dropped: tuple[Dropped, ...] = ()
    """Dropped numbers that did not arrive after all, each once."""
    pending: tuple[Range, ...] = ()
    """Given out, above the last one that arrived or was explained."""
    missing: tuple[Range, ...] = ()
    """The gaps: the exact numbers."""
    open_calls: int = 0
    """Calls that began and have no span; at least, when something was dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The account of all writers that were asked about."""

    verdict: Verdict
    writers: tuple[WriterAudit, ...]
    unnumbered: tuple[Unnumbered, ...] = ()
    """Spans without a stamp: stored, but nothing can prove that none is missing."""
    inbox_pending: int = 0
    """Requests acknowledged and not yet in the store."""
    spans: int = 0
    """Numbered spans stored."""
    unproven: int = 0
    """Spans without a stamp."""
    interrupted: int = 0
    open_calls: int = 0
    received: int = 0
    """Numbers that arrived."""
    dropped: int = 0
    """Numbers dropped, by the writers' own account."""
    pending: int = 0
    missing: int = 0

    @property
    def sentence(self) -> str:
        """The verdict in words, with its figures."""
        raise NotImplementedError


def audit(store: Store, wanted: WriterFilter | None = None, *, inbox_pending: int = 0) -> Audit:
    """Account for every number of every writer.

    Raises:
        StoreError: the store cannot be read.
    """
    raise NotImplementedError
