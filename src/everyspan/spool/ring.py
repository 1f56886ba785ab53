"""Frames in memory while the disk refuses them."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from everyspan.wire.frame import Kind

RING_BYTES = 8 << 20
"""Room for some hundreds of calls: a disk that is full for minutes, not for hours."""


class Held(NamedTuple):
    """A frame that has its number and is not yet in a segment."""

    kind: Kind
    seq: int
    payload: bytes | bytearray


class Ring:
    """First in, first out, up to `RING_BYTES` of payload. Its log's lock guards it."""

    def __init__(self) -> None:
        self.frames: deque[Held] = deque()
        """Oldest first."""
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self.frames)

    def fits(self, size_bytes: int) -> bool:
        """Whether there is room for a payload of this size."""
        return self._size_bytes + size_bytes <= RING_BYTES

    def offer(self, held: Held) -> bool:
        """Keep `held`; False when there is no room for it."""
        if not self.fits(len(held.payload)):
            return False
        self.frames.append(held)
        self._size_bytes += len(held.payload)
        return True

    def oldest(self) -> Held:
        """The frame to write next, which stays here until `shift`."""
        return self.frames[0]

    def newest(self) -> Held:
        """The frame that came last."""
        return self.frames[-1]

    def first(self, limit_bytes: int) -> list[Held]:
        """The oldest frames: as many as fit the limit, but at least one where there is one."""
        found: list[Held] = []
        for held in self.frames:
            limit_bytes -= len(held.payload)
            if found and limit_bytes < 0:
                break
            found.append(held)
        return found

    def shift(self) -> Held:
        """Take the oldest frame out."""
        held = self.frames.popleft()
        self._size_bytes -= len(held.payload)
        return held
