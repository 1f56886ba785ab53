"""One writer: a process incarnation's own directory, its segments and its numbers."""

from __future__ import annotations

import errno
import os
import socket
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from everyspan.clock import monotonic_s, now_ns
from everyspan.model.ids import Seq, new_writer_id
from everyspan.spool.lease import Lease, boot_id, new_lease, take_lease
from everyspan.spool.notes import FORMAT_VERSION, note
from everyspan.spool.segment import Extent, Segment
from everyspan.spool.steady_write import SteadyWrite
from everyspan.version import __version__
from everyspan.wire.frame import CARGO, HEADER_BYTES, Kind, pack
from everyspan.wire.stamp import stamp_pattern

_LOOK_EVERY_S = 1.0


class Unsynced(NamedTuple):
    """What was not yet brought to stable storage."""

    sealed: list[Path]
    directories: list[Path]
    segment: Segment | None
    size_bytes: int
    """How much of `segment` was written when this was made."""

    @property
    def files(self) -> list[Path]:
        """All the segments."""
        return [*self.sealed, self.segment.path] if self.segment is not None else self.sealed


@dataclass(slots=True)
class Content:
    """What waits in one segment: neither acknowledged nor set aside."""

    spans: int = 0
    size_bytes: int = 0
    last_seq: int = 0
    """The highest number in it, settled or not."""


class GaveWay(NamedTuple):
    """Frames that were deleted to make room."""

    first: int
    last: int
    spans: int


class Writer:
    """Numbers frames and puts them into segments, in a directory that it makes when it first needs it.

    Its log's lock guards it. `put` raises, and its log decides what then becomes of the frame.
    """

    def __init__(
        self, root: Path, *, about: Mapping[str, object], segment_bytes: int, write: SteadyWrite
    ) -> None:
        self.id = new_writer_id()
        self.directory = root / self.id
        self.last_seq = Seq(0)
        """The last number that was given out."""
        self.stamp = stamp_pattern(self.id)
        self.closed = False
        self.foreign = False
        """It is the parent's: this process was forked since."""
        self.first_number = 1
        """Segments before this one were deleted by somebody."""
        self.waiting_bytes = self.waiting_spans = 0
        """Bytes, and SPAN frames, on disk that are neither acknowledged nor set aside."""
        self.gave_way: set[int] = set()
        """Segments that were deleted to make room."""
        self._contents: defaultdict[int, Content] = defaultdict(Content)
        self.settled_seq = self.disk_seq = 0
        self.sealed: list[Extent] = []
        """Full segments that are not deleted yet, oldest first."""
        self._unsynced: list[Path] = []
        self._new_names = False
        self._about = about
        self._segment_bytes = segment_bytes
        self._write = write
        self._lease: Lease | None = None
        self._segment: Segment | None = None
        self._number = 0
        self._started_ns = now_ns()
        self.look_at_s = 0.0
        """When `vanished` next has something to find out."""

    @property
    def segment(self) -> Segment | None:
        """The segment that is being written."""
        return self._segment

    @property
    def oldest(self) -> int:
        """The number of the oldest segment that is left."""
        return self.sealed[0].number if self.sealed else self._number

    def extents(self) -> list[Extent]:
        """Every segment, oldest first, with what can be read of it."""
        return [*self.sealed, self._segment.extent] if self._segment is not None else list(self.sealed)

    def put(self, kind: Kind, seq: int, payload: bytes | bytearray) -> None:
        """Write one frame: it is in the page cache on return.

        Raises:
            OSError: it is not in any segment.
        """
        size_bytes = HEADER_BYTES + len(payload)
        segment = self._segment
        if segment is None or segment.spoiled or segment.size_bytes + size_bytes > self._segment_bytes:
            segment = self._segment_for(len(payload))
        segment.put(pack(kind, seq, payload, nonce=segment.nonce), seq)
        self._wrote(segment, size_bytes, kind in CARGO)

    def holds(self, kind: Kind, seq: int) -> bool:
        """Whether frame `seq`, whose `put` an exception broke off, is on disk; then it is counted, too."""
        segment = self._segment
        if segment is None:
            return False
        before = segment.size_bytes
        try:
            segment.settle()
        except OSError:
            return False
        if segment.last_seq != seq:
            return False
        if self.disk_seq < seq:
            self._wrote(segment, segment.size_bytes - before, kind in CARGO)
        return True

    def settled(self, number: int, *, size_bytes: int, spans: int, seq: int) -> None:
        """The destination has, or has refused, so much of segment `number`, up to frame `seq`."""
        content = self._contents[number]
        content.size_bytes -= size_bytes
        content.spans -= spans
        self.waiting_bytes -= size_bytes
        self.waiting_spans -= spans
        self.settled_seq = max(self.settled_seq, seq)

    def give_way(self) -> GaveWay | None:
        """Delete the oldest full segment of which something waits; None when there is none.

        A batch of it may be under way to the destination at this moment: its acknowledgement is still counted.

        Raises:
            OSError: it can not be deleted.
        """
        for place, extent in enumerate(self.sealed):
            content = self._contents[extent.number]
            if content.last_seq <= self.settled_seq:
                continue  # all of it was delivered; it is deleted as soon as its open calls are held elsewhere
            extent.path.unlink(missing_ok=True)
            del self.sealed[place]
            del self._contents[extent.number]
            self.gave_way.add(extent.number)
            self.waiting_bytes -= content.size_bytes
            self.waiting_spans -= content.spans
            first, self.settled_seq = self.settled_seq + 1, content.last_seq
            return GaveWay(first, content.last_seq, content.spans)
        return None

    def vanished(self) -> bool:
        """Whether the segment was deleted or moved under us: a write to it still succeeds, and nobody reads it.

        Looks once a second, because each look gives the GIL away.
        """
        if self._segment is None or monotonic_s() < self.look_at_s:
            return False
        self.look_at_s = monotonic_s() + _LOOK_EVERY_S
        try:
            there, ours = os.stat(self._segment.path, follow_symlinks=False), os.fstat(self._segment.fd)
        except OSError as error:
            return error.errno in (errno.ENOENT, errno.ENOTDIR)
        return (there.st_ino, there.st_dev) != (ours.st_ino, ours.st_dev)

    def start_over(self) -> None:
        """Forget the segments that vanished; the next `put` makes the directory again, under the same id."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None
        self.sealed.clear()
        self._unsynced.clear()
        self.first_number = self._number + 1
        self._contents.clear()
        self.settled_seq = self.disk_seq
        self.waiting_bytes = self.waiting_spans = 0

    def abandon(self) -> None:
        """In a forked child: close what belongs to the parent, and change nothing."""
        self.foreign = True
        self._close_files()

    def close(self) -> None:
        """Give the directory up. What waits in it can be adopted from now on."""
        self.closed = True
        self._close_files()

    def unsynced(self) -> Unsynced:
        """What an fdatasync has to reach.

        Needs no lock: `_rotate` adds a full segment to the sealed ones before it puts another in its place, and
        here the place is read first, so a segment that is sealed meanwhile is seen at least once.
        """
        segment = self._segment
        size_bytes = segment.size_bytes if segment is not None else 0
        named, self._new_names = self._new_names, False
        directories = [self.directory, self.directory.parent] if named else []
        return Unsynced(list(self._unsynced), directories, segment, size_bytes)

    def synced(self, done: Unsynced) -> None:
        """`done` was tried, once: after a failure the kernel may say that all is well, and it is not."""
        for path in done.sealed:  # not `segment`: it may have grown, and been sealed, since
            if path in self._unsynced:
                self._unsynced.remove(path)
        if done.segment is not None:
            done.segment.synced_bytes = done.size_bytes

    def retire_segment(self) -> None:
        """Write to a new segment from now on."""
        if self._segment is not None:
            self._segment.spoiled = True

    def seal(self) -> None:
        """Be done with the segment at hand; the next `put` makes another."""
        if self._segment is not None:
            self.sealed.append(self._segment.extent)
            self._segment.close()
            self._segment = None

    def keep_alive(self) -> None:
        """Show that this process is here, where a lock can not."""
        lease = self._lease
        if lease is not None:
            lease.keep_alive()

    def _wrote(self, segment: Segment, size_bytes: int, spans: int) -> None:
        content = self._contents[segment.number]
        content.size_bytes += size_bytes
        content.spans += spans
        self.waiting_bytes += size_bytes
        self.waiting_spans += spans
        self.disk_seq = content.last_seq = segment.last_seq

    def _close_files(self) -> None:
        if self._segment is not None:
            self.sealed.append(self._segment.extent)
            self._unsynced.append(self._segment.path)
            self._segment.close()
            self._segment = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _segment_for(self, payload_bytes: int) -> Segment:
        segment = self._segment
        if segment is not None and not segment.spoiled:
            if segment.size_bytes + HEADER_BYTES + payload_bytes <= self._segment_bytes:
                return segment
            if payload_bytes > self._segment_bytes // 2 and segment.size_bytes < self._segment_bytes // 2:
                return segment  # a frame as long as a segment does not need one for itself
        return self._rotate()

    def _rotate(self) -> Segment:
        self._own_directory()
        self._number += 1  # before the file is made: a try that was broken off must not share its number
        fresh = Segment(self.directory, number=self._number, write=self._write)
        try:
            fresh.put(pack(Kind.HEADER, 0, self.header(), nonce=fresh.nonce), 0)
        except BaseException:
            fresh.close()
            os.unlink(fresh.path)
            raise
        fresh.last_seq = self.disk_seq
        full = self._segment
        if full is not None:
            self.sealed.append(full.extent)
            if full.synced_bytes < full.size_bytes:
                self._unsynced.append(full.path)
        self._segment = fresh
        self._new_names = True
        for number in self._contents.keys() - {each.number for each in self.sealed}:
            del self._contents[number]  # delivered and deleted
        self._wrote(fresh, fresh.size_bytes, 0)
        if full is not None:
            full.close()
        return fresh

    def _own_directory(self) -> None:
        if self._lease is not None and self._lease.intact:
            return
        if self._lease is not None:
            self._lease.release()
            self._lease = None
        if self.directory.is_dir():
            self._lease = take_lease(self.directory)
            if self._lease is None:
                raise BlockingIOError(errno.EWOULDBLOCK, "somebody adopted it", str(self.directory))
        else:
            self._lease = new_lease(self.directory.parent, self.id)

    def header(self) -> bytes:
        """The payload of a HEADER frame: who writes here."""
        about = {
            "version": FORMAT_VERSION,
            "writer": self.id,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "boot": boot_id(),
            "library": __version__,
            **self._about,
            "started_ns": self._started_ns,
        }
        return note(Kind.HEADER, about)
