"""Lets the n-th system call of one kind fail in this process: in the C library, or, without a compiler, in `os`."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from everyspan.spool import steady_write

SHORT = 0
"""In place of an error number: the call does half of its work and says so."""

CALLS = (
    "write",
    "open",
    "rename",
    "fsync",
    "fdatasync",
    "flock",
    "unlink",
    "mkdir",
    "rmdir",
    "pwrite",
    "pread",
    "ftruncate",
)
"""In the order of the enum in failing.c."""

ERRORS: dict[str, tuple[int, ...]] = {
    "write": (errno.EIO, errno.ENOSPC, errno.EINTR, SHORT),
    "open": (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EROFS, errno.EMFILE),
    "rename": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EINTR),
    "fdatasync": (errno.EIO, errno.ENOSPC, errno.EINTR),
    "flock": (errno.EIO, errno.EINTR, errno.ENOLCK),
    "unlink": (errno.EIO, errno.EROFS),
    "mkdir": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "rmdir": (errno.EIO, errno.EROFS),
    "pwrite": (errno.EIO, errno.ENOSPC, errno.EINTR, SHORT),
    "pread": (errno.EIO, errno.EINTR, SHORT),
    "ftruncate": (errno.EIO, errno.EROFS),
}
"""What each can answer on a bad day."""


class Faults(Protocol):
    """One fault at a time."""

    def arm(self, call: str, *, nth: int, number: int, lasting: bool) -> None:
        """From now on the `nth` such call fails with error `number`, or, when `lasting`, all from there on."""

    def disarm(self) -> int:
        """Nothing fails any more; returns how many did."""


def compiled(source: Path, folder: Path) -> Path | None:
    """The library for LD_PRELOAD, or None on a machine without gcc."""
    if shutil.which("gcc") is None:
        return None
    library = folder / "failing.so"
    command = ["gcc", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


class InLibc:
    """By the library that this process was started with; see failing.c."""

    def __init__(self, below: Path) -> None:
        self._library = ctypes.CDLL(None)
        self._library.torture_below(str(below).encode())

    def arm(self, call: str, *, nth: int, number: int, lasting: bool) -> None:
        """See `Faults`."""
        self._library.torture_arm(CALLS.index(call), nth, number, int(lasting))

    def disarm(self) -> int:
        """See `Faults`."""
        self._library.torture_disarm()
        return int(self._library.torture_fired())


class InPython:
    """By replacing the functions of `os` and `fcntl`. Writes that keep the GIL are turned off, since none sees them."""

    def __init__(self, below: Path) -> None:
        self._below = str(below)
        self._armed = ""
        self._nth = self._number = self._seen = self._fired = 0
        self._lasting = False
        steady_write._libc_write = lambda: None
        for name in (*(name for name in CALLS if name != "flock"), "replace"):
            setattr(os, name, self._wrapped(name.replace("replace", "rename"), getattr(os, name)))
        fcntl.flock = self._wrapped("flock", fcntl.flock)

    def arm(self, call: str, *, nth: int, number: int, lasting: bool) -> None:
        """See `Faults`."""
        self._armed, self._nth, self._number, self._lasting = call, nth, number, lasting
        self._seen = self._fired = 0

    def disarm(self) -> int:
        """See `Faults`."""
        self._armed = ""
        return self._fired

    def _wrapped(self, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(where: Any, *arguments: Any, **named: Any) -> Any:
            if call != self._armed or not self._is_ours(where):
                return real(where, *arguments, **named)
            self._seen += 1
            if self._seen < self._nth or (self._seen > self._nth and not self._lasting):
                return real(where, *arguments, **named)
            self._fired += 1
            if self._number == errno.EINTR:
                return real(where, *arguments, **named)  # the real ones try again by themselves (PEP 475)
            if self._number != SHORT:
                raise OSError(self._number, os.strerror(self._number))
            half = arguments[0] // 2 + 1 if call == "pread" else arguments[0][: (len(arguments[0]) + 1) // 2]
            return real(where, half, *arguments[1:], **named)

        return wrapper

    def _is_ours(self, where: Any) -> bool:
        try:
            path = os.readlink(f"/proc/self/fd/{where}") if isinstance(where, int) else os.fspath(where)
        except OSError:
            return False
        return str(path).startswith(self._below)
