"""The read side of a log: what waits for the destination, in order, in whole frames."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from everyspan.errors import SpoolError
from everyspan.model.ids import Seq, WriterId
from everyspan.spool.aside import Aside
from everyspan.wire.frame import CARGO, walk


class Position(NamedTuple):
    """A place between two frames of a writer."""

    segment: int
    offset: int


class Batch(NamedTuple):
    """Whole frames of one writer, ready to be posted as they are."""

    body: bytes
    frames: int
    spans: int
    """SPAN (or BATCH) frames among them."""
    spooled_to: Seq
    """The highest number that the writer had given out."""
    closed: bool
    """The writer will not write any more: it said so, or it is dead."""
    first: Position
    last: Position
    """Behind the last frame: where the next batch begins."""
    ends: tuple[Position, ...] = ()
    """Behind each frame, where that is not simply its length further on; empty otherwise."""
    from_memory: bool = False
    """Its frames are in no segment, because the disk takes nothing."""

    def split(self) -> tuple[Batch, Batch]:
        """Two batches of about half the frames each; acknowledge the first one first.

        Raises:
            SpoolError: there is only one frame.
        """
        if self.frames < 2:
            raise SpoolError(f"a batch of {self.frames} frame can not be split")
        frames = list(walk(self.body))
        half = len(frames) // 2
        cut = frames[half].start
        middle = self.ends[half - 1] if self.ends else Position(self.first.segment, self.first.offset + cut)
        spans = sum(frame.kind in CARGO for frame in frames[:half])
        left = self._replace(
            body=self.body[:cut], frames=half, spans=spans, last=middle, ends=self.ends[:half]
        )
        right = self._replace(
            body=self.body[cut:],
            frames=len(frames) - half,
            spans=self.spans - spans,
            first=middle,
            ends=self.ends[half:],
        )
        return left, right


class Backlog(Protocol):
    """What one writer, alive or dead, has for its destination. One thread at a time.

    Nothing is deleted by reading. After a crash at any line a frame may come again, never be skipped.
    """

    writer: WriterId

    @property
    def aside(self) -> Aside:
        """The numbers that were set aside, in earlier processes too."""

    def peek(self, *, limit_bytes: int) -> Batch | None:
        """The oldest frames not yet acknowledged, or None when there are none.

        At most `limit_bytes`, but always at least one frame, however long it is.
        """

    def ack(self, batch: Batch) -> None:
        """The destination has `batch`: do not offer it again, not even after a crash."""

    def set_aside(self, batch: Batch, *, reason: str) -> None:
        """Keep a batch of one frame, with the destination's words, where nobody sends it again.

        Raises:
            SpoolError: there is more than one frame, or it could not be written; then it is offered again.
        """

    def pending(self) -> int:
        """SPAN (or BATCH) frames not yet acknowledged, those in memory included."""

    def interrupted(self) -> int:
        """Of these, how many nobody appended: calls that began, and whose end this backlog makes up."""

    def finish(self) -> bool:
        """Remove an adopted writer's directory when nothing is left in it. False when something is."""
