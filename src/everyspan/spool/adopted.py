"""The backlog of a dead writer: what it left behind, and the calls that it did not live to end."""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from everyspan.errors import SpoolError
from everyspan.model.ids import WriterId
from everyspan.spool.aside import Aside
from everyspan.spool.backlog import Backlog, Batch, Position
from everyspan.spool.cursor import ACKED, load_cursor, save_cursor
from everyspan.spool.inventory import Entry, Inventory, take_inventory
from everyspan.spool.lease import CLAIM, LOCK, UNDER_CONSTRUCTION, Lease, take_lease
from everyspan.spool.notes import FORMAT_VERSION, header_of
from everyspan.spool.quarantine import keep_refused, refused_numbers, tidy
from everyspan.spool.segment import read_bytes, segments_in
from everyspan.spool.unfinished import interrupted_span
from everyspan.wire.frame import HEADER_BYTES, Kind, pack

_LOGGER = logging.getLogger(__name__)

_WRITER = re.compile(r"\d{7}-[0-9a-f]{12}")
_ABANDONED_AFTER_S = 3600

# What `interrupted_span` adds to a START frame and its PART frames is less than this.
_LONGER_BY_BYTES = 512


def adopt(root: Path, *, living: WriterId | None, durable: bool = False) -> Iterator[Backlog]:
    """The backlog of every dead writer under `root`, each now locked by us until it is finished or let go.

    A directory whose lock somebody holds is passed over, also when that somebody is this process: calling it
    again yields only what is new. So are segments of a format version that we do not know, and what cannot be read.

    Args:
        living: this process's own writer, which need not be tried.
        durable: what is set aside is on stable storage before its segment can go.
    """
    for name in sorted(_names(root)):
        directory = root / name
        if name.startswith(UNDER_CONSTRUCTION):
            _remove_abandoned(directory)
        elif _WRITER.fullmatch(name) and name != living:
            lease = _lease(directory)
            if lease is not None:
                yield AdoptedBacklog(lease, durable=durable)


class AdoptedBacklog:
    """Ships what a dead writer left. Each START whose SPAN never came is a SPAN *interrupted* instead.

    The same bytes come out each time, so that a crash in here delivers copies, which their stamps expose.
    """

    def __init__(self, lease: Lease, *, durable: bool = False) -> None:
        self.writer = WriterId(lease.directory.name)
        self._directory = lease.directory
        self._lease = lease
        self._durable = durable
        self._found: Inventory | None = None
        self._next = 0
        self._saved = load_cursor(lease.directory)
        self.unsaved = 0
        """Times that the cursor could not be written: a successor would send some frames again."""

    @property
    def damaged(self) -> int:
        """Ranges that are no frames; they are copied to the writer's quarantine directory."""
        return len(self._inventory.damaged)

    @property
    def torn_bytes(self) -> int:
        """What the last write left when the process died within it; its append never returned."""
        return self._inventory.torn_bytes

    @cached_property
    def aside(self) -> Aside:
        """See `Backlog`."""
        try:
            return Aside(refused_numbers(self._directory))
        except OSError as error:  # what can be delivered matters more
            _LOGGER.warning("%s: what was set aside can not be read: %s", self._directory, error)
            return Aside()

    def peek(self, *, limit_bytes: int) -> Batch | None:
        """See `Backlog`.

        Raises:
            OSError: a segment can not be read.
        """
        self._lease.keep_alive()
        entries = self._inventory.entries
        if self._next >= len(entries):
            return None
        last = self._next + 1
        segment = entries[self._next].extent
        size = _size(entries[self._next], self._inventory)
        while last < len(entries) and entries[last].extent is segment:
            size += _size(entries[last], self._inventory)
            if size > limit_bytes:
                break
            last += 1
        return self._batch(entries[self._next : last])

    def ack(self, batch: Batch) -> None:
        """See `Backlog`.

        Raises:
            SpoolError: an older batch is not acknowledged yet.
        """
        found = self._inventory
        behind = bisect_right(found.ends, batch.last)
        if behind <= self._next:
            return
        if batch.first > self._position:
            raise SpoolError(
                f"frames before {batch.first} are not settled yet; the cursor is at {self._position}"
            )
        self._next = behind
        settled = found.behind_everything if found.is_last_word else batch.last
        if settled > self._saved:
            try:
                save_cursor(self._directory, settled)
            except OSError as error:  # a full disk; what is deleted below may make room
                self.unsaved += 1
                _LOGGER.debug(
                    "%s: the cursor is not saved, so copies may be sent: %s", self._directory, error
                )
            self._saved = settled
        self._delete_settled(keep_last=True)

    def set_aside(self, batch: Batch, *, reason: str) -> None:
        """See `Backlog`."""
        kept = keep_refused(self._directory, self.writer, batch, reason=reason, durable=self._durable)
        self.aside.add(kept)
        self.ack(batch)

    def pending(self) -> int:
        """See `Backlog`."""
        return sum(entry.is_cargo for entry in self._inventory.entries[self._next :])

    def interrupted(self) -> int:
        """See `Backlog`."""
        return sum(entry.interrupted for entry in self._inventory.entries[self._next :])

    def finish(self) -> bool:
        """See `Backlog`. What was refused or damaged stays on disk, and its directory with it."""
        if self._next < len(self._inventory.entries):
            return False
        self._delete_settled(keep_last=False)
        if segments_in(self._directory):
            return False
        (self._directory / ACKED).unlink(missing_ok=True)
        (self._directory / ".held").unlink(missing_ok=True)
        emptied = tidy(self._directory)
        if emptied:
            # Under the lock: whoever opened the lock file meanwhile finds that it is not there any more.
            (self._directory / LOCK).unlink(missing_ok=True)
            (self._directory / CLAIM).unlink(missing_ok=True)
            try:
                os.rmdir(self._directory)
            except OSError as error:
                # Somebody looked just now and made a lock file of their own. They find nothing else, and remove it.
                if error.errno != errno.ENOTEMPTY:
                    raise
        self.release()
        return emptied

    def release(self) -> None:
        """Let somebody else adopt what is left; the same happens when this object goes."""
        self._lease.release()

    @property
    def _inventory(self) -> Inventory:
        if self._found is None:
            self._found = take_inventory(self._directory, self._saved)
        return self._found

    @property
    def _position(self) -> Position:
        return self._inventory.ends[self._next - 1] if self._next else Position(0, 0)

    def _batch(self, entries: list[Entry]) -> Batch:
        found = self._inventory
        start, extent = entries[0].frame.start, entries[0].extent
        data = read_bytes(extent.path, start=start, end=entries[-1].frame.end)
        if len(data) != entries[-1].frame.end - start:
            raise SpoolError(f"{extent.path} was cut short while it was read")
        pieces = []
        for entry in entries:
            frame = entry.frame
            piece = data[frame.start - start : frame.end - start]
            pieces.append(_interrupted(entry, piece, found) if entry.interrupted else piece)
        return Batch(
            body=b"".join(pieces),
            frames=len(entries),
            spans=sum(entry.is_cargo for entry in entries),
            spooled_to=found.last_seq,
            closed=True,
            first=self._position,
            last=entries[-1].end,
            ends=tuple(found.ends[self._next : self._next + len(entries)]),
        )

    def _delete_settled(self, *, keep_last: bool) -> None:
        """Oldest first and never past one that stays: a START must not outlive the SPAN that ends its call."""
        found = self._inventory
        waiting = found.entries[self._next].extent if self._next < len(found.entries) else None
        while found.extents and (len(found.extents) > 1 or not keep_last):
            oldest = found.extents[0]
            if oldest is waiting or oldest in found.unsaved_damage:
                return
            if waiting is not None and oldest.number >= waiting.number:
                return
            oldest.path.unlink(missing_ok=True)
            del found.extents[0]


def _interrupted(entry: Entry, frame: bytes, found: Inventory) -> bytes:
    seq = entry.frame.seq
    start, parts = frame[HEADER_BYTES:], found.parts.get(seq, ())
    payload = interrupted_span(start, parts, end_ns=found.died_ns, closed=found.closed)
    return pack(Kind.SPAN, seq, payload, nonce=entry.extent.nonce)


def _size(entry: Entry, found: Inventory) -> int:
    size = entry.frame.end - entry.frame.start
    if not entry.interrupted:
        return size
    return size + _LONGER_BY_BYTES + sum(map(len, found.parts.get(entry.frame.seq, ())))


def _names(root: Path) -> list[str]:
    try:
        return os.listdir(root)
    except FileNotFoundError:
        return []  # nothing was ever written for this destination


def _lease(directory: Path) -> Lease | None:
    """The lock of a directory that holds something for us."""
    try:
        lease = take_lease(directory)
        if lease is None:
            return None
        extents = segments_in(directory)
        if extents and header_of(extents[-1]).get("version", FORMAT_VERSION) == FORMAT_VERSION:
            return lease
        if not extents:
            AdoptedBacklog(lease).finish()  # removes an empty one; what was refused stays
        else:
            _LOGGER.warning("%s was written by another version of everyspan and is left alone", directory)
        lease.release()
    except FileNotFoundError:
        return None  # whoever had it was done, and removed it while we looked
    except OSError as error:
        _LOGGER.warning("%s can not be adopted: %s", directory, error)
    return None


def _remove_abandoned(building: Path) -> None:
    """A directory whose process died before it could be used."""
    try:
        if time.time() - os.lstat(building).st_mtime > _ABANDONED_AFTER_S:
            (building / LOCK).unlink(missing_ok=True)
            os.rmdir(building)
    except OSError as error:
        _LOGGER.debug("%s is left where it is: %s", building, error)
