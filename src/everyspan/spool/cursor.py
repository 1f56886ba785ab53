"""How far a writer's frames are settled, kept beside them in 16 bytes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from everyspan.spool.backlog import Position

ACKED = "acked"

_TWO_NUMBERS = struct.Struct("<QQ")


def load_cursor(directory: Path) -> Position:
    """Where to begin; the very beginning when nothing was settled or the file is no good.

    Losing it makes duplicates, which the stamp exposes. It is written after the answer and so is never ahead.
    """
    try:
        fd = os.open(directory / ACKED, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            held = os.pread(fd, _TWO_NUMBERS.size, 0)
        finally:
            os.close(fd)
    except OSError:
        return Position(0, 0)
    return Position(*_TWO_NUMBERS.unpack(held)) if len(held) == _TWO_NUMBERS.size else Position(0, 0)


def save_cursor(directory: Path, position: Position) -> None:
    """Remember `position`, in the page cache.

    Raises:
        OSError: it could not be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(directory / ACKED, flags, 0o600)
    try:
        os.pwrite(fd, _TWO_NUMBERS.pack(*position), 0)
    finally:
        os.close(fd)
