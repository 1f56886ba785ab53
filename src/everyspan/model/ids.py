"""The identifiers that travel with a span, and how new ones are made."""

from __future__ import annotations

import os
import random
from typing import NewType

from opentelemetry.sdk.trace.id_generator import IdGenerator

WriterId = NewType("WriterId", str)
"""One process incarnation that writes a spool: `<pid, 7 digits>-<12 hex>`, always 20 characters."""

Seq = NewType("Seq", int)
"""A frame's number within its writer: contiguous from 1, never reused."""

WRITER_ID_LENGTH = 20


def new_writer_id() -> WriterId:
    """A writer id that no other process has; the pid in it is a label, not an identity."""
    return WriterId(f"{os.getpid() % 10_000_000:07d}-{os.urandom(6).hex()}")


_random = random.Random()
"""Seeded by the operating system, and out of reach of a program's `random.seed()`."""
# Not `os.urandom` for each id: it gives the GIL away, and beside a busy thread getting it back takes milliseconds.
os.register_at_fork(after_in_child=_random.seed)


class RandomIds(IdGenerator):
    """Trace and span ids that no other process repeats, forked ones included.

    The OpenTelemetry SDK draws them from the global `random`, so `random.seed(42)` in an evaluation script
    makes every run produce the same ids and stores drop the "duplicates"
    (opentelemetry-sdk 1.45.2, sdk/trace/id_generator.py).
    """

    def generate_span_id(self) -> int:
        """A random non-zero 64-bit number."""
        return _random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """A random non-zero 128-bit number."""
        return _random.getrandbits(128) or 1
