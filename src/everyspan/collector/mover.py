"""From the inbox into the store: one thread, each body exactly once in effect."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from everyspan.clock import monotonic_s
from everyspan.collector.attempts import Attempts
from everyspan.collector.decoder import Decoder, read_all
from everyspan.collector.inbox import Inbox
from everyspan.collector.limits import Limits
from everyspan.collector.reader import Read, warm_up
from everyspan.errors import StoreError
from everyspan.spool.backlog import Backlog, Batch
from everyspan.store.store import Store
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind, walk

_LOGGER = logging.getLogger(__name__)
_BATCH_BYTES = 16 << 20
_FIRST_CHUNK_BYTES, _CHUNK_BYTES = 512 << 10, 4 << 20
"""Of a batch so much is stored in one transaction, while the next is being read. The first one is small, because
nothing can be stored before it is read, and each is half as much again as the one before, which is stored in the time
that takes to read: the more spans share a transaction, the fewer times a page of an index is written."""
_MUCH_BYTES = 1 << 20
"""Batches of this size are worth a second process."""
_DECODER_IDLE_S = 30.0
_TIDY_EVERY_S = 5.0
"""What was moved leaves the inbox's files as often as this, when nothing waits: each time costs a new file."""
_SMALL_BYTES = 256 << 10
_GATHER_S = 0.02
_MOST_STARTS = 3
"""Attempts to start the other process that fail before it is given up."""
_DECODER_START_S = 10.0
_PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 10.0


@dataclass(slots=True)
class Moved:
    """What the mover did since the server started."""

    bodies: int = 0
    """Taken out of the inbox, those set aside included."""
    new: int = 0
    """Rows that were not there before."""
    known: int = 0
    """Rows that were: a retry, a second sender, or a crash between storing and acknowledging."""
    refused: int = 0
    """Rows that no store can hold."""
    unreadable: int = 0
    """Control frames that say nothing we understand."""
    set_aside: int = 0
    """Bodies that failed again and again and are in quarantine."""
    failures: int = 0
    """Attempts that failed, whoever was to blame."""
    problem: str = ""
    """Why the last attempt failed; empty since one succeeded."""


class Mover:
    """Moves what the inbox holds, oldest first, and acknowledges it after the store has it.

    Dying between the two moves the body again, which changes nothing: the store knows its rows. A body that cannot
    be moved, or kills the process, again and again is set aside with the reason, and the ones behind it go on: see
    `attempts`.
    """

    def __init__(
        self,
        inbox: Inbox,
        store: Store,
        attempts: Attempts,
        limits: Limits,
        *,
        decoder: Decoder | None = None,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._attempts = attempts
        self._limits = limits
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pause_s = 0.0
        self._untidy = False
        self._tidy_at_s = 0.0
        self.moved = Moved()
        self._decoder = decoder or Decoder(limits)
        self._starts_left = _MOST_STARTS if _PROCESSORS > 1 else 0
        self._warm = False
        self._asked_s = 0.0
        """When the process was first asked for that reads a suspect, 0 when it is not needed."""
        self._thread = threading.Thread(target=self._run, name="everyspan-mover", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new; may be called from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Return when the batch at hand is done; the rest stays in the inbox for the next start."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    @property
    def pending(self) -> int:
        """Bodies that are acknowledged and neither in the store nor set aside."""
        return self._inbox.pending

    @property
    def quarantined(self) -> int:
        """Bodies that are set aside, those of earlier runs included."""
        return self._inbox.refused_before + self.moved.set_aside

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            if not self._guarded_round():
                self._rest()
        self._decoder.close()
        self._tidy_at_s = 0.0
        self._tidy()

    def _rest(self) -> None:
        """Wait for work, or until something else is due."""
        if self._pause_s:
            self._wake.wait(self._pause_s)
        elif self._asked_s:
            self._wake.wait(_GATHER_S)
        elif self._untidy:
            self._wake.wait(max(0.0, self._tidy_at_s - monotonic_s()))
        elif not self._wake.wait(_DECODER_IDLE_S if self._decoder.pid else None):
            self._decoder.close()

    def _guarded_round(self) -> bool:
        """One batch of the first backlog that has one; False when none has, or it is better to wait."""
        try:
            if any(self._move_one_batch(backlog) for backlog in self._inbox.backlogs()):
                return True
            if not self._inbox.pending:
                self._attempts.nothing_left()
                self._asked_s = 0.0
            self._tidy()
        except Exception as failure:  # noqa: BLE001 - the guard of this thread: nothing may end it
            self._note(failure)
            self._pause_s = min(max(2 * self._pause_s, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
        return False

    def _tidy(self) -> None:
        """Have the inbox delete what was moved, when it is time."""
        if self._untidy and monotonic_s() >= self._tidy_at_s:
            self._untidy = not self._inbox.let_go()
            self._tidy_at_s = monotonic_s() + _TIDY_EVERY_S

    def _move_one_batch(self, backlog: Backlog) -> bool:
        batch = backlog.peek(limit_bytes=1 if self._attempts.careful else _BATCH_BYTES)
        if batch is None:
            self._inbox.drained(backlog)
            return False
        if self._attempts.guilty(backlog.writer, batch):
            self._set_aside(backlog, batch)
            return True
        if batch.spans and self._attempts.suspect(backlog.writer, batch) and self._waits_for_reader():
            return self._put_off(backlog, batch)
        if not self._warm:
            # Before the first attempt is noted: a server that somebody kills at its start has no body in hand yet.
            warm_up(self._limits)
            self._warm = True
        try:
            # What only others have in hand can not be what we die of, so it is read before the attempt is noted.
            known = self._read_apart(batch) if self._attempts.suspect(backlog.writer, batch) else None
            self._attempts.begin(backlog.writer, batch)
            self._store_batch(batch, known)
        except StoreError:
            self._attempts.excused(backlog.writer, batch)
            raise
        except Exception as failure:  # noqa: BLE001 - whatever a body does to us, the others go on
            self._note(failure)
            self._attempts.failed(backlog.writer, batch)
            return True
        # Ack after the store has it, never before: the other order loses it unseen.
        backlog.ack(batch)
        self._attempts.done(backlog.writer, batch)
        self._count(backlog, batch)
        self.moved.problem = ""
        self._pause_s = 0.0
        if len(batch.body) < _SMALL_BYTES and not self._attempts.careful:
            # A transaction costs as much as ten spans: let the next one find company.
            self._stopping.wait(_GATHER_S)
        return True

    def _waits_for_reader(self) -> bool:
        """Whether the process that reads suspects is still starting. It is started where it does not run."""
        now_s = monotonic_s()
        self._asked_s = self._asked_s or now_s
        try:
            if not self._decoder.ready() and now_s - self._asked_s < _DECODER_START_S:
                return True
        except OSError as failure:
            self._note(failure)
            self._decoder.close()
        self._asked_s = 0.0
        return False

    def _put_off(self, backlog: Backlog, batch: Batch) -> bool:
        """Have the others go before a suspect meanwhile: a server that is killed soon must not stand still for it.

        True when that was possible and there are others.
        """
        if self._inbox.pending <= self._attempts.suspects:
            return False
        (content,) = _entries(batch)
        return self._inbox.put_back(backlog, batch, content)

    def _read_apart(self, batch: Batch) -> list[Read] | None:
        """What another process makes of a body that is suspect; None when there is no such process."""
        try:
            if self._decoder.ready():
                return list(self._decoder.read([_entries(batch)]))
        except OSError as failure:
            self._note(failure)
            self._decoder.close()
        return None

    def _store_batch(self, batch: Batch, known: list[Read] | None) -> None:
        if known is not None:
            for everything in known:
                self._insert(everything)
            return
        chunks = list(_chunks(_entries(batch)))
        reads = self._decoder.read(chunks) if self._decodes(batch) else self._read_here(chunks)
        with closing(reads):
            for everything in reads:
                self._insert(everything)

    def _decodes(self, batch: Batch) -> bool:
        """Whether another process reads this batch: it takes two processors to gain by it, and much to do."""
        if len(batch.body) < _MUCH_BYTES or not self._starts_left:
            return False
        try:
            return self._decoder.ready()
        except OSError as failure:
            self._note(failure)
            self._decoder.close()
            self._starts_left -= 1
            return False

    def _read_here(self, chunks: Sequence[Sequence[bytes]]) -> Generator[Read]:
        for chunk in chunks:
            yield read_all(chunk, self._limits)

    def _insert(self, everything: Read) -> None:
        inserted = self._store.insert(everything.spans, everything.numbers, everything.sightings)
        self.moved.new += inserted.new
        self.moved.known += inserted.known
        self.moved.refused += len(inserted.refused)
        self.moved.unreadable += everything.unreadable
        for refused in inserted.refused:
            _LOGGER.warning("the store cannot hold %s of %s: %s", refused.key, refused.project, refused.why)

    def _set_aside(self, backlog: Backlog, batch: Batch) -> None:
        tries = self._attempts.tries(backlog.writer, batch)
        why = self.moved.problem or "the server died"
        reason = f"failed again and again, {tries} attempts were noted; the last time: {why}"
        backlog.set_aside(batch, reason=reason)
        self._attempts.done(backlog.writer, batch)
        self._count(backlog, batch)
        self.moved.set_aside += batch.spans
        _LOGGER.error("a request was set aside: %s", reason)

    def _count(self, backlog: Backlog, batch: Batch) -> None:
        self.moved.bodies += batch.spans
        self._untidy = True
        self._inbox.moved(backlog, batch.spans)

    def _note(self, failure: Exception) -> None:
        self.moved.failures += 1
        self.moved.problem = f"{type(failure).__name__}: {str(failure)[:300]}"
        _LOGGER.warning("moving the inbox into the store: %s", self.moved.problem)


def _entries(batch: Batch) -> list[bytes]:
    return [unwrap(batch.body[frame.payload]) for frame in walk(batch.body) if frame.kind == Kind.BATCH]


def _chunks(entries: Sequence[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size, enough = 0, min(_FIRST_CHUNK_BYTES, _CHUNK_BYTES)
    for entry in entries:
        chunk.append(entry)
        size += len(entry)
        if size >= enough:
            yield chunk
            chunk, size, enough = [], 0, min(enough * 3 // 2, _CHUNK_BYTES)
    if chunk:
        yield chunk
