"""The inbox: a body is on stable storage before its sender hears 200."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from everyspan.clock import monotonic_s
from everyspan.errors import CollectorError, EveryspanError
from everyspan.settings import Fsync
from everyspan.spool.adopted import adopt
from everyspan.spool.backlog import Backlog, Batch
from everyspan.spool.log import Kept, Log
from everyspan.spool.quarantine import refused_in
from everyspan.spool.survey import count_cargo
from everyspan.version import __version__
from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind

_LOGGER = logging.getLogger(__name__)
_REQUESTS = "requests"
_FULL = "the inbox is full until the store has caught up"
_DISK = "the disk did not take the request"


class _Entry(NamedTuple):
    content: bytes
    done: Future[None]
    again: bool
    """It is in here already, and goes to the end."""


class Inbox:
    """Keeps request bodies, one fdatasync for all that wait.

    One thread writes and syncs; `keep` may be called from any thread or loop. What a server left behind that died
    is adopted at the start, and offered by `backlogs` before anything new.
    """

    def __init__(self, root: Path, *, cap_bytes: int, arrived: Callable[[], None] = lambda: None) -> None:
        """Open the inbox in directory `root`; `arrived` is called, in our thread, after each sync."""
        self._dir = root
        self._arrived = arrived
        requests = root / _REQUESTS
        adopted = list(adopt(requests, living=None, durable=True))
        self.refused_before = sum(map(refused_in, requests.iterdir())) if requests.is_dir() else 0
        """Bodies that are in quarantine since before this start."""
        self._log = Log(
            requests,
            about={"library": f"everyspan-collector/{__version__}"},
            fsync=Fsync.NONE,
            cap_bytes=cap_bytes,
        )
        self._adopted = adopted
        self._waiting: list[_Entry] = []
        self._changed = threading.Condition()
        self._closing = False
        # Not by reading all of it: a start must not take longer the more there is, or whoever sends waits.
        self._left = {backlog.writer: _bodies(requests, backlog) for backlog in adopted}
        self._moved = 0
        self._refusal = ""
        self.appended = 0
        self.syncs = 0
        self.sync_s = 0.0
        """Seconds spent in fdatasync, all in all."""
        self._thread = threading.Thread(target=self._run, name="everyspan-inbox", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether what comes now is refused until the store has caught up."""
        return self._log.crowded

    def refusal(self) -> str:
        """Why a request would be refused now, empty when it would be kept. May wait for the disk; from any thread."""
        if self.full:
            return _FULL
        if self._refusal:
            # Nobody may be sending any more, because we refuse: what was refused last waits in memory, and tells.
            try:
                self._log.sync()
            except EveryspanError as failure:
                return f"{self._refusal}: {failure}"
            self._taken_again()
        return ""

    @property
    def pending(self) -> int:
        """Bodies that were acknowledged, by us or an earlier server, and have not been moved out. From any thread."""
        return max(0, sum(list(self._left.values())) + self.appended - self._moved)

    def put(self, content: bytes, *, again: bool = False) -> Future[None]:
        """Begin to keep one entry. The future is done when it is on stable storage.

        It fails with CollectorError 503 when it could not be kept. Then it may still be stored later, which does
        no harm: the sender sends it again, and the store knows its spans.
        """
        done: Future[None] = Future()
        # A client that goes away cancels what waits for it; not this, or telling it would end our thread.
        done.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise CollectorError("the collector is shutting down", status=503)
            self._waiting.append(_Entry(content, done, again))
            self._changed.notify()
        return done

    async def keep(self, content: bytes) -> None:
        """As `put`, and wait for it.

        Raises:
            CollectorError: 503; the entry is not known to be safe.
        """
        await asyncio.wrap_future(self.put(content))

    def backlogs(self) -> list[Backlog]:
        """What to move into the store, oldest writer first. For the one thread that moves."""
        mine = self._log.backlog()
        return [*self._adopted, *([mine] if mine is not None else [])]

    def moved(self, backlog: Backlog, bodies: int) -> None:
        """So many are out of this backlog, and acknowledged. For the one thread that moves."""
        if backlog.writer in self._left:
            self._left[backlog.writer] -= bodies
        else:
            self._moved += bodies

    def put_back(self, backlog: Backlog, batch: Batch, content: bytes) -> bool:
        """Move the first entry of a backlog behind all others; False where that is not possible. For that thread.

        A crash in here leaves it twice, which does no harm.
        """
        try:
            self.put(content, again=True).result()
        except CollectorError:
            return False
        backlog.ack(batch)
        self.moved(backlog, batch.spans)
        return True

    def drained(self, backlog: Backlog) -> None:
        """An adopted backlog has nothing left: remove it. Its quarantine, if any, stays on disk."""
        if backlog in self._adopted:
            self._left.pop(backlog.writer, None)  # what is left over was damaged, and is in quarantine
            backlog.finish()
            self._adopted.remove(backlog)

    def let_go(self) -> bool:
        """Delete what was moved out, if that is all there is: deleted texts must not live on here. For that thread.

        False when something waits again.
        """
        for backlog in list(self._adopted):
            batch = backlog.peek(limit_bytes=1)
            while batch is not None and not batch.spans:  # its writer's last words
                backlog.ack(batch)
                batch = backlog.peek(limit_bytes=1)
            if batch is None:
                self.drained(backlog)
        return self._log.let_go()

    def close(self) -> None:
        """Finish what waits, then give the directory up. What is not yet moved is adopted by the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._log.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                entries, self._waiting = self._waiting, []
                if not entries:
                    return
            self._commit(entries)

    def _commit(self, entries: list[_Entry]) -> None:
        """Append all, sync once, tell everybody. The thread's guard: a failure here is a 503 for its requests."""
        try:
            kept = [entry for entry in entries if self._append(entry)]
            if not kept:
                return
            began = monotonic_s()
            self._log.sync()
            self.sync_s += monotonic_s() - began
        except (OSError, EveryspanError) as failure:
            _LOGGER.warning("the inbox cannot be written: %s", failure)
            self._refusal = f"the inbox cannot be written: {failure}"
            for entry in entries:
                if not entry.done.done():
                    entry.done.set_exception(_busy(self._refusal))
            return
        if len(kept) == len(entries):
            self._taken_again()
        self.syncs += 1
        for entry in kept:
            entry.done.set_result(None)
        self._arrived()

    def _append(self, entry: _Entry) -> bool:
        # Asked before and not found out after: a dropped frame would leave a gap that means nothing here.
        if self._log.crowded and not entry.again:
            entry.done.set_exception(_busy(_FULL))
            return False
        kept = self._log.append(Kind.BATCH, wrap(Kind.BATCH, entry.content))
        # What memory has is refused, and stored all the same as soon as somebody takes it.
        self.appended += kept is not Kept.DROPPED
        if kept is not Kept.DISK:
            entry.done.set_exception(_busy(_DISK))
            if not self._refusal:
                _LOGGER.error("%s: %s; senders are told to come back", self._dir, _DISK)
            self._refusal = _DISK
        return kept is Kept.DISK

    def _taken_again(self) -> None:
        if self._refusal:
            self._refusal = ""
            _LOGGER.warning("%s: requests are taken again", self._dir)


def _bodies(requests: Path, backlog: Backlog) -> int:
    counted = count_cargo(requests / backlog.writer)
    return backlog.pending() if counted is None else counted


def _busy(why: str) -> CollectorError:
    return CollectorError(why, status=503)
