"""What a destination is owed: the living log, what the dead left, and the batch that is being offered."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from everyspan.errors import EveryspanError
from everyspan.model.ids import Seq, WriterId
from everyspan.spool import Aside, Backlog, Batch, Log, Position, adopt
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind, walk

BATCH_BYTES = 1 << 20
"""Most bytes of frames in one POST: proxies and Langfuse take 4 MB, and a batch in memory is a copy."""

_ADOPTED_AT_ONCE = 16


@dataclass(slots=True)
class Tally:
    """Spans of adopted writers, counted while they are shipped."""

    recorded: int = 0
    delivered: int = 0
    set_aside: int = 0
    dropped: int = 0
    interrupted: int = 0
    """Of `recorded`, spans that never ended; the log of their process does not count them."""

    @property
    def pending(self) -> int:
        """What was found and has no end yet."""
        return self.recorded - self.delivered - self.set_aside - self.dropped


class Owed:
    """The batches for one destination, in order, each offered until it is settled. Used by one thread.

    A batch is settled by `stored` or `refused`. Between `next` and that, a crash at any line offers it again.

    Args:
        log: the living log, None when only the dead are served.
        roots: directories of writers' directories to adopt from.
    """

    def __init__(self, log: Log | None, *, roots: Iterable[Path]) -> None:
        self.inherited = Tally()
        """Of other, dead writers."""
        self.late = Tally()
        """Of this process's own log, shipped after it was closed."""
        self._log = log
        self._roots = tuple(roots)
        self._adopted: deque[Backlog] = deque()
        self._left_behind: set[WriterId] = set()
        self._told: dict[WriterId, str] = {}  # what was set aside, as a request that got through told it
        self._source: Backlog | None = None
        # Parts of one batch of `_source`, the first one last; more than one while it is being bisected.
        self._parts: list[Batch] = []
        self._bisecting = False
        self._own_first = True
        self._closed = False
        self._own_writer: WriterId | None = None  # the closed log's

    def next(self, *, spans_only: bool, own_first: bool, tell: bool = False) -> Batch | None:
        """The batch to offer now, or None when nothing waits.

        Args:
            spans_only: pass over frames that are not spans, because the destination has no use for them.
            own_first: somebody waits for the living log; otherwise it takes turns with the dead.
            tell: the destination wants to know what was set aside: when nothing else is left of a writer that
                would carry the news, a batch without frames does.
        """
        while self._parts or self._peek(own_first=own_first, tell=tell):
            batch = self._parts[-1]
            if batch.spans or not spans_only:
                return batch
            self._pass()
        return None

    @property
    def bisecting(self) -> bool:
        """Whether halves of a refused batch are still to be offered."""
        return self._bisecting and bool(self._parts)

    @property
    def writer(self) -> WriterId:
        """Whose frames the batch holds that `next` returned."""
        assert self._source is not None
        return self._source.writer

    @property
    def aside(self) -> Aside:
        """The numbers of the same writer that are set aside."""
        return self._offering().aside

    def stored(self) -> None:
        """The destination has the batch, and was told with it what is set aside."""
        self._note_told()
        self._pass()

    def _pass(self) -> None:
        batch, source = self._parts[-1], self._offering()
        if not batch.frames:
            self._parts.pop()
            return
        source.ack(batch)
        self._parts.pop()
        tally = self._tally(source)
        if tally is not None:
            tally.delivered += batch.spans
            dropped = _dropped(batch)
            tally.recorded += dropped
            tally.dropped += dropped

    def refused(self, *, reason: str, all_spans: bool) -> int:
        """The destination will not take the batch as it is; returns the spans that were set aside.

        A batch of several frames is halved, and each half is offered by itself, until the malformed frame is
        alone: its neighbours must not suffer for it.

        Args:
            all_spans: the destination said that it refused every span in it, so there is nothing to search for.
        """
        batch = self._parts[-1]
        if not batch.frames:  # whoever refuses the mere news is not told again
            self._note_told()
            self._pass()
            return 0
        if batch.frames > 1:
            self._parts[-1:] = reversed(batch.split())
            self._bisecting = True
            if not all_spans:
                return 0
            return self._set_aside_all(batch.frames, reason)
        source = self._offering()
        source.set_aside(batch, reason=reason)
        self._parts.pop()
        tally = self._tally(source)
        if tally is not None:
            tally.set_aside += batch.spans
        return batch.spans

    def try_later(self) -> None:
        """The batch stays as it is; by then there may be more to put into it."""
        if not self._bisecting:
            self._parts.clear()

    def adopt(self, *, own: bool = False) -> int:
        """Lock and take over dead writers' directories; returns how many.

        Args:
            own: the living log has been closed: it is one of them from now on, and the only one to take over.
        """
        writer = self._log.counts().writer if self._log is not None else None
        if own and not self._closed:
            self._closed, self._own_writer = True, writer
        living = None if self._closed else writer
        durable = self._log is None or self._log.durable
        before = len(self._adopted)
        for root in self._roots:
            for backlog in adopt(root, living=living, durable=durable):
                if backlog.writer in self._left_behind or (own and backlog.writer != writer):
                    continue
                self._adopted.append(backlog)
                tally = self._tally(backlog)
                if tally is not None:
                    tally.recorded += backlog.pending()
                    tally.interrupted += backlog.interrupted()
                if len(self._adopted) >= _ADOPTED_AT_ONCE:
                    return len(self._adopted) - before
        return len(self._adopted) - before

    def release(self) -> None:
        """Let go of everything; unsettled frames stay in the spool, and others may adopt them."""
        self._parts.clear()
        self._source = None
        self._adopted.clear()

    def _offering(self) -> Backlog:
        assert self._source is not None
        return self._source

    def _peek(self, *, own_first: bool, tell: bool) -> bool:
        own = self._log.backlog() if self._log is not None and not self._closed else None
        sources = [own] if own is not None else []
        if own_first or self._own_first:
            sources += self._adopted
        else:
            sources = [*self._adopted, *sources]
        self._own_first = not self._own_first
        for source in sources:
            try:
                batch = source.peek(limit_bytes=BATCH_BYTES)
            except (OSError, EveryspanError):
                if source is not own:  # one unreadable directory must not stand before the others for ever
                    self._adopted.remove(source)
                    self._left_behind.add(source.writer)
                raise
            if batch is None and tell:
                batch = self._news_of(source, closed=source is not own)
            if batch is not None:
                self._source, self._parts, self._bisecting = source, [batch], False
                return True
            if source is not own:
                self._part_from(source)
        return False

    def _news_of(self, source: Backlog, *, closed: bool) -> Batch | None:
        """A batch without frames, when a request has yet to tell what `source` set aside last."""
        aside, nowhere = source.aside, Position(0, 0)
        if aside.text == self._told.get(source.writer, ""):
            return None
        return Batch(
            body=b"",
            frames=0,
            spans=0,
            spooled_to=Seq(aside.highest),
            closed=closed,
            first=nowhere,
            last=nowhere,
        )

    def _note_told(self) -> None:
        source = self._offering()
        if source.aside.text:
            self._told[source.writer] = source.aside.text

    def _part_from(self, backlog: Backlog) -> None:
        self._adopted.remove(backlog)
        if not backlog.finish():
            # What was set aside stays there for the user to look at; do not adopt it again at every look.
            self._left_behind.add(backlog.writer)

    def _set_aside_all(self, frames: int, reason: str) -> int:
        spans = 0
        while frames:
            batch = self._parts[-1]
            if batch.frames > 1:
                self._parts[-1:] = reversed(batch.split())
                continue
            frames -= 1
            if batch.spans:
                spans += self.refused(reason=reason, all_spans=False)
            else:
                self._pass()
        return spans

    def _tally(self, source: Backlog) -> Tally | None:
        """Where `source` is counted; None for the living log, which counts for itself."""
        if source not in self._adopted:
            return None
        return self.late if source.writer == self._own_writer else self.inherited


def _dropped(batch: Batch) -> int:
    """Spans that the writer told us it could not keep."""
    if batch.spans == batch.frames:
        return 0
    return sum(
        int(json.loads(unwrap(batch.body[frame.payload]))["spans"])
        for frame in walk(batch.body)
        if frame.kind == Kind.DROP
    )
