"""Segments: the files that hold a writer's frames."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import NamedTuple

from everyspan.spool.steady_write import SteadyWrite
from everyspan.wire.frame import Frame, scan

_NAME = re.compile(r"(\d{8})-([0-9a-f]{8})\.seg")


class Extent(NamedTuple):
    """A segment's place, and how much of it is whole frames."""

    number: int
    """From 1. Segment 0 is not written frame by frame: see `held.py`."""
    nonce: int
    path: Path
    size_bytes: int


def segment_name(number: int, nonce: int) -> str:
    """The file name of a segment."""
    return f"{number:08d}-{nonce:08x}.seg"


def new_nonce() -> int:
    """What marks the frames of one segment; never 0, so that a hole full of zeros holds no mark."""
    return int.from_bytes(os.urandom(4), "little") or 1


def segments_in(directory: Path) -> list[Extent]:
    """The segments in a writer's directory, oldest first; empty when there is no such directory."""
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    size = entry.stat(follow_symlinks=False).st_size
                    found.append(Extent(int(match[1]), int(match[2], 16), Path(entry.path), size))
    except FileNotFoundError:
        return []
    return sorted(found)


def read_bytes(path: Path, *, start: int = 0, end: int | None = None) -> bytes:
    """A range of a segment, or as much of it as there is.

    Raises:
        OSError: the file can not be read, or is a symlink.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        stop = os.fstat(fd).st_size if end is None else end
        pieces = []
        while start < stop:
            piece = os.pread(fd, stop - start, start)
            if not piece:
                break
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def read_frames(extent: Extent, start: int, *, limit_bytes: int) -> tuple[bytes, list[Frame]]:
    """Bytes of a segment from `start` and the whole frames in them: as many as fit the limit, but at least one.

    No frame at all means that there is none between `start` and the segment's end.

    Raises:
        OSError: the file can not be read.
    """
    data = read_bytes(extent.path, start=start, end=min(extent.size_bytes, start + limit_bytes))
    frames = scan(data, nonce=extent.nonce).frames
    if not frames and start + len(data) < extent.size_bytes:
        # One frame longer than the limit, or damage: in both cases the next frame's end may lie anywhere.
        data = read_bytes(extent.path, start=start, end=extent.size_bytes)
        frames = scan(data, nonce=extent.nonce).frames[:1]
    return data, frames


class Segment:
    """The segment that is being written. One thread at a time: its log's lock is held.

    `size_bytes` counts whole frames only and moves after the write, so a reader that stops there never sees a part.
    """

    fd = -1

    def __init__(self, directory: Path, *, number: int, write: SteadyWrite) -> None:
        """Create the file.

        Raises:
            OSError: it can not be created.
        """
        self.number = number
        self.nonce = new_nonce()
        self.path = directory / segment_name(number, self.nonce)
        self.size_bytes = 0
        self.synced_bytes = 0
        self.last_seq = 0
        """The number of the last frame that has one."""
        self.spoiled = False
        """Something half-written is stuck at its end, or its bytes did not reach the disk: write elsewhere."""
        self._write = write
        self._under_way: tuple[int, int] | None = None
        """Where the file will end, and the number of the frame, while its write is under way."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(self.path, flags, 0o600)

    @property
    def extent(self) -> Extent:
        """Its place and whole frames right now."""
        return Extent(self.number, self.nonce, self.path, self.size_bytes)

    def put(self, record: bytes, seq: int) -> None:
        """Append one frame: all of it or nothing.

        Raises:
            OSError: it is not there.
        """
        if self._under_way is not None:
            self.settle()
        self._under_way = self.size_bytes + len(record), seq or self.last_seq
        try:
            written = self._write(self.fd, record)
        except OSError:
            self._under_way = None
            raise
        if written != len(record):
            # A full disk, a quota or RLIMIT_FSIZE takes a part. We hold the lock, so nothing stands behind it.
            self._under_way = None
            self._cut()
            raise OSError(errno.ENOSPC, f"{written} of {len(record)} bytes fitted")
        self.size_bytes, self.last_seq = self._under_way
        self._under_way = None

    def settle(self) -> None:
        """Find out what became of a write whose `put` an exception broke off.

        A signal handler may raise between the system call and the lines after it: KeyboardInterrupt does. The
        system call itself is never broken off, so the file's length tells.

        Raises:
            OSError: it can not be told, or not be put right; the segment is spoiled then.
        """
        if self._under_way is None:
            return
        (expected, seq), self._under_way = self._under_way, None
        found = os.fstat(self.fd).st_size
        if found == expected:
            self.size_bytes, self.last_seq = found, seq
        elif found != self.size_bytes:
            self._cut()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the file descriptor up; safe to repeat."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _cut(self) -> None:
        try:
            os.ftruncate(self.fd, self.size_bytes)
        except OSError:
            self.spoiled = True  # readers skip the torn piece; what comes next goes to a new file
            raise
