"""SIGTERM: deliver for a bounded time, then die of it, as the program would have without us.

Python leaves SIGTERM to the kernel, which ends the process at once: no `atexit`, no `finally`. Where the program left
it so, a handler of ours stands instead, and nobody can tell: `signal.getsignal` and `signal.signal` go on to say
SIG_DFL, and setting SIG_DFL puts ours back. A handler of the program's own is never touched: it decides what happens.

Children keep the kernel's way. `multiprocessing.Pool` ends its workers by SIGTERM while it holds the lock that they
wait for, and a handler in Python never runs when the signal comes just before such a wait (seen with CPython 3.11).
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from everyspan.instrument import patch
from everyspan.record.tally import TALLY

_GRACE_S = 0.2


class Termination:
    """What SIGTERM does in this process, but not in its forked children, while nobody else handles it.

    Args:
        leave: delivers for at most so many seconds; called in a thread of its own.
        within_s: how long the end may be put off.
    """

    def __init__(self, leave: Callable[[float], None], *, within_s: float) -> None:
        self._leave = leave
        self._within_s = within_s
        self._leaving = False
        self._pid = 0
        self._handler = self._handle  # one object: a bound method is another one each time it is looked up

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

    def forked(self) -> None:
        """In a forked child: SIGTERM is left to the kernel again."""
        set_handler, get_handler = patch.original_of(signal.signal), patch.original_of(signal.getsignal)
        if get_handler(signal.SIGTERM) is self._handler:
            set_handler(signal.SIGTERM, signal.SIG_DFL)

    def _set(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if args == (signal.SIGTERM, signal.SIG_DFL) and os.getpid() == self._pid:
            args = (signal.SIGTERM, self._handler)
        return self._as_seen(original(*args, **kwargs))

    def _get(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._as_seen(original(*args, **kwargs))

    def _as_seen(self, handler: Any) -> Any:
        return signal.SIG_DFL if handler is self._handler else handler

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._leaving:  # a second SIGTERM while we deliver means: now
            self._leaving = True
            try:
                self._deliver()
            except Exception as error:  # noqa: BLE001 - no thread could be started, or gevent's hub may not wait
                TALLY.fault("deliver at SIGTERM", error)
        self._die()

    def _deliver(self) -> None:
        """Let another thread deliver while this one stands still, wherever the signal found it.

        It may have been found with a lock in its hand (a span's, the log's, logging's) that the delivery needs. Here
        that would be a deadlock; there it costs no more than the time, and the spool keeps everything. For the same
        reason the thread is started below `threading`, whose locks we may be holding, too.
        """
        done = _thread.allocate_lock()
        done.acquire()

        def deliver() -> None:
            try:
                self._leave(self._within_s)
            except Exception as error:  # noqa: BLE001 - the guard of this thread
                TALLY.fault("deliver at SIGTERM", error)
            finally:
                done.release()

        _thread.start_new_thread(deliver, ())
        done.acquire(timeout=self._within_s + _GRACE_S)

    def _die(self) -> None:
        set_handler = patch.original_of(signal.signal)
        set_handler(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        # Still here: we are process 1 of a container, to which the kernel sends no signal that it does not handle.
        set_handler(signal.SIGTERM, self._handler)
        self._leaving = False
