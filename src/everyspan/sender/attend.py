"""Looking after several lanes at once from one thread: poll their sockets, give each what it waits for."""

from __future__ import annotations

import math
import os
import select
from collections.abc import Sequence

from opentelemetry import context

from everyspan.sender.lane import Lane
from everyspan.spool.steady_write import SteadyWrite

# The keys by which instrumentations agree to stay out: the API's, and the bare word that contributed ones also set.
_SUPPRESSED = (
    context._SUPPRESS_INSTRUMENTATION_KEY,
    context._SUPPRESS_HTTP_INSTRUMENTATION_KEY,
    "suppress_instrumentation",
)


class Bell:
    """Wakes a thread that polls: `ring` from any thread or signal handler, `fd` becomes readable, `answer` clears."""

    def __init__(self) -> None:
        self.fd, self._ringing_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._write = SteadyWrite()  # the ring is part of the user's call

    def ring(self) -> None:
        """Wake the thread; nothing happens when there is none any more."""
        try:
            self._write(self._ringing_fd, b"\0")
        except OSError:
            return  # full: that rings as well; or closed: there is nobody left to wake

    def answer(self) -> None:
        """Take note of all rings so far."""
        os.read(self.fd, 4096)

    def close(self) -> None:
        """Let go of the pipe; in a forked child its copies, which ring in the parent."""
        if self._ringing_fd < 0:
            return
        # The number goes first: a late ring must meet EBADF, not the next file that gets the same number.
        ringing_fd, self._ringing_fd = self._ringing_fd, -1
        os.close(ringing_fd)
        os.close(self.fd)


def attend(lanes: Sequence[Lane], *, bell: Bell | None, longest_s: float) -> None:
    """Wait until a socket stirs, the bell rings or something falls due, and let the lanes act on it.

    `poll` and not `epoll`: an epoll set is shared with forked children, a poll set is nobody's.
    """
    poller = select.poll()
    by_fd: dict[int, Lane] = {}
    if bell is not None:
        poller.register(bell.fd, select.POLLIN)
    for lane in lanes:
        longest_s = min(longest_s, lane.due_in_s())
        if lane.waits_for is not None:
            fd = lane.waits_for.sock.fileno()
            poller.register(fd, lane.waits_for.events)
            by_fd[fd] = lane
    timeout_ms = None if math.isinf(longest_s) else math.ceil(max(0.0, longest_s) * 1000)
    for fd, _ in poller.poll(timeout_ms):
        if fd in by_fd:
            by_fd[fd].step()
        elif bell is not None:
            bell.answer()
    for lane in lanes:
        lane.expire()


def suppress_instrumentation() -> None:
    """Keep this thread's own requests out of the user's traces, from here to the end of the thread."""
    current = context.get_current()
    for key in _SUPPRESSED:
        current = context.set_value(key, True, current)
    context.attach(current)
