"""SIGTERM: deliver for a bounded time, then die of it, as the program would have without us.

Python leaves SIGTERM to the kernel, which ends the process at once: no `atexit`, no `finally`. Where the program left
it so, a handler of ours stands instead, and nobody can tell: `signal.getsignal` and `signal.signal` go on to say
SIG_DFL, and setting SIG_DFL puts ours back. A handler of the program's own is never touched: it decides what happens.

Children keep the kernel's way. `multiprocessing.Pool` ends its workers by SIGTERM while it holds the lock that they
wait for, and a handler in Python never runs when the signal comes just before such a wait (seen with CPython 3.11).

Here too, then, the main thread may not come to its handler. Another thread hears of the signal at once (`Wakeup`),
gives the main thread a moment, and does the same in its place.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import threading
from collections.abc import Callable
from time import sleep
from types import FrameType
from typing import Any

from everyspan.clock import monotonic_s
from everyspan.instrument import patch
from everyspan.instrument.wakeup import Wakeup
from everyspan.record.tally import TALLY

_GRACE_S = 0.2
_TURN_S = 0.1
"""How long the main thread may take to come to its handler: a dozen busy threads are as long at their turns."""
_LOOK_S = 0.05
"""How often the thread that stands in for it looks whether a second signal came."""

_set_handler = ctypes.CDLL(None).signal  # for any thread; Python's own is for the main thread only
_set_handler.argtypes, _set_handler.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p


class Termination:
    """What SIGTERM does in this process, but not in its forked children, while nobody else handles it.

    Args:
        leave: delivers for at most so many seconds; called in a thread of its own.
        within_s: how long the end may be put off.
    """

    def __init__(self, leave: Callable[[float], None], *, within_s: float) -> None:
        self._leave = leave
        self._within_s = within_s
        self._pid = 0
        self._handler = self._handle  # one object: a bound method is another one each time it is looked up
        self._wakeup = Wakeup(signal.SIGTERM, self._heard)
        self._begin_anew()

    def install(self) -> None:
        """Stand in for the default action, now where it is in force and later whenever it is set again.

        Only the main thread may set handlers: called from another one, ours begins when SIG_DFL is set again.
        """
        self._pid = os.getpid()
        patch.exchange(signal.signal, self._set)
        patch.exchange(signal.getsignal, self._get)
        allowed = threading.current_thread() is threading.main_thread()
        if allowed and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # through `_set`

    def watch(self) -> None:
        """From now on SIGTERM is answered also when the main thread does not come to it. Cheap to repeat."""
        self._wakeup.listen()

    def forked(self) -> None:
        """In a forked child: SIGTERM is left to the kernel again."""
        self._wakeup.forked()
        set_handler, get_handler = patch.original_of(signal.signal), patch.original_of(signal.getsignal)
        if get_handler(signal.SIGTERM) is self._handler:
            set_handler(signal.SIGTERM, signal.SIG_DFL)

    def _set(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args == (signal.SIGTERM, signal.SIG_DFL) and os.getpid() == self._pid:
            args = (signal.SIGTERM, self._handler)
            if threading.current_thread() is threading.main_thread():
                self._wakeup.install()
        return self._as_seen(original(*args, **kwargs))

    def _get(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._as_seen(original(*args, **kwargs))

    def _as_seen(self, handler: Any) -> Any:
        return signal.SIG_DFL if handler is self._handler else handler

    def _begin_anew(self) -> None:
        self._claim = _thread.allocate_lock()
        """Taken, without waiting, by the thread that answers."""
        self._in_place_of_main = False
        self._heard_before = False
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._claim.acquire(blocking=False):
            self._deliver()
        elif self._in_place_of_main:  # the same signal, to which the other thread came first
            self._in_place_of_main = False
            self._wait()
        self._die()  # at once at a second SIGTERM while we deliver, which means: now

    def _heard(self) -> None:
        """SIGTERM came, says the thread that listens: the main thread's affair, for a moment."""
        sleep(_TURN_S)
        get_handler = patch.original_of(signal.getsignal)
        if get_handler(signal.SIGTERM) is not self._handler:
            return
        again, self._heard_before = self._heard_before, True
        if again:
            self._die()  # as `_handle` does, should the main thread wait where no signal calls it away
            return
        self._in_place_of_main = True  # before the claim: the main thread may come to find it taken
        if self._claim.acquire(blocking=False):
            self._deliver(stop=self._wakeup.again)
            self._die()
        self._in_place_of_main = False

    def _deliver(self, *, stop: Callable[[], bool] | None = None) -> None:
        """Let another thread deliver while this one stands still, wherever the signal found it.

        It may have been found with a lock in its hand (a span's, the log's, logging's) that the delivery needs. Here
        that would be a deadlock; there it costs no more than the time, and the spool keeps everything. For the same
        reason the thread is started below `threading`, whose locks we may be holding, too. `stop` says when to wait no
        longer, to a thread that no second signal can call away.
        """
        done = self._done

        def deliver() -> None:
            try:
                self._leave(self._within_s)
            except Exception as error:  # noqa: BLE001 - the guard of this thread
                TALLY.fault("deliver at SIGTERM", error)
            finally:
                done.release()

        try:
            _thread.start_new_thread(deliver, ())
            self._wait(stop)
        except Exception as error:  # noqa: BLE001 - no thread could be started, or gevent's hub may not wait
            TALLY.fault("deliver at SIGTERM", error)

    def _wait(self, stop: Callable[[], bool] | None = None) -> None:
        ends_s = monotonic_s() + self._within_s + _GRACE_S
        while (left_s := ends_s - monotonic_s()) > 0 and not (stop and stop()):
            if self._done.acquire(timeout=min(left_s, _LOOK_S) if stop else left_s):
                self._done.release()  # two threads may wait
                return

    def _die(self) -> None:
        handler = _set_handler(signal.SIGTERM, None)
        os.kill(os.getpid(), signal.SIGTERM)
        # The first process of a container, to which the kernel sends no signal that it does not handle: it goes on.
        if os.getpid() == 1:
            if handler:
                _set_handler(signal.SIGTERM, handler)
                signal.siginterrupt(signal.SIGTERM, True)  # as Python sets its handlers
            self._begin_anew()
