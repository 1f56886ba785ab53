"""Where a frame goes: to disk, else into memory, else into the account of what was dropped."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from everyspan.clock import monotonic_s
from everyspan.model.ids import Seq
from everyspan.settings import Drop
from everyspan.spool.backlog import Batch
from everyspan.spool.news import News, told_by
from everyspan.spool.notes import note
from everyspan.spool.ring import RING_BYTES, Held, Ring
from everyspan.spool.room import NO_ROOM, Room, refusal_in_words
from everyspan.spool.steady_write import SteadyWrite
from everyspan.spool.tally import DropNote, Tally
from everyspan.spool.writer import Writer
from everyspan.wire.envelope import unwrap
from everyspan.wire.frame import CARGO, HEADER_BYTES, MAX_PAYLOAD_BYTES, Frame, Kind, pack, walk
from everyspan.wire.stamp import STAMP_LENGTH

_new = tuple.__new__  # as `Held(...)`, without a Python call for each frame

_RETRY_AFTER_S = 0.05
_LEAST_SEGMENT_BYTES = 64 << 10

DISK, CAP, TOO_LARGE, DELETED, INTERRUPTED = "disk", "cap", "too large", "deleted", "interrupted"
GAVE_WAY, REFUSED = "gave way", "refused"
"""Why a frame was dropped: the disk refused it, `cap_bytes` were waiting, it was longer than any frame may be,
somebody deleted its segment before it was delivered, a signal handler's exception broke its append off; it made room
for newer ones, the destination refused it and there is no disk to keep it on."""


class Kept(Enum):
    """Where a frame is when `append` returns."""

    DISK = "in a segment"
    MEMORY = "in memory; it goes to disk as soon as the disk takes it"
    DROPPED = "nowhere; its number and the reason will be told to the destination"
    DISOWNED = "nowhere, and without a number: the writer that may tell of it is another one"


# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_PART, _DISK, _DROPPED = Kind.PART, Kept.DISK, Kept.DROPPED


class _CapReachedError(OSError):
    """`cap_bytes` wait on disk."""


class Keeper:
    """Places the frames of one log in one process, writer after writer. The log's lock guards it."""

    def __init__(
        self,
        root: Path,
        *,
        about: Mapping[str, str],
        room: Room,
        drop: Drop,
        segment_bytes: int,
    ) -> None:
        self.notices: list[str] = []
        """What the user should hear, once nobody holds a lock."""
        self.writer: Writer | None = None
        self.tally = Tally()
        self.ring = Ring()
        self.placed = 0
        """Frames that reached a segment; it moves after the write, so that `sync` can read it without the lock."""
        self.room = room
        """How much may wait on disk."""
        self._root = root
        self._about: dict[str, object] = dict(about)
        self._drop = drop
        self._segment_bytes = segment_bytes
        self._write = SteadyWrite()
        self._retry_at_s = 0.0
        self._refusal = DISK
        self._is_full = False
        self._news = News(self.tally)
        self._owed = (self.ring.frames, self.tally.untold_notes, self._news.ended_calls)
        """What goes to disk before the next frame does, and holds nothing nearly always."""
        self._noticed: set[str] = set()
        self._finishing = False

    def keep(self, kind: Kind, payload: bytes | bytearray, stamp_at: int | None) -> Kept:
        """Number one frame, stamp it, and put it where there is room."""
        if kind is _PART:
            return self._keep_part(payload)
        writer = self.writer
        if writer is None or writer.closed:
            writer = self._new_writer()
        # From now on this number is a frame on disk or in memory, or it is told as dropped.
        seq = writer.last_seq = Seq(writer.last_seq + 1)
        kept = _DROPPED
        reason = INTERRUPTED
        try:
            if stamp_at is not None:
                payload = payload if isinstance(payload, bytearray) else bytearray(payload)
                payload[stamp_at : stamp_at + STAMP_LENGTH] = writer.stamp % seq
            kept = self._place(writer, _new(Held, (kind, seq, payload)))
            reason = TOO_LARGE if len(payload) > MAX_PAYLOAD_BYTES else self._refusal
        except BaseException:
            # KeyboardInterrupt from the user's signal handler: it may have risen before or after the write.
            kept = self._whereabouts(writer, kind, seq)
            raise
        finally:
            if kept is _DISK:
                self.tally.on_disk += kind in CARGO
            else:
                self._account(kept, kind, seq, reason)
        return kept

    def _keep_part(self, payload: bytes | bytearray) -> Kept:
        """Write one PART frame, if that is easily done: it takes no number, and the SPAN frame will say it all."""
        writer = self.writer
        if writer is None or writer.closed or self.ring or self._retry_at_s:
            return Kept.DROPPED
        if writer.waiting_bytes >= self.room.crowded_at_bytes:
            return Kept.DROPPED
        try:
            writer.put(Kind.PART, 0, payload)
        except OSError as error:
            self.tally.failed(error)
            return Kept.DROPPED
        return Kept.DISK

    def describe(self, more: Mapping[str, object]) -> bool:
        """See `Log.describe`."""
        self._about.update(more)
        writer = self.writer
        if writer is None or writer.closed:
            writer = self._new_writer()
        if self.ring or self._retry_at_s:
            return False
        try:
            writer.put(Kind.HEADER, 0, writer.header())
        except OSError as error:
            self.tally.failed(error)
            return False
        return True

    def would_lose(self, size_bytes: int) -> bool:
        """Whether a frame of this size would be dropped now, and waiting may save it."""
        writer = self.writer
        if writer is None or writer.closed:
            return False
        if size_bytes > RING_BYTES and not self._retry_at_s:
            return not self.room.has_room(writer.id, writer.waiting_bytes, HEADER_BYTES + size_bytes)
        if not self.ring and not self._retry_at_s:
            return False
        self.settle()
        if not self._retry_at_s or not self._is_full or HEADER_BYTES + size_bytes > self.room.cap_bytes:
            return False
        return not self.ring.fits(size_bytes)

    def settle(self) -> None:
        """Bring what memory holds, and the news of what was dropped, to disk, when the disk takes it again."""
        writer = self.writer
        if writer is None or writer.closed:
            return
        if writer.vanished():
            self._start_over(writer)
        if (self.ring or self._news) and monotonic_s() >= self._retry_at_s:
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
        self._news.forget()
        writer.close()

    def settled(
        self, writer: Writer, batch: Batch, *, seq: int, aside: bool, ended: Sequence[int] = ()
    ) -> None:
        """The destination has, or has refused, a batch of `writer` whose highest number is `seq`.

        Args:
            ended: the calls whose SPAN frames are in it, by the numbers of their START frames.
        """
        spans = batch.spans
        if aside:
            self.tally.set_aside += spans
        else:
            self.tally.acknowledged += spans
        number = batch.last.segment
        if number in writer.gave_way or number < writer.first_number:
            # Delivered, though its file was deleted meanwhile and it was counted as dropped.
            self.tally.dropped[GAVE_WAY if number in writer.gave_way else DELETED] -= spans
            self.tally.on_disk += spans
            self.ended(ended)
            return
        writer.settled(number, size_bytes=len(batch.body), spans=spans, seq=seq)

    def records_in_memory(self, *, limit_bytes: int, nonce: int) -> list[bytes]:
        """The frames that no disk took, oldest first, behind a HEADER; else the news of what was dropped."""
        if self.writer is None:
            return []
        records = [
            pack(held.kind, held.seq, held.payload, nonce=nonce) for held in self.ring.first(limit_bytes)
        ]
        records = records or [
            pack(Kind.DROP, 0, told_by(self.writer, drop), nonce=nonce) for drop in self.tally.untold()
        ]
        return records and [pack(Kind.HEADER, 0, self.writer.header(), nonce=nonce), *records]

    def left_memory(self, batch: Batch, *, aside: bool, kept: bool) -> list[Frame]:
        """The destination has, or has refused, frames out of memory; those that reached the disk since do not count.

        Args:
            kept: a refused frame is in quarantine; otherwise it is nowhere.

        Returns:
            Those that are settled now and in no segment.
        """
        left: list[Frame] = []
        for frame in walk(batch.body):
            if frame.kind == Kind.DROP:
                said = json.loads(unwrap(batch.body[frame.payload]))
                self.tally.told(DropNote(said["reason"], said["ranges"], said["spans"]))
            elif frame.seq and self.ring and self.ring.oldest().seq == frame.seq:
                spans = int(self.ring.shift().kind in CARGO)
                self.tally.in_memory -= spans
                if not kept:
                    self.tally.drop(REFUSED, frame.seq, frame.seq, spans=spans)
                    continue
                self.tally.on_disk += spans
                self.tally.set_aside += spans if aside else 0
                self.tally.acknowledged += 0 if aside else spans
                left.append(frame)
        return left

    def ended(self, begun: Sequence[int]) -> None:
        """Calls, by their START frames on disk, whose SPAN frames were settled and are in no segment: put that on disk.

        At once if the disk takes it, because from now on a successor would tell each as a second span.
        """
        writer = self.writer
        if not begun or writer is None or writer.closed:
            return
        self._news.ended(begun)
        try:
            self._news.write(writer)
        except OSError as error:
            self.tally.failed(error)

    def _new_writer(self) -> Writer:
        """The writer for the next frame at first, and after the last one was closed."""
        segment_bytes = self._segment_bytes
        if self._drop is Drop.OLDEST:
            # What gives way is a whole segment: it should be a small part of everything.
            segment_bytes = max(min(segment_bytes, self.room.cap_bytes // 16), _LEAST_SEGMENT_BYTES)
        self.writer = Writer(self._root, about=self._about, segment_bytes=segment_bytes, write=self._write)
        return self.writer

    def _place(self, writer: Writer, held: Held) -> Kept:
        if len(held.payload) > MAX_PAYLOAD_BYTES:
            return _DROPPED
        now_s = monotonic_s()
        if now_s >= writer.look_at_s and writer.vanished():  # it asks the clock too, a call later
            self._start_over(writer)
        if (not self._retry_at_s or now_s >= self._retry_at_s) and self._tried(writer, held):
            return _DISK
        # The caller may use its bytearray again, so memory gets a copy.
        held = held._replace(payload=bytes(held.payload))
        while not self.ring.offer(held):
            if self._drop is not Drop.OLDEST or not self._is_full or not self._gave_way(writer):
                self._notice_loss(writer, len(held.payload))
                return _DROPPED
            if self._tried(writer, held):
                return _DISK
        return Kept.MEMORY

    def _tried(self, writer: Writer, held: Held | None) -> bool:
        try:
            if any(self._owed):
                self._catch_up(writer)
            if held is not None:
                self._to_disk(writer, held)
        except OSError as error:
            at_cap = isinstance(error, _CapReachedError)
            self._refusal = CAP if at_cap else DISK
            self._is_full = at_cap or error.errno in NO_ROOM
            if not at_cap:
                self.tally.failed(error)
                self._notice("disk", refusal_in_words(self._root, error))
            self._retry_at_s = monotonic_s() + _RETRY_AFTER_S
            return False
        self._retry_at_s = 0.0
        return True

    def _gave_way(self, writer: Writer) -> bool:
        """Delete the oldest segment that waits, and tell."""
        try:
            gone = writer.give_way()
        except OSError as error:
            self.tally.failed(error)
            return False
        if gone is None:
            return False
        self._news.retell(writer.oldest)
        self.tally.on_disk -= gone.spans
        self.tally.drop(GAVE_WAY, gone.first, gone.last, spans=gone.spans)
        self._notice("oldest", f"{self._full(writer)}; the oldest spans give way, counted and told")
        return True

    def _notice_loss(self, writer: Writer, size_bytes: int) -> None:
        if self._refusal == CAP:
            self._notice(
                "cap", f"{self._full(writer)}; a span of {size_bytes} bytes was dropped, counted and told"
            )

    def _full(self, writer: Writer) -> str:
        return (
            f"the spool {self._root} is at its limit of {self.room.cap_bytes} bytes, {writer.waiting_bytes} of them "
            "from this process. Let a sender run, or raise EVERYSPAN_SPOOL_BYTES"
        )

    def _notice(self, key: str, message: str) -> None:
        if key not in self._noticed:
            self._noticed.add(key)
            self.notices.append(message)

    def _catch_up(self, writer: Writer) -> None:
        """Write what is older first, so that a segment's numbers stay in order, and what is to be said."""
        while self.ring:
            held = self.ring.oldest()
            if writer.disk_seq < held.seq:  # else an exception broke in between the write and the shift
                self._to_disk(writer, held)
            self.ring.shift()
            self.tally.in_memory -= held.kind in CARGO
            self.tally.on_disk += held.kind in CARGO
        self._news.write(writer)

    def _to_disk(self, writer: Writer, held: Held) -> None:
        kind, seq, payload = held
        room, more_bytes = self.room, HEADER_BYTES + len(payload)
        if not self._finishing and not room.has_room(writer.id, writer.waiting_bytes, more_bytes):
            waiting_bytes, cap_bytes = writer.waiting_bytes, room.cap_bytes
            raise _CapReachedError(errno.EDQUOT, f"{waiting_bytes} bytes wait; the cap is {cap_bytes}")
        writer.put(kind, seq, payload)
        self.placed += 1

    def _whereabouts(self, writer: Writer, kind: Kind, seq: int) -> Kept:
        if writer.holds(kind, seq):
            self.placed += 1
            return Kept.DISK
        return Kept.MEMORY if self.ring and self.ring.newest().seq == seq else Kept.DROPPED

    def _account(self, kept: Kept, kind: Kind, seq: int, reason: str) -> None:
        spans = int(kind in CARGO)
        if kept is Kept.MEMORY:
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
        self._news.retell(writer.first_number)
