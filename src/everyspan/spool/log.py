"""The write side of the spool: frames on disk before `append` returns, whatever happens next."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from everyspan.settings import Fsync
from everyspan.spool.backlog import Backlog
from everyspan.spool.tally import Counts
from everyspan.wire.frame import Kind


class Kept(Enum):
    """Where a frame is when `append` returns."""

    DISK = "in a segment"
    MEMORY = "in memory; it goes to disk as soon as the disk takes it"
    DROPPED = "nowhere; its number and the reason will be told to the destination"


class Log:
    """One writer's frames, for one destination."""

    def __init__(
        self,
        root: Path,
        *,
        about: Mapping[str, str],
        fsync: Fsync,
        cap_bytes: int,
        segment_bytes: int = 16 << 20,
    ) -> None:
        raise NotImplementedError

    def append(self, kind: Kind, payload: bytes | bytearray, *, stamp_at: int | None = None) -> Kept:
        """Keep one frame."""
        raise NotImplementedError

    def sync(self) -> None:
        """Return when everything appended before is on stable storage."""
        raise NotImplementedError

    @property
    def crowded(self) -> bool:
        """Whether four fifths of `cap_bytes` are in use: time to leave out bodies."""
        raise NotImplementedError

    def counts(self) -> Counts:
        """The numbers right now."""
        raise NotImplementedError

    def backlog(self) -> Backlog | None:
        """The read side of this log's own writer; None before the first append."""
        raise NotImplementedError

    def close(self) -> None:
        """Say that this writer is finished and give its directory up for adoption."""
        raise NotImplementedError
