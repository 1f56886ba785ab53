"""What keys have used up, on disk: one line for each, written over in place whenever it changes.

A write goes to the operating system and is not synced: it survives the death of the process, however that dies, and
costs a request some twenty microseconds. When the machine dies, what it had not yet written by itself is forgiven.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LOGGER = logging.getLogger(__name__)
_LINE_BYTES = 256
_LONGEST_NAME = 80


class Supply(NamedTuple):
    """What a key had left of one limit."""

    most: int
    left: float
    at_ns: int
    """When that was so."""


Supplies = tuple[Supply | None, Supply | None]
"""Requests and bytes; None where there is no limit."""


class KeptQuotas:
    """The file. Its caller sees to it that one thread at a time is here, and one server."""

    def __init__(self, path: Path) -> None:
        """Reads what is there, and writes it anew without lines that cannot be read.

        Raises:
            OSError: the file cannot be read or written.
        """
        found = dict(_read(path))
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        self._file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._line_of: dict[str, int] = {}
        self.failures = 0
        """Writes that did not work: what they said is forgiven when the server ends now."""
        self.found = found
        """What keys had left when the last server ended, by name."""
        for name, supplies in found.items():
            self.put(name, supplies)
        os.fsync(self._file)
        fresh.replace(path)

    def put(self, public: str, supplies: Supplies) -> None:
        """Keep what a key has left; when this returns it survives the death of the process."""
        name = name_of(public)
        number = self._line_of.setdefault(name, len(self._line_of))
        line = json.dumps([name, *supplies]).encode().ljust(_LINE_BYTES - 1) + b"\n"
        try:
            os.pwrite(self._file, line, number * _LINE_BYTES)
        except OSError as full:
            if not self.failures:
                _LOGGER.error("what keys have used up cannot be kept: %s; a restart forgives it", full)
            self.failures += 1

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)


def name_of(public: str) -> str:
    """The name of a key in the file: its public half, or a digest where that is too long for a line."""
    plain = json.dumps(public)[1:-1]
    return public if len(plain) <= _LONGEST_NAME else hashlib.sha256(public.encode()).hexdigest()


def _read(path: Path) -> Iterator[tuple[str, Supplies]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for start in range(0, len(content), _LINE_BYTES):
        try:
            name, requests, size = json.loads(content[start : start + _LINE_BYTES].decode())
            yield str(name), (_supply(requests), _supply(size))
        except (ValueError, TypeError) as damaged:
            _LOGGER.error("a line of %s cannot be read, its key begins anew: %s", path, damaged)


def _supply(said: list[float] | None) -> Supply | None:
    if said is None:
        return None
    most, left, at_ns = said
    return Supply(int(most), float(left), int(at_ns))
