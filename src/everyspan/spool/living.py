"""The backlog of this process's own writer, read while it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable

from everyspan.errors import SpoolError
from everyspan.spool.aside import Aside
from everyspan.spool.backlog import Batch, Position
from everyspan.spool.cursor import save_cursor
from everyspan.spool.keeper import Keeper
from everyspan.spool.open_calls import OpenCalls, hold_starts
from everyspan.spool.quarantine import keep_damaged, keep_refused
from everyspan.spool.segment import Extent, new_nonce, read_frames
from everyspan.spool.writer import Writer
from everyspan.wire.frame import CARGO, HEADER_BYTES, Frame, walk


class LivingBacklog:
    """Ships file ranges up to where the writer has come. One thread at a time; the writer goes on meanwhile.

    A batch lies within one segment. The lock is held to look where the writer is, never while a file is read.
    """

    def __init__(
        self,
        writer: Writer,
        keeper: Keeper,
        lock: threading.RLock,
        *,
        settle: Callable[[], None],
        durable: Callable[[], bool],
    ) -> None:
        self.writer = writer.id
        self.aside = Aside()
        """See `Backlog`; the directory was made for this writer, so there are no earlier ones."""
        self.reader = 0
        """The thread that looked last: the one that makes room, and so must never wait for it."""
        self._writer = writer
        self._keeper = keeper
        self._lock = lock
        self._settle = settle
        self._durable = durable
        self._cursor = Position(0, 0)
        self._open = OpenCalls()
        self._peeked: tuple[Batch | None, list[Frame]] = None, []
        """The last batch, and where in its body the frames are: most are settled as they were offered."""
        self._held: Extent | None = None
        self._held_nonce = new_nonce()
        self._not_to_delete: set[int] = set()
        """Segments with damage that could not be copied to quarantine."""

    def peek(self, *, limit_bytes: int) -> Batch | None:
        """See `Backlog`. Also brings to disk what only memory holds, when the disk takes it again."""
        if self._writer.foreign:
            return None
        self.reader = threading.get_ident()
        self._writer.keep_alive()
        self._settle()
        with self._lock:
            extents = self._writer.extents()
            spooled_to, closed = self._writer.last_seq, self._writer.closed
        for extent in extents:
            if Position(extent.number, extent.size_bytes) <= self._cursor:
                continue
            body, frames = self._cut(extent, limit_bytes)
            if frames:
                batch = Batch(
                    body=body,
                    frames=len(frames),
                    spans=sum([frame.kind in CARGO for frame in frames]),
                    spooled_to=spooled_to,
                    closed=closed,
                    first=self._cursor,
                    last=Position(extent.number, self._cursor.offset + len(body)),
                )
                if frames[0].start == 0:
                    self._peeked = batch, frames
                return batch
        return self._from_memory(limit_bytes)

    def ack(self, batch: Batch) -> None:
        """See `Backlog`.

        Raises:
            SpoolError: an older batch is not acknowledged yet.
        """
        self._pass(batch, aside=False)

    def set_aside(self, batch: Batch, *, reason: str) -> None:
        """See `Backlog`. A frame that only memory holds, and that no disk takes now, is counted as dropped."""
        try:
            kept = keep_refused(
                self._writer.directory, self.writer, batch, reason=reason, durable=self._durable()
            )
        except SpoolError:
            if not batch.from_memory or batch.frames != 1:
                raise
            with self._lock:
                self._keeper.left_memory(batch, aside=True, kept=False)
            return
        self.aside.add(kept)
        self._pass(batch, aside=True)

    def pending(self) -> int:
        """See `Backlog`."""
        with self._lock:
            return self._writer.waiting_spans + self._keeper.tally.in_memory

    def interrupted(self) -> int:
        """None: what is open may still end."""
        return 0

    def finish(self) -> bool:
        """False: the writer is alive."""
        return False

    def let_go(self) -> bool:
        """Delete every segment, that of the writer too, when all of them are settled. False when something waits.

        What was delivered would else stay on disk until a whole segment has followed it. The next append makes a
        segment, and its names on disk want syncing: not for every batch.
        """
        with self._lock:
            if self._writer.foreign or self._writer.closed or self._keeper.ring or self._writer.waiting_spans:
                return False
            if self._writer.segment is not None:
                self._writer.seal()
        self._delete_settled()
        with self._lock:
            return not self._writer.sealed

    def _from_memory(self, limit_bytes: int) -> Batch | None:
        """What waits in memory because the disk takes nothing, and what was dropped: the destination may take it."""
        with self._lock:
            if self._keeper.writer is not self._writer or self._writer.closed:
                return None
            records = self._keeper.records_in_memory(limit_bytes=limit_bytes, nonce=self._held_nonce)
            spooled_to = self._writer.last_seq
        if not records:
            return None
        body = b"".join(records)
        return Batch(
            body=body,
            frames=len(records),
            spans=sum(frame.kind in CARGO for frame in walk(body)),
            spooled_to=spooled_to,
            closed=False,
            first=self._cursor,
            last=self._cursor,
            ends=(self._cursor,) * len(records),
            from_memory=True,
        )

    def _cut(self, extent: Extent, limit_bytes: int) -> tuple[bytes, list[Frame]]:
        """The next frames of one segment that stand without a gap, and the cursor in front of them."""
        start = self._cursor.offset if self._cursor.segment == extent.number else 0
        try:
            data, frames = read_frames(extent, start, limit_bytes=limit_bytes)
        except FileNotFoundError:
            return b"", []  # deleted under us: the writer notices within a second, and tells
        skipped = frames[0].start if frames else len(data)
        if skipped:
            self._keep_damaged(extent, start, data[:skipped])
        self._cursor = Position(extent.number, start + skipped)
        run: list[Frame] = []
        for frame in frames:
            if run and frame.start != run[-1].end:
                break
            run.append(frame)
        return (data[run[0].start : run[-1].end], run) if run else (b"", [])

    def _keep_damaged(self, extent: Extent, start: int, damaged: bytes) -> None:
        try:
            keep_damaged(self._writer.directory, extent.path, start, damaged)
        except OSError as error:
            self._not_to_delete.add(extent.number)
            self._failed(error)

    def _pass(self, batch: Batch, *, aside: bool) -> None:
        """Move on behind `batch`. In this order a crash at any line offers frames again and skips none."""
        if self._writer.foreign:
            return
        if batch.from_memory:
            self._pass_from_memory(batch, aside=aside)
            return
        if batch.last <= self._cursor:
            return
        if batch.first > self._cursor:
            raise SpoolError(
                f"frames before {batch.first} are not settled yet; the cursor is at {self._cursor}"
            )
        highest, ended = 0, []
        peeked, frames = self._peeked
        for kind, seq, start, end in frames if batch is peeked else walk(batch.body):
            highest = seq if seq > highest else highest
            begun = self._open.see(kind, batch.body[start + HEADER_BYTES : end], seq)
            if begun is not None and begun > 0:
                ended.append(begun)
        self._cursor = batch.last
        try:
            save_cursor(self._writer.directory, batch.last)
        except OSError as error:
            self._failed(error)  # a successor will send some frames again
        with self._lock:
            self._keeper.settled(self._writer, batch, seq=highest, aside=aside, ended=ended)
        self._delete_settled()

    def _pass_from_memory(self, batch: Batch, *, aside: bool) -> None:
        """What was settled out of memory ends calls whose START frames are on disk, and leaves no trace there."""
        with self._lock:
            left = self._keeper.left_memory(batch, aside=aside, kept=True)
        ended = []
        for frame in left:
            # A START that left memory stands in no segment, so its number is below 0.
            begun = self._open.see(frame.kind, batch.body[frame.payload], -frame.seq)
            if begun is not None and begun > 0:
                ended.append(begun)
        with self._lock:
            self._keeper.ended(ended)

    def _delete_settled(self) -> None:
        """Delete segments that are settled and have a successor; what they know of open calls goes to segment 0."""
        with self._lock:
            leaving = [each for each in self._writer.sealed if (each.number, each.size_bytes) <= self._cursor]
            if not leaving or self._writer.closed:
                return
        if any(extent.number in self._not_to_delete for extent in leaving):
            return
        sources = [self._held, *leaving] if self._held is not None else leaving
        try:
            self._held = hold_starts(self._writer.directory, sources, self._open, nonce=self._held_nonce)
            for extent in leaving:
                extent.path.unlink(missing_ok=True)
        except OSError as error:
            self._failed(error)
            return
        with self._lock:
            self._writer.sealed = [each for each in self._writer.sealed if each not in leaving]

    def _failed(self, error: OSError) -> None:
        with self._lock:
            self._keeper.tally.failed(error)
