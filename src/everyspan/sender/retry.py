"""When to try again: doubling waits with jitter, and the server's own wish."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC

from everyspan.clock import NowNs, monotonic_s, now_ns

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
"""A server, or a wrong date, can not silence us for longer than five minutes."""


# Not the global `random`: user code seeds it and expects its sequence untouched.
_SYSTEM_RANDOM = random.SystemRandom()


class BackOff:
    """How long one destination is left alone after failures in a row. Used by one thread.

    Waits are drawn from the upper half of 0.5, 1, 2, ... 30 seconds, so that a thousand processes which lost
    the same collector do not all come back in the same instant. They are measured on a monotonic clock: a
    wall clock that steps must not make a wait longer.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = monotonic_s,
        wall_ns: NowNs = now_ns,
        jitter: Callable[[], float] = _SYSTEM_RANDOM.random,
    ) -> None:
        self._clock = clock
        self._wall_ns = wall_ns
        self._jitter = jitter
        self._failures = 0
        self._until = 0.0
        self._asked_to_wait = False

    def failed(self, *, retry_after: str | None = None, longest_s: float = LONGEST_WAIT_S) -> float:
        """Note one more failure; returns the seconds to wait from now.

        Args:
            longest_s: most seconds that we choose ourselves; a server may ask for more.
        """
        limit = min(FIRST_WAIT_S * 2.0 ** min(self._failures, 16), longest_s)
        self._failures += 1
        wait_s = limit * (0.5 + self._jitter() / 2)
        asked_s = retry_after_s(retry_after, wall_ns=self._wall_ns) if retry_after else None
        self._asked_to_wait = asked_s is not None
        wait_s = max(wait_s, asked_s or 0.0)
        self._until = self._clock() + wait_s
        return wait_s

    def succeeded(self) -> None:
        """Forget all failures."""
        self._failures = 0
        self._until = 0.0
        self._asked_to_wait = False

    def hurry(self) -> None:
        """Try at once, because somebody waits for it; a wait that the server asked for stays."""
        if not self._asked_to_wait:
            self._until = 0.0

    def wait_s(self) -> float:
        """Seconds until the next try; 0 when it may be made now."""
        return max(0.0, self._until - self._clock())


def retry_after_s(value: str, *, wall_ns: NowNs = now_ns) -> float | None:
    """The seconds that a `Retry-After` header asks for, at most five minutes; None when it makes no sense.

    RFC 9110 section 10.2.3: whole seconds, or a date.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER_S)
    from email.utils import parsedate_to_datetime  # 3 ms, for the few servers that name a date

    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(0.0, date.timestamp() - wall_ns() / 1e9), LONGEST_RETRY_AFTER_S)
