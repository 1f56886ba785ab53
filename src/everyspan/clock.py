"""Time, read in one place so that tests can hold it still."""

from __future__ import annotations

import time
from collections.abc import Callable

NowNs = Callable[[], int]
"""A wall clock: nanoseconds since 1970-01-01 UTC."""


def now_ns() -> int:
    """Wall-clock time in nanoseconds since 1970-01-01 UTC."""
    return time.time_ns()


def monotonic_s() -> float:
    """Seconds on a clock that never steps back; only differences mean anything."""
    return time.monotonic()
