"""Time, read in one place so that tests can hold it still."""

from __future__ import annotations

import time
from collections.abc import Callable

NowNs = Callable[[], int]
"""A wall clock: nanoseconds since 1970-01-01 UTC."""


# The functions themselves: a recorded call reads the clock a dozen times.
now_ns = time.time_ns
"""Wall-clock time in nanoseconds since 1970-01-01 UTC."""

monotonic_s = time.monotonic
"""Seconds on a clock that never steps back; only differences mean anything."""
