"""Hear of a signal in a thread of our own, whatever the main thread is doing.

Python runs a signal's handler in the main thread, between two of its steps. When that thread computes in C, or went to
wait for a lock just after the signal came (it does not look again once it has the global lock back; CPython 3.11), the
handler waits too, for as long as that takes. What C does at once at each signal is to write its number to the
descriptor of `signal.set_wakeup_fd`: here that is a pipe with a thread at its other end.
"""

from __future__ import annotations

import _thread
import fcntl
import functools
import os
import signal
import sys
import termios
import types
from collections.abc import Callable

from everyspan.record.tally import TALLY


class Wakeup:
    """The process's wakeup descriptor, while nobody else sets one; nobody can tell.

    An event loop that sets its own gets it, and ours comes back when it is done: loops watch their descriptor.

    Args:
        number: of the signal to listen for.
        heard: called after it came, in a thread that is hidden from `threading`.
    """

    def __init__(self, number: signal.Signals, heard: Callable[[], None]) -> None:
        self._number = number
        self._heard = heard
        self._set: Callable[..., int] = signal.set_wakeup_fd
        self._pid = 0
        self._ends = (-1, -1)
        self._listening = False

    def install(self) -> None:
        """Take the descriptor; in the main thread, as Python demands. Does nothing the second time."""
        if self._pid:
            return
        self._pid = os.getpid()
        self._ends = os.pipe()
        os.set_blocking(self._ends[1], False)
        self._set = signal.set_wakeup_fd

        @functools.wraps(self._set)
        def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
            return self._exchange(fd, warn_on_full_buffer=warn_on_full_buffer)

        signal.set_wakeup_fd = set_wakeup_fd
        theirs = self._set(self._ends[1], warn_on_full_buffer=False)
        if theirs != -1:
            self._set(theirs)

    def listen(self) -> None:
        """Start the thread; signals that came before are heard then.

        There is none under gevent, whose threads are not the system's and must not wait for a pipe.
        """
        ours = self._pid == os.getpid() and not self._listening
        if not ours or not isinstance(_thread.start_new_thread, types.BuiltinFunctionType):
            return
        self._listening = True
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError as error:  # no threads left, or the interpreter is ending
            TALLY.fault("listen for signals", error)

    def again(self) -> bool:
        """Whether another signal came that nobody has read yet: `heard`, while it runs, hears of none."""
        waiting = fcntl.ioctl(self._ends[0], termios.FIONREAD, bytes(4))
        return int.from_bytes(waiting, sys.byteorder) > 0

    def forked(self) -> None:
        """In a forked child: its signals are not its parent's."""
        if self._pid:
            theirs = self._set(-1)
            if theirs not in (-1, self._ends[1]):
                self._set(theirs)
            for end in self._ends:
                os.close(end)
            self._pid = 0
            self._ends = (-1, -1)  # their numbers may be another file's from now on

    def _exchange(self, fd: int, *, warn_on_full_buffer: bool) -> int:
        if fd == -1 and self._pid == os.getpid():
            theirs = self._set(self._ends[1], warn_on_full_buffer=False)
        else:
            theirs = self._set(fd, warn_on_full_buffer=warn_on_full_buffer)
        return -1 if theirs == self._ends[1] else theirs

    def _run(self) -> None:
        while True:
            try:
                numbers = os.read(self._ends[0], 512)
            except OSError:
                return  # a program that turned into a daemon closed all descriptors
            if not numbers:
                return
            if self._number in numbers:
                try:
                    self._heard()
                except Exception as error:  # noqa: BLE001 - the guard of this thread
                    TALLY.fault("answer a signal", error)
