"""Is everything here? Answered by writer and number, never with "probably"."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from everyspan.model.ids import Seq
from everyspan.store.ranges import merge, size, subtract
from everyspan.store.reads import Dropped, Range, Unnumbered, WriterFilter, WriterState
from everyspan.store.store import Store
from everyspan.wire.notes import WITHOUT_SPAN

__all__ = ["Audit", "Verdict", "WriterAudit", "WriterFilter", "audit"]


_MOST_HOSTS = 50


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
    without_span: Mapping[str, int] = field(default_factory=dict)
    """Requests to models, by host, that their processes saw leaving and no span tells of."""
    pending: int = 0
    missing: int = 0

    @property
    def sentence(self) -> str:
        """The verdict in words, with its figures."""
        figures = [f"{_counted(self.spans, 'span')} of {_counted(len(self.writers), 'writer')} stored"]
        for count, thing, fate in (
            (self.missing, "number", " missing"),
            (self.dropped, "number", " dropped"),
            (self.pending, "number", " pending"),
            (self.inbox_pending, "request", " in the inbox"),
            (self.open_calls, "call", " without an end"),
            (self.interrupted, "span", " interrupted"),
            (self.unproven, "span", " without a stamp, of which nothing can prove that none is missing"),
        ):
            figures += [_counted(count, thing) + fate] if count else []
        unseen = [
            f"{_counted(count, 'call')} to {host} had no span" for host, count in self.without_span.items()
        ]
        return f"{self.verdict.value}: " + ", ".join(figures + unseen)


def audit(store: Store, wanted: WriterFilter | None = None, *, inbox_pending: int = 0) -> Audit:
    """Account for every number of every writer.

    Raises:
        StoreError: the store cannot be read.
    """
    wanted = wanted or WriterFilter()
    writers = tuple(account(state) for state in store.writers(wanted))
    # Spans without a stamp belong to no writer, so asking for one writer leaves them out.
    unnumbered = () if wanted.writer else tuple(store.unnumbered(wanted))
    return Audit(
        verdict=_overall(writers, inbox_pending),
        writers=writers,
        unnumbered=unnumbered,
        inbox_pending=inbox_pending,
        spans=sum(one.state.spans for one in writers),
        unproven=sum(group.spans for group in unnumbered),
        interrupted=sum(one.state.interrupted for one in writers) + sum(g.interrupted for g in unnumbered),
        open_calls=sum(one.open_calls for one in writers),
        received=sum(size(one.state.received) for one in writers),
        dropped=sum(_dropped_size(one.dropped) for one in writers),
        without_span=_without_span(one.state for one in writers),
        pending=sum(size(one.pending) for one in writers),
        missing=sum(size(one.missing) for one in writers),
    )


def _without_span(states: Iterable[WriterState]) -> dict[str, int]:
    """The sum over processes. A process tells all of its writers, one for each destination, the same."""
    told: dict[tuple[str, ...], dict[str, int]] = {}
    for state in states:
        about = _said(state.about)
        counts = about.get(WITHOUT_SPAN)
        if not isinstance(counts, dict):
            continue
        process = told.setdefault(tuple(str(about.get(name)) for name in ("host", "boot", "pid")), {})
        for host, count in counts.items():
            if isinstance(count, int) and count > 0:
                process[host] = max(count, process.get(host, 0))
    total: Counter[str] = Counter()
    for process in told.values():
        total.update(process)
    return dict(total.most_common(_MOST_HOSTS))


def _said(about: str) -> Mapping[str, object]:
    try:
        said = json.loads(about)
    except ValueError:
        return {}  # another writer's word for itself, which is no JSON
    return said if isinstance(said, dict) else {}


def account(state: WriterState) -> WriterAudit:
    """What one writer's numbers come to."""
    dropped = tuple(_lost(state))
    known = merge([*state.received, *((one.first, one.last) for one in dropped)])
    top = known[-1][1] if known else 0
    missing = tuple(subtract([(1, top)], known)) if top else ()
    pending = ((top + 1, state.spooled_to),) if state.spooled_to > top else ()
    # Every span has one number for its begin and one for its end. A dropped number may have been either, so
    # it is taken to explain one open call: better to name too few of them than to invent one.
    open_calls = max(0, state.begun - state.spans - _dropped_size(dropped))
    return WriterAudit(
        verdict=_verdict(state, dropped=dropped, pending=pending, missing=missing, open_calls=open_calls),
        state=state,
        dropped=dropped,
        pending=pending,
        missing=missing,
        open_calls=open_calls,
    )


def _lost(state: WriterState) -> Iterator[Dropped]:
    """Dropped numbers that did not arrive after all, each under the first reason that names it."""
    named = list(state.received)
    for one in state.dropped:
        there = (one.first, one.last)
        for first, last in subtract([there], named):
            yield Dropped(reason=one.reason, first=Seq(first), last=Seq(last))
        named.append(there)


def _verdict(
    state: WriterState,
    *,
    dropped: tuple[Dropped, ...],
    pending: tuple[Range, ...],
    missing: tuple[Range, ...],
    open_calls: int,
) -> Verdict:
    if missing:
        return Verdict.MISSING
    if dropped:
        return Verdict.DROPPED
    if pending:
        return Verdict.PENDING
    if open_calls or not state.closed:
        return Verdict.OPEN
    return Verdict.COMPLETE


def _overall(writers: Sequence[WriterAudit], inbox_pending: int) -> Verdict:
    verdicts = {one.verdict for one in writers}
    if inbox_pending:
        verdicts.add(Verdict.PENDING)
    return max(verdicts, key=list(Verdict).index, default=Verdict.UNPROVEN)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _dropped_size(dropped: Sequence[Dropped]) -> int:
    return size((one.first, one.last) for one in dropped)
