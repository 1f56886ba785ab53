"""Where a frame goes: to disk, else into memory, else into the account of what was dropped."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from everyspan.clock import monotonic_s
from everyspan.spool.backlog import Batch
from everyspan.spool.notes import note
from everyspan.spool.ring import Held, Ring
from everyspan.spool.steady_write import SteadyWrite
from everyspan.spool.tally import DropNote, Tally
from everyspan.spool.writer import Writer
from everyspan.wire.frame import CARGO, HEADER_BYTES, MAX_PAYLOAD_BYTES, Kind
from everyspan.wire.stamp import STAMP_LENGTH, format_stamp

_RETRY_AFTER_S = 0.05

DISK, CAP, TOO_LARGE, DELETED, INTERRUPTED = "disk", "cap", "too large", "deleted", "interrupted"
"""Why a frame was dropped: the disk refused it, `cap_bytes` were waiting, it was longer than any frame may be,
somebody deleted its segment before it was delivered, a signal handler's exception broke its append off."""


class Kept(Enum):
    """Where a frame is when `append` returns."""

    DISK = "in a segment"
    MEMORY = "in memory; it goes to disk as soon as the disk takes it"
    DROPPED = "nowhere; its number and the reason will be told to the destination"


class _CapReachedError(OSError):
    """`cap_bytes` wait on disk."""


class Keeper:
    """Places the frames of one log in one process, writer after writer. The log's lock guards it."""

    def __init__(self, root: Path, *, about: Mapping[str, str], cap_bytes: int, segment_bytes: int) -> None:
        self.writer: Writer | None = None
        self.tally = Tally()
        self.ring = Ring()
        self.placed = 0
        """Frames that reached a segment; it moves after the write, so that `sync` can read it without the lock."""
        self._root = root
        self._about = about
        self._cap_bytes = cap_bytes
        self._segment_bytes = segment_bytes
        self._write = SteadyWrite()
        self._retry_at_s = 0.0
        self._refusal = DISK
        self._finishing = False

    @property
    def crowded(self) -> bool:
        """Whether four fifths of the cap are in use."""
        return self.writer is not None and self.writer.waiting_bytes * 5 >= self._cap_bytes * 4

    def writer_now(self) -> Writer:
        """The writer for the next frame; a new one at first and after the last one was closed."""
        if self.writer is None or self.writer.closed:
            self.writer = Writer(
                self._root, about=self._about, segment_bytes=self._segment_bytes, write=self._write
            )
        return self.writer

    def keep(self, kind: Kind, payload: bytes | bytearray, stamp_at: int | None) -> Kept:
        """Number one frame, stamp it, and put it where there is room."""
        writer = self.writer_now()
        seq = writer.next_seq()
        kept = Kept.DROPPED
        reason = INTERRUPTED
        try:
            if stamp_at is not None:
                payload = payload if isinstance(payload, bytearray) else bytearray(payload)
                payload[stamp_at : stamp_at + STAMP_LENGTH] = format_stamp(writer.id, seq)
            kept = self._place(writer, Held(kind, seq, payload))
            reason = TOO_LARGE if len(payload) > MAX_PAYLOAD_BYTES else self._refusal
        except BaseException:
            # KeyboardInterrupt from the user's signal handler: it may have risen before or after the write.
            kept = self._whereabouts(writer, kind, seq)
            raise
        finally:
            self._account(kept, kind, seq, reason)
        return kept

    def settle(self) -> None:
        """Bring what memory holds, and the news of what was dropped, to disk, when the disk takes it again."""
        writer = self.writer
        if writer is None or writer.closed:
            return
        if writer.vanished():
            self._start_over(writer)
        if (self.ring or self.tally.untold()) and monotonic_s() >= self._retry_at_s:
            self._tried(writer, None)

    def finish(self) -> None:
        """Write CLOSE and give the directory up. What the disk still refuses is counted as dropped."""
        writer = self.writer
        if writer is None or writer.closed:
            return
        # Over the cap by the few MiB that memory holds, rather than without them.
        self._finishing, self._retry_at_s = True, 0.0
        self.settle()
        self._finishing = False
        while self.ring:
            held = self.ring.shift()
            self.tally.in_memory -= held.kind in CARGO
            self._account(Kept.DROPPED, held.kind, held.seq, DISK)
        try:
            if writer.last_seq:
                self._catch_up(writer)
                writer.put(Kind.CLOSE, 0, note(Kind.CLOSE, {"writer": writer.id, "last": writer.last_seq}))
        except OSError as error:
            self.tally.failed(error)
        self.tally.forget_untold()
        writer.close()

    def settled(self, writer: Writer, batch: Batch, *, seq: int, aside: bool) -> None:
        """The destination has, or has refused, a batch of `writer` whose highest number is `seq`."""
        spans = batch.spans
        if aside:
            self.tally.set_aside += spans
        else:
            self.tally.acknowledged += spans
        if batch.last.segment < writer.first_number:
            # Delivered, though its file was deleted meanwhile and it was counted as dropped.
            self.tally.dropped[DELETED] -= spans
            self.tally.on_disk += spans
            return
        writer.waiting_spans -= spans
        writer.settled_bytes += len(batch.body)
        writer.settled_seq = max(writer.settled_seq, seq)

    def _place(self, writer: Writer, held: Held) -> Kept:
        if len(held.payload) > MAX_PAYLOAD_BYTES:
            return Kept.DROPPED
        if writer.vanished():
            self._start_over(writer)
        if (not self._retry_at_s or monotonic_s() >= self._retry_at_s) and self._tried(writer, held):
            return Kept.DISK
        # The caller may use its bytearray again, so memory gets a copy.
        return Kept.MEMORY if self.ring.offer(held._replace(payload=bytes(held.payload))) else Kept.DROPPED

    def _tried(self, writer: Writer, held: Held | None) -> bool:
        try:
            self._catch_up(writer)
            if held is not None:
                self._to_disk(writer, held)
        except OSError as error:
            if isinstance(error, _CapReachedError):
                self._refusal = CAP
            else:
                self._refusal = DISK
                self.tally.failed(error)
            self._retry_at_s = monotonic_s() + _RETRY_AFTER_S
            return False
        self._retry_at_s = 0.0
        return True

    def _catch_up(self, writer: Writer) -> None:
        """Write what is older first, so that a segment's numbers stay in order."""
        while self.ring:
            held = self.ring.oldest()
            if writer.disk_seq < held.seq:  # else an exception broke in between the write and the shift
                self._to_disk(writer, held)
            self.ring.shift()
            self.tally.in_memory -= held.kind in CARGO
            self.tally.on_disk += held.kind in CARGO
        for drop in self.tally.untold():
            self._tell(writer, drop)

    def _tell(self, writer: Writer, drop: DropNote) -> None:
        content = {"writer": writer.id, "reason": drop.reason, "ranges": drop.ranges, "spans": drop.spans}
        writer.put(Kind.DROP, 0, note(Kind.DROP, content))
        self.tally.told(drop)

    def _to_disk(self, writer: Writer, held: Held) -> None:
        needed = writer.waiting_bytes + HEADER_BYTES + len(held.payload)
        if needed > self._cap_bytes and not self._finishing:
            raise _CapReachedError(
                errno.EDQUOT, f"{writer.waiting_bytes} bytes wait; the cap is {self._cap_bytes}"
            )
        writer.put(held.kind, held.seq, held.payload)
        self.placed += 1

    def _whereabouts(self, writer: Writer, kind: Kind, seq: int) -> Kept:
        if writer.holds(kind, seq):
            self.placed += 1
            return Kept.DISK
        return Kept.MEMORY if self.ring and self.ring.newest().seq == seq else Kept.DROPPED

    def _account(self, kept: Kept, kind: Kind, seq: int, reason: str) -> None:
        spans = int(kind in CARGO)
        if kept is Kept.DISK:
            self.tally.on_disk += spans
        elif kept is Kept.MEMORY:
            self.tally.in_memory += spans
        else:
            self.tally.drop(reason, seq, seq, spans=spans)

    def _start_over(self, writer: Writer) -> None:
        """Somebody deleted or moved the directory. What was in it and not delivered is gone, and is told."""
        if writer.disk_seq > writer.settled_seq:
            spans = writer.waiting_spans
            self.tally.on_disk -= spans
            self.tally.drop(DELETED, writer.settled_seq + 1, writer.disk_seq, spans=spans)
        writer.start_over()
