"""What a writer says besides its spans: which frames it dropped, and which calls ended that no segment shows ended."""

from __future__ import annotations

from collections.abc import Iterable

from everyspan.spool.notes import note
from everyspan.spool.tally import DropNote, Tally
from everyspan.spool.writer import Writer
from everyspan.wire.frame import Kind

_MOST_IN_ONE_FRAME = 10_000


class News:
    """DROP and ENDED frames, each written when the disk takes it, and again when it went before it was heard.

    They are written at the cap, too: a few bytes over it explain many that are not there. Its log's lock guards it.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.ended_calls: list[int] = []
        """Calls by the number of their START frame, which is on disk: without a word a successor makes up their end."""
        self._told_in: list[tuple[int, DropNote | list[int]]] = []
        """In which segments what was said; those of segments that were delivered leave at the next one."""

    def __bool__(self) -> bool:
        """Whether something is still to be said."""
        return bool(self.ended_calls or self._tally.untold())

    def ended(self, begun: Iterable[int]) -> None:
        """Calls whose SPAN frame was settled and is in no segment."""
        self.ended_calls += begun

    def write(self, writer: Writer) -> None:
        """Say everything.

        Raises:
            OSError: the disk does not take it; the rest is still to be said.
        """
        while self.ended_calls:
            begun = self.ended_calls[:_MOST_IN_ONE_FRAME]
            writer.put(Kind.ENDED, 0, note(Kind.ENDED, {"writer": writer.id, "begun": begun}))
            del self.ended_calls[: len(begun)]
            self._said(writer, begun)
        for drop in self._tally.untold():
            writer.put(Kind.DROP, 0, told_by(writer, drop))
            self._tally.told(drop)
            self._said(writer, drop)

    def retell(self, before: int) -> None:
        """Say again what stood in segments before this one: they were deleted before anybody had heard it."""
        for number, said in self._told_in:
            if number >= before:
                continue
            if isinstance(said, DropNote):
                self._tally.retell(said)
            else:
                self.ended_calls += said
        self._told_in = [each for each in self._told_in if each[0] >= before]

    def forget(self) -> None:
        """The writer ended without a disk to tell it to."""
        self.ended_calls.clear()
        self._tally.forget_untold()

    def _said(self, writer: Writer, what: DropNote | list[int]) -> None:
        segment = writer.segment
        if segment is not None:
            self._told_in = [each for each in self._told_in if each[0] >= writer.oldest]
            self._told_in.append((segment.number, what))


def told_by(writer: Writer, drop: DropNote) -> bytes:
    """The payload of a DROP frame."""
    content = {"writer": writer.id, "reason": drop.reason, "ranges": drop.ranges, "spans": drop.spans}
    return note(Kind.DROP, content)
