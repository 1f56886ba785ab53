"""The write side of the spool: frames on disk before `append` returns, whatever happens next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import takewhile
from operator import call
from pathlib import Path

from everyspan.clock import monotonic_s
from everyspan.errors import SpoolError
from everyspan.model.ids import WriterId
from everyspan.settings import Drop, Fsync
from everyspan.spool import forks
from everyspan.spool.backlog import Backlog
from everyspan.spool.durable import IntervalSync, reach_disk
from everyspan.spool.keeper import Keeper, Kept
from everyspan.spool.living import LivingBacklog
from everyspan.spool.room import Room, WhenFull
from everyspan.spool.tally import Counts
from everyspan.wire.frame import Kind

__all__ = ["Kept", "Log"]


_LOGGER = logging.getLogger("everyspan")
_DROP_NEWEST = WhenFull()
# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_PART, _NEVER = Kind.PART, Fsync.NONE
_STEP_S = 0.01
_TURNS = 50
"""How often to let others go on before sleeping on the lock: less than a millisecond, unless the disk stalls."""


class Log:
    """One writer's frames, for one destination. Use it from any thread, signal handler or forked child.

    `append` returns after the frame is in the kernel's page cache, so it survives this process however it dies. A
    forked child gets a writer of its own at its first append. After `close`, too, an append begins a new writer:
    a span that ends late is late, not lost.

    Interleavings, all under one re-entrant lock:

    - Another thread appends: it waits for the write, about 5 µs.
    - A signal handler or a `__del__` appends within our write: it finds `_busy`, leaves its frame in `_reentered`
      and returns; we write it before we return. One that comes after our last look finds `_busy` False.
    - Somebody forks: the lock is taken before and let go after (`forks.py`), so no child begins with half a frame.
    - KeyboardInterrupt within our write: the frame is found on disk or told as dropped, and the exception goes on.
    """

    _busy: bool
    _keeper: Keeper
    _backlog: LivingBacklog | None
    _ticking: IntervalSync | None

    def __init__(
        self,
        root: Path,
        *,
        about: Mapping[str, str],
        fsync: Fsync,
        cap_bytes: int | None,
        segment_bytes: int = 16 << 20,
        when_full: WhenFull = _DROP_NEWEST,
    ) -> None:
        """Nothing is made on disk before the first append.

        Args:
            root: the destination's directory, the parent of its writers' directories.
            about: goes into every segment's HEADER: `destination`, `url`, `library`.
            cap_bytes: most bytes that wait on disk for the destination; None takes what the filesystem allows.
        """
        self._root = root
        self._about = dict(about)
        self._fsync = fsync
        self._cap_bytes = cap_bytes
        self._segment_bytes = segment_bytes
        self._when_full = when_full
        self._blocks = when_full.drop is Drop.BLOCK
        self._begin()
        forks.register(self)

    def append(
        self,
        kind: Kind,
        payload: bytes | bytearray,
        *,
        stamp_at: int | None = None,
        only_by: WriterId | None = None,
    ) -> Kept:
        """Keep one START, SPAN, PART or BATCH frame. Raises nothing but what a signal handler raises meanwhile.

        With `Drop.BLOCK` it may wait for room, though not in the thread that reads the backlog, because only that
        one makes room, and not where this thread is in the middle of something here.

        Args:
            stamp_at: where in `payload` the stamp's 37 bytes go; they are written in place when it is a bytearray.
            only_by: keep it only while this writer, the one of its START frame, is still writing. Any other one's
                SPAN would be a second span: a closed writer's START without an end is told as *interrupted*.

        Returns:
            DISK after the fdatasync, for Fsync.ALWAYS; MEMORY when that failed.
        """
        if self._blocks and kind is not _PART:
            self._wait_for_room(len(payload))
        if not list(takewhile(bool, map(call, self._try_lock))):
            self._let_others_go_on()
        with self._lock:
            writer = self._keeper.writer
            if only_by is not None and (writer is None or writer.closed or writer.id != only_by):
                return Kept.DISOWNED
            if self._busy:
                self._reentered.append((kind, bytes(payload), stamp_at))
                return Kept.MEMORY
            self._busy = True
            try:
                kept = self._keeper.keep(kind, payload, stamp_at)
            finally:
                self._busy = False
            # What came in while `_busy` was True is in the list by now; what comes from here on writes itself.
            if self._reentered:
                self._append_reentered()
        if self._keeper.notices:
            self._say()
        if kind is _PART:
            return kept  # it stands between a reader and the next chunk of a stream
        return kept if self._fsync is _NEVER else self._synced(kept)

    def describe(self, more: Mapping[str, object]) -> bool:
        """Say more about this process: in a HEADER frame now, and in that of every later segment.

        Returns:
            False when no disk takes it now; a later segment says it.
        """
        with self._lock:
            if self._busy:
                return False
            self._busy = True
            try:
                said = self._keeper.describe(more)
            finally:
                self._busy = False
            if self._reentered:
                self._append_reentered()
        return said

    def sync(self) -> None:
        """Return when everything appended before the call is on stable storage; one fdatasync serves all who wait.

        Raises:
            SpoolError: some of it may not be: the disk refused it, or an fdatasync failed. It is offered to the
                destination all the same.
        """
        with self._lock:
            self._settle()
            waiting, goal = len(self._keeper.ring), self._keeper.placed
        if waiting:
            raise SpoolError(f"{waiting} frames wait in memory because the disk takes nothing")
        if not self._durable(goal):
            raise SpoolError("an fdatasync failed; what was appended may not survive a power cut")

    @property
    def durable(self) -> bool:
        """Whether somebody counts on stable storage: the level says so, or `sync` was called."""
        return self._fsync is not Fsync.NONE or self._durable_to > 0

    @property
    def crowded(self) -> bool:
        """Whether four fifths of `cap_bytes` are in use: time to leave bodies out, so that money still fits."""
        writer, room = self._keeper.writer, self._keeper.room
        return writer is not None and writer.waiting_bytes >= room.crowded_at_bytes

    def counts(self) -> Counts:
        """The numbers right now; they go on after `close`, and begin anew in a forked child."""
        with self._lock:
            writer, tally = self._keeper.writer, self._keeper.tally
            numbers = Counts(
                spans=tally.spans,
                on_disk=tally.on_disk,
                in_memory=tally.in_memory,
                dropped={reason: spans for reason, spans in tally.dropped.items() if spans},
                acknowledged=tally.acknowledged,
                set_aside=tally.set_aside,
                errors=dict(tally.errors),
            )
            if writer is None:
                return numbers
            return replace(
                numbers,
                writer=writer.id,
                last_seq=writer.last_seq,
                unacknowledged_bytes=writer.waiting_bytes,
            )

    def backlog(self) -> Backlog | None:
        """The read side of this log's own writer; None before the first append, and after `close`."""
        with self._lock:
            writer = self._keeper.writer
            if writer is None or writer.closed:
                return None
            if self._backlog is None or self._backlog.writer != writer.id:
                self._backlog = LivingBacklog(
                    writer, self._keeper, self._lock, settle=self._settle, durable=lambda: self.durable
                )
            return self._backlog

    def let_go(self) -> bool:
        """Delete what was delivered from disk now, not a segment later; see `LivingBacklog`. For its thread."""
        backlog = self._backlog
        return backlog is None or backlog.let_go()

    def close(self) -> None:
        """Say that this writer is finished and give its directory up: `adopt` finds it from now on.

        What only memory holds is written, or counted as dropped when the disk still refuses. Safe to repeat.
        """
        with self._lock:
            self._keeper.finish()
            ticking, self._ticking = self._ticking, None
        if ticking is not None:
            ticking.stop()
        if self._fsync is not Fsync.NONE:
            self._durable(self._keeper.placed)

    def before_fork(self) -> None:
        """See `forks.Forks`."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """See `forks.Forks`."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """See `forks.Forks`."""
        parents = self._keeper.writer
        self._begin()
        if parents is not None:
            parents.abandon()

    def _begin(self) -> None:
        """A new log, or the same one in a forked child, where nothing of the parent's is ours."""
        self._lock = threading.RLock()
        # Taken and given back without a Python instruction between the two, where a signal handler could raise.
        self._try_lock: tuple[Callable[[], object], ...] = (
            partial(self._lock.acquire, False),
            self._lock.release,
        )
        self._busy = False
        self._reentered: list[tuple[Kind, bytes, int | None]] = []
        self._keeper = Keeper(
            self._root,
            about=self._about,
            room=Room(self._root, cap_bytes=self._cap_bytes),
            drop=self._when_full.drop,
            segment_bytes=self._segment_bytes,
        )
        self._waiting_here = threading.local()
        self._backlog = None
        # Re-entrant, because a signal handler may append within our fdatasync.
        self._syncing = threading.RLock()
        self._durable_to = self._suspect_to = 0
        self._ticking = None

    def _synced(self, kept: Kept) -> Kept:
        """What `append` returns where somebody wants more than the page cache."""
        if self._fsync is Fsync.ALWAYS and kept is Kept.DISK:
            return kept if self._durable(self._keeper.placed) else Kept.MEMORY
        if self._fsync is Fsync.INTERVAL and self._ticking is None:
            self._ticking = IntervalSync(self)
        return kept

    def _append_reentered(self) -> None:
        while self._reentered:
            kind, payload, stamp_at = self._reentered.pop(0)
            self._busy = True
            try:
                self._keeper.keep(kind, payload, stamp_at)
            finally:
                self._busy = False

    def _let_others_go_on(self) -> None:
        """Wait a moment for the thread that has the lock, instead of falling asleep on it at once.

        A thread that sleeps on the lock is given it before it gets the GIL, so the one that goes on meanwhile finds it
        taken and falls asleep on it, too: from then on threads take turns frame by frame, each turn a switch between
        threads, and an append takes milliseconds until one of them does something else.
        """
        for _ in range(_TURNS):
            time.sleep(0)
            if list(takewhile(bool, map(call, self._try_lock))):
                return

    def _wait_for_room(self, size_bytes: int) -> None:
        """Return when a frame of this size would be kept, or after the time that the user set.

        In small steps and not on a condition: there is no lock here that a signal handler or a fork could find held.
        A handler that runs within a step and appends does not wait again.
        """
        here = self._waiting_here
        deadline_s = 0.0
        while not getattr(here, "waits", False) and not _is_held_by_us(self._lock):
            with self._lock:
                backlog = self._backlog
                if backlog is not None and backlog.reader == threading.get_ident():
                    return
                if self._busy or not self._keeper.would_lose(size_bytes):
                    return
            now_s = monotonic_s()
            deadline_s = deadline_s or now_s + self._when_full.block_timeout_s
            if now_s >= deadline_s:
                return
            here.waits = True
            try:
                time.sleep(min(_STEP_S, deadline_s - now_s))
            finally:
                here.waits = False

    def _say(self) -> None:
        """Tell the user what the keeper noticed; no lock is held, because a log handler may wait for anything."""
        notices = self._keeper.notices
        while notices:
            _LOGGER.warning("everyspan: %s", notices.pop(0))

    def _settle(self) -> None:
        with self._lock:
            if self._busy:
                return
            self._busy = True
            try:
                self._keeper.settle()
            finally:
                self._busy = False

    def _durable(self, goal: int) -> bool:
        """Whether the first `goal` frames are on stable storage, after at most one fdatasync of our own.

        The one who syncs takes no other lock: a signal handler may wait here above a frame that holds `_lock`. So
        `placed` is read first and the files after it; a frame within `placed` is in one of them, or was delivered.
        """
        with self._syncing:
            if self._durable_to >= goal:
                return self._suspect_to < goal
            writer, covered = self._keeper.writer, self._keeper.placed
            failure: OSError | None = None
            if writer is not None:
                unsynced = writer.unsynced()
                try:
                    reach_disk(unsynced.files, unsynced.directories)
                except OSError as error:
                    failure = error
                    self._suspect_to = covered
                writer.synced(unsynced)
            self._durable_to = covered
        if failure is not None:
            with self._lock:
                self._keeper.tally.failed(failure)
                if writer is not None:
                    writer.retire_segment()
        return failure is None


def _is_held_by_us(lock: threading.RLock) -> bool:
    """Whether this thread is within a block that holds `lock`: a signal handler or a `__del__` may find itself there.

    `threading.Condition` asks its lock in the same way.
    """
    owned: bool = lock._is_owned()  # type: ignore[attr-defined]
    return owned
