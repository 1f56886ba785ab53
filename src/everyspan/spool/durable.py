"""From the page cache to stable storage: one fdatasync for everybody who waits."""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from everyspan.errors import SpoolError

INTERVAL_S = 0.5


class Syncs(Protocol):
    """What the interval thread syncs."""

    def sync(self) -> None:
        """Bring everything appended to stable storage; SpoolError when that failed, and was counted."""


class IntervalSync:
    """A thread that syncs a log every 500 ms, until the log is closed or gone. Only for Fsync.INTERVAL."""

    def __init__(self, log: Syncs) -> None:
        self._stop = threading.Event()
        self.failures = 0
        """Syncs that failed; the log counts them by errno."""
        self._thread = threading.Thread(
            target=self._run, args=(weakref.ref(log),), name="everyspan-fdatasync", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread, soon."""
        self._stop.set()

    def _run(self, log: weakref.ref[Syncs]) -> None:
        while not self._stop.wait(INTERVAL_S):
            found = log()
            if found is None:
                return
            try:
                found.sync()
            except SpoolError:
                self.failures += 1
            del found  # or this thread keeps the log alive while it sleeps


def reach_disk(files: Iterable[Path], directories: Iterable[Path]) -> None:
    """fdatasync every file, and fsync the directories so that the names are safe too.

    A file that is gone was delivered and deleted. A failed fdatasync must not be tried again on the same file: the
    kernel may have thrown the pages away, and the second call would say that all is well.

    Raises:
        OSError: at least one of them failed; the others were tried all the same.
    """
    failure: OSError | None = None
    for path, flags in [*((file, 0) for file in files), *((each, os.O_DIRECTORY) for each in directories)]:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        except OSError as error:
            if error.errno != errno.ENOENT:
                failure = error
            continue
        try:
            os.fsync(fd) if flags else os.fdatasync(fd)
        except OSError as error:
            failure = error
        finally:
            os.close(fd)
    if failure is not None:
        raise failure
