"""The sender: the one background thread that everyspan has in a user's process."""

from __future__ import annotations

import contextvars
import math
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from everyspan.clock import monotonic_s
from everyspan.model.destination import Destination
from everyspan.model.receipt import Receipt
from everyspan.sender.attend import Bell, attend, suppress_instrumentation
from everyspan.sender.exchange import import_the_rest
from everyspan.sender.http import Poster
from everyspan.sender.lane import Lane, Timing
from everyspan.sender.outcome import UNREACHABLE
from everyspan.sender.owed import Owed
from everyspan.sender.problem import Problems
from everyspan.spool import Log

_LOOK_FOR_THE_DEAD_EVERY_S = 5.0
_LAST_STEP_S = 0.5
_PAUSE_AFTER_ERROR_S = 1.0
_THREAD_NAME = "everyspan-sender"


class Sender:
    """Ships every log of this process, and what dead writers left for the same destinations.

    One daemon thread serves all destinations; no call in it blocks but name look-up, so one that hangs or is dead
    delays no other. The thread starts with the first `wake` or `flush`, and again in a forked child. Whatever
    fails in it is counted in `errors` and never raised.

    Args:
        timeout_s: the silence of a destination that ends an attempt.
        linger_s: how long the first span waits for others to share its POST, unless a flush waits.
        proxies: proxy URL by scheme; None for those of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
        allow_key_in_clear: let a key travel over plain http to another machine.
        started: called when the thread has started, in the thread that made it so.
        clock: monotonic seconds.
    """

    _lanes: list[Lane]
    _asleep: bool

    def __init__(
        self,
        *,
        timeout_s: float = 10.0,
        linger_s: float = 0.1,
        proxies: Mapping[str, str] | None = None,
        allow_key_in_clear: bool = False,
        started: Callable[[], None] | None = None,
        clock: Callable[[], float] = monotonic_s,
    ) -> None:
        import_the_rest()  # not with the first span: a child may be forked while another thread is at it
        self.errors: Counter[str] = Counter()
        """Failures of the sender itself, by name."""
        self._timing = Timing(answer_s=timeout_s, linger_s=linger_s, clock=clock)
        self._proxies = proxies
        self._allow_key_in_clear = allow_key_in_clear
        self._started = started
        self._registered: list[tuple[Destination, Log, Path]] = []
        self._begin_anew()
        _senders.add(self)

    def add(self, destination: Destination, log: Log, *, root: Path) -> None:
        """Ship `log` to `destination` from now on, and adopt dead writers' directories under `root`."""
        with self._lock:
            self._registered.append((destination, log, root))
            self._lanes = [*self._lanes, self._lane(destination, log, root)]

    def wake(self) -> None:
        """Something was appended. Cheap, never blocks and never raises: call it after each append."""
        self._work = True
        if self._asleep:
            self._asleep = False  # one nudge wakes the thread; the appends after it only set a flag
            self._bell.ring()
        if self._thread is None:
            self._start()

    def flush(self, timeout_s: float, *, give_up_when_unreachable: bool = False) -> Receipt:
        """Deliver what was recorded before this call; the receipt tells what came of it.

        Returns when each of those spans is delivered, set aside or dropped, or after `timeout_s`. Not from within
        a signal handler.

        Args:
            give_up_when_unreachable: return as soon as an attempt made after the call found that nothing listens
                at any destination that still waits.
        """
        goals = [_Goal(lane) for lane in self._lanes]
        deadline = self._timing.clock() + timeout_s
        with self._changed:
            self._flushing += 1
            self._flushes += 1
        try:
            if not all(goal.reached() for goal in goals):
                self.wake()
                self._bell.ring()  # also when it only lingers
            with self._changed:
                while not all(goal.over(give_up_when_unreachable=give_up_when_unreachable) for goal in goals):
                    left_s = deadline - self._timing.clock()
                    if left_s <= 0 or self._thread is None or self._closed:
                        break
                    self._changed.wait(left_s)
        finally:
            with self._changed:
                self._flushing -= 1
        return self.receipt()

    def receipt(self) -> Receipt:
        """What became of this process's spans until now: the sum, with one part for each destination."""
        return Receipt.sum(lane.receipt() for lane in self._lanes)

    def inherited(self) -> Receipt:
        """The same for the spans of dead writers that this process adopted."""
        return Receipt.sum(lane.inherited() for lane in self._lanes)

    def close(self, timeout_s: float) -> Receipt:
        """Flush, close the logs, ship their last words, and end the thread; all of it within about `timeout_s`.

        What is left stays in the spool for the next process. A destination where nothing listens is not waited for.
        """
        deadline = self._timing.clock() + timeout_s
        self.flush(timeout_s, give_up_when_unreachable=True)
        for lane in self._lanes:
            if lane.log is not None:
                lane.log.close()
        with self._lock:
            self._close_by, self._closed = deadline, True
            thread = self._thread
        if thread is None:
            # Nothing was ever sent, or this is the end of an interpreter that starts no threads any more (3.12).
            contextvars.copy_context().run(self._run)
        else:
            self._bell.ring()
            thread.join(max(0.0, deadline - self._timing.clock()) + _LAST_STEP_S)
        return self.receipt()

    # --- the thread ---

    def _begin_anew(self) -> None:
        """The state of a process that has no thread yet: at first, and in a forked child.

        The child's locks may have been copied while the parent's thread held them, its connections and adopted
        directories belong to the parent, and the bell would ring there: all of that is replaced, not used.
        """
        self._lock = threading.RLock()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._bell = Bell()
        self._work = False
        self._asleep = False
        self._flushing = 0
        self._flushes = 0
        self._flushes_seen = 0
        self._closed = False
        self._close_by = math.inf
        self._adopt_at = -math.inf
        self._lanes = [self._lane(*registered) for registered in self._registered]

    def _after_fork(self) -> None:
        closed = self._closed
        self._bell.close()
        for lane in self._lanes:
            lane.abandon()
        self.errors = Counter()
        self._begin_anew()
        self._closed = closed

    def _lane(self, destination: Destination, log: Log, root: Path) -> Lane:
        return Lane(
            log=log,
            owed=Owed(log, roots=[root]),
            poster=Poster(destination, proxies=self._proxies, allow_key_in_clear=self._allow_key_in_clear),
            problems=Problems(destination, clock=self._timing.clock),
            timing=self._timing,
            errors=self.errors,
        )

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._run, name=_THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the interpreter is ending, or there are no threads left
                self.errors[type(error).__name__] += 1
                return
            self._thread = thread
        if self._started is not None:
            self._started()

    def _run(self) -> None:
        suppress_instrumentation()
        going_on = True
        while going_on:
            try:
                going_on = self._turn()
            except Exception as error:  # noqa: BLE001
                # Programs that turn into daemons close all descriptors, the bell's too. Its numbers may be somebody
                # else's by now: forget them, do not close them.
                self.errors[type(error).__name__] += 1
                self._bell = Bell()
                time.sleep(_PAUSE_AFTER_ERROR_S)
        for lane in self._lanes:
            lane.stop()
        self._bell.close()

    def _turn(self) -> bool:
        """Everything that is due, then sleep until something else is; False when it is time to end."""
        lanes, now = self._lanes, self._timing.clock()
        if self._work:
            self._work = False  # before the lanes look: an append from here on sets it again
            for lane in lanes:
                lane.notice()
        if self._flushes_seen != self._flushes:
            self._flushes_seen = self._flushes
            for lane in lanes:
                lane.hurry()
        for lane in lanes:
            lane.urgent = self._flushing > 0 or self._closed
        if now >= self._adopt_at and not self._closed:
            self._adopt_at = now + _LOOK_FOR_THE_DEAD_EVERY_S
            for lane in lanes:
                if lane.idle or not lane.attempts:
                    lane.adopt()
        for lane in lanes:
            if self._closed:
                lane.take_over_own()
            lane.begin()
        if self._closed and (now >= self._close_by or all(lane.idle or lane.failing for lane in lanes)):
            return False
        self._tell()
        self._sleep(lanes, (self._close_by if self._closed else self._adopt_at) - now)
        self._tell()
        return True

    def _tell(self) -> None:
        if self._flushing:
            with self._changed:
                self._changed.notify_all()

    def _sleep(self, lanes: list[Lane], longest_s: float) -> None:
        # An append rings only when a lane is idle: one that is lingering or sending looks again by itself. The
        # order matters. `wake` sets `_work` and then reads `_asleep`; here `_asleep` is set and then `_work` is
        # read: whichever comes first, one of the two sides sees the other.
        self._asleep = any(lane.idle for lane in lanes)
        if self._work or self._flushes_seen != self._flushes:
            longest_s = 0.0
        attend(lanes, bell=self._bell, longest_s=longest_s)
        self._asleep = False


class _Goal:
    """What one flush waits for at one destination."""

    def __init__(self, lane: Lane) -> None:
        now = lane.receipt()
        self._lane = lane
        self._settled = now.recorded - now.dropped
        self._attempts = lane.attempts

    def reached(self) -> bool:
        now = self._lane.receipt()
        # Frames go out in the order in which they came, so the first so many are those recorded before the flush.
        return now.pending == 0 or now.delivered + now.set_aside >= self._settled

    def over(self, *, give_up_when_unreachable: bool) -> bool:
        failure = self._lane.failure
        refused = failure.attempt > self._attempts and failure.kind == UNREACHABLE
        return self.reached() or (give_up_when_unreachable and refused)


_senders: weakref.WeakSet[Sender] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for sender in _senders:
        sender._after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
