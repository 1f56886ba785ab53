"""How much may wait on disk for a destination, and what is said when it can not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from everyspan.clock import monotonic_s
from everyspan.model.ids import WRITER_ID_LENGTH, WriterId
from everyspan.settings import Drop
from everyspan.spool.cursor import load_cursor
from everyspan.spool.segment import segments_in

MIB = 1 << 20
MOST_BYTES = 1024 * MIB
SPARE_BYTES = 512 * MIB
LEAST_BYTES = 16 * MIB

_LOOK_EVERY_FRAMES = 64
_LOOK_EVERY_S = 10.0
_LOOK_EVERY_S_WHEN_CROWDED = 1.0

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a disk says that others may make room on; any other refusal is not cured by waiting."""


class WhenFull(NamedTuple):
    """What to do with a frame when the disk may take no more and memory is full, too."""

    drop: Drop = Drop.NEWEST
    block_timeout_s: float = 10.0
    """How long `Drop.BLOCK` waits for room."""


def default_cap_bytes(directory: Path, *, kept_bytes: int) -> int:
    """The limit where nobody set one: 1 GiB, a tenth of the filesystem, or what leaves 512 MiB free.

    On a filesystem of less than 5 GiB a tenth of it stays free instead, or there would be no spool at all on a
    function's 512 MB. Never less than 16 MiB: the last free bytes are worth more than a disk that looks tidy.

    Args:
        kept_bytes: what waits there already; it is not free any more, and must not count against itself.
    """
    try:
        found = os.statvfs(_existing(directory))
    except OSError:
        return MOST_BYTES  # writing there will say what is wrong
    size_bytes, free_bytes = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    if not size_bytes:
        return MOST_BYTES  # a filesystem that does not tell
    tenth = size_bytes // 10
    left_bytes = free_bytes - min(SPARE_BYTES, tenth) + kept_bytes
    return max(LEAST_BYTES, min(MOST_BYTES, tenth, left_bytes))


class Room:
    """The limit for one writer: what the destination may have on disk, less what other writers have there.

    A process that is killed and started again through an outage leaves a writer each time; without the others in
    the account there would be no limit at all. Its log's lock guards it.
    """

    def __init__(self, root: Path, *, cap_bytes: int | None) -> None:
        self._root = root
        self._asked_bytes = cap_bytes
        self._cap_bytes = cap_bytes if cap_bytes is not None else MOST_BYTES
        self._elsewhere_bytes = 0
        self.crowded_at_bytes = self._cap_bytes * 4 / 5
        """How much this writer may have waiting before the spool is nearly full."""
        self._look_at_s = 0.0
        self._asked = 0

    @property
    def cap_bytes(self) -> int:
        """The limit as it was last looked at, for all writers together."""
        return self._cap_bytes

    def has_room(self, writer: WriterId, waiting_bytes: int, more_bytes: int) -> bool:
        """Whether `more_bytes` fit beside the `waiting_bytes` of `writer` and what others have."""
        self._asked += 1
        needed_bytes = waiting_bytes + more_bytes
        if self._asked % _LOOK_EVERY_FRAMES == 1 or needed_bytes >= self.crowded_at_bytes:
            self._look_when_due(writer, waiting_bytes, needed_bytes)
        return needed_bytes + self._elsewhere_bytes <= self._cap_bytes

    def crowded(self, waiting_bytes: int) -> bool:
        """Whether four fifths are in use."""
        return waiting_bytes >= self.crowded_at_bytes

    def _look_when_due(self, writer: WriterId, waiting_bytes: int, needed_bytes: int) -> None:
        now_s = monotonic_s()
        if now_s < self._look_at_s:
            return
        self._look(writer, waiting_bytes)
        # Each look gives the GIL away, and takes as long as there are writers; it shall stay a hundredth.
        pause_s = _LOOK_EVERY_S_WHEN_CROWDED if self.crowded(needed_bytes) else _LOOK_EVERY_S
        self._look_at_s = now_s + max(pause_s, 100 * (monotonic_s() - now_s))

    def _look(self, writer: WriterId, waiting_bytes: int) -> None:
        try:
            others = [name for name in os.listdir(self._root) if len(name) == WRITER_ID_LENGTH]
            self._elsewhere_bytes = sum(_waiting_in(self._root / name) for name in others if name != writer)
        except OSError:
            self._elsewhere_bytes = 0  # nothing was written yet, or can be: the write itself will tell
        if self._asked_bytes is None:
            kept_bytes = waiting_bytes + self._elsewhere_bytes
            self._cap_bytes = default_cap_bytes(self._root, kept_bytes=kept_bytes)
        self.crowded_at_bytes = self._cap_bytes * 4 / 5 - self._elsewhere_bytes


def _waiting_in(directory: Path) -> int:
    """Bytes behind the cursor: the last segment stays until there is another, though all of it was delivered."""
    cursor = load_cursor(directory)
    sizes = ((each.number, each.size_bytes) for each in segments_in(directory))
    return sum(
        size_bytes - (cursor.offset if number == cursor.segment else 0)
        for number, size_bytes in sizes
        if number >= cursor.segment
    )


def _existing(directory: Path) -> Path:
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return directory


def refusal_in_words(directory: Path, error: OSError) -> str:
    """What a user can do about a disk that takes nothing, as one warning."""
    why = {
        errno.EROFS: "it is on a read-only filesystem",
        errno.EACCES: "this user may not write there",
        errno.EPERM: f"{error.strerror or 'it is not ours'}",
        errno.ELOOP: "a symlink stands where a directory or file of ours should be",
        errno.ENOTDIR: "a file stands where a directory should be",
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the quota is used up",
        errno.EMFILE: "this process has too many open files",
    }.get(error.errno or 0, f"{error.strerror or error}")
    place = f" ({error.filename})" if error.filename else ""
    return (
        f"the spool {directory} can not be used: {why}{place}. Spans wait in memory, up to 8 MiB, and are sent from "
        "there; what does not fit is dropped and counted. Set EVERYSPAN_SPOOL_DIR to a directory that this process "
        "can write to."
    )
