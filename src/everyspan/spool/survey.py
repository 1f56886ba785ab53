"""What waits in a spool, for somebody who only wants to look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from everyspan.errors import WireError
from everyspan.model.ids import WriterId
from everyspan.spool.cursor import load_cursor
from everyspan.spool.lease import LOCK, UNDER_CONSTRUCTION, alive_by_age
from everyspan.spool.notes import header_of, read_note
from everyspan.spool.quarantine import damaged_in, refused_in
from everyspan.spool.segment import Extent, read_bytes, segments_in
from everyspan.wire.envelope import find_span, inside
from everyspan.wire.frame import CARGO, HEADER_BYTES, Kind, announced, scan
from everyspan.wire.protobuf import FIXED64, FIXED_64

_END_TIME = 8  # `end_time_unix_nano` of an OTLP span


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One writer's directory, read without taking its lock: a moment's picture."""

    destination: str
    """The destination's id: the directory's name."""
    writer: WriterId
    alive: bool
    """Whether somebody holds its lock: its own process, or one that adopted it. True where that can not be told.
    Where there is no flock: whether anything was written there within ten minutes, or its process is there.
    """
    url: str
    """Where its frames go, as its HEADER says; empty when that can not be read."""
    spans: int
    """SPAN frames not yet acknowledged. Calls that a dead writer left unfinished are not among them."""
    oldest_ns: int
    """When the first of these spans ended, in Unix nanoseconds; 0 when there is none, or its time can not be read."""
    dropped: int
    """Spans that could not be kept, as DROP frames say of which the destination has not heard yet."""
    segments: int
    """Segments on disk."""
    size_bytes: int
    """What its segments take on disk."""
    refused: int
    """Frames that the destination refused."""
    damaged: int
    """Damaged ranges in quarantine."""


def waiting(spool_dir: Path) -> list[Waiting]:
    """Every writer of every destination in `spool_dir`, in order of their names.

    Raises:
        OSError: a directory or file can not be read; one that goes away meanwhile is left out.
    """
    locks = _locks()
    found = []
    for destination in _directories(spool_dir):
        for directory in _directories(destination):
            if not directory.name.startswith(UNDER_CONSTRUCTION):
                found.append(_look(directory, locks))
    return found


def count_cargo(directory: Path) -> int | None:
    """Frames in a dead writer's directory that somebody waits for, by going from header to header.

    A hundredth of the time that reading all of it takes, and no checksum is looked at: a frame that turns out to be
    damaged was counted. None when something else than whole frames is seen, or a call that may have no end: then only
    reading all of it tells.

    Raises:
        OSError: a segment can not be read.
    """
    cursor = load_cursor(directory)
    count = 0
    for extent in segments_in(directory):
        if extent.number < cursor.segment:
            continue
        at = cursor.offset if extent.number == cursor.segment else 0
        fd = os.open(extent.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            while at < extent.size_bytes:
                said = announced(os.pread(fd, HEADER_BYTES, at), nonce=extent.nonce)
                if said is None or said[0] == Kind.START or at + said[1] > extent.size_bytes:
                    return None
                count += said[0] in CARGO
                at += said[1]
        finally:
            os.close(fd)
    return count


def _look(directory: Path, locks: set[int] | None) -> Waiting:
    extents = segments_in(directory)
    cursor = load_cursor(directory)
    found = _Found()
    for extent in extents:
        if extent.number >= cursor.segment:
            found.add(extent, cursor.offset if extent.number == cursor.segment else 0)
    return Waiting(
        destination=directory.parent.name,
        writer=WriterId(directory.name),
        alive=_is_alive(directory, locks),
        url=_url(extents),
        spans=found.spans,
        oldest_ns=found.oldest_ns,
        dropped=found.dropped,
        segments=len(extents),
        size_bytes=sum(extent.size_bytes for extent in extents),
        refused=refused_in(directory),
        damaged=damaged_in(directory),
    )


def _is_alive(directory: Path, locks: set[int] | None) -> bool:
    if locks is None or _lock_of(directory) in locks:
        return True
    try:
        return bool(alive_by_age(directory))
    except FileNotFoundError:
        return False  # gone while we looked


class _Found:
    """What waits in the segments of one writer, added up."""

    def __init__(self) -> None:
        self.spans = 0
        self.dropped = 0
        self.oldest_ns = 0

    def add(self, extent: Extent, start: int) -> None:
        try:
            data = read_bytes(extent.path, start=start, end=extent.size_bytes)
        except FileNotFoundError:
            return  # delivered while we looked
        for frame in scan(data, nonce=extent.nonce).frames:
            if frame.kind in CARGO:
                if not self.spans:
                    self.oldest_ns = _ended_ns(data[frame.payload])
                self.spans += 1
            elif frame.kind == Kind.DROP:
                self.dropped += _dropped(data[frame.payload])


def _ended_ns(payload: bytes) -> int:
    try:
        for field in inside(payload, find_span(payload).span):
            if field.number == _END_TIME and field.wire_type == FIXED64:
                return int(FIXED_64.unpack_from(payload, field.value_start)[0])
    except WireError:
        return 0  # the collector's inbox: what its frames hold is no span
    return 0


def _dropped(payload: bytes) -> int:
    try:
        spans = read_note(payload).get("spans")
    except WireError:
        return 0
    return spans if isinstance(spans, int) else 0


def _url(extents: list[Extent]) -> str:
    for extent in reversed(extents):
        try:
            return str(header_of(extent).get("url", ""))
        except FileNotFoundError:
            continue  # delivered while we looked
    return ""


def _lock_of(directory: Path) -> int:
    try:
        return os.stat(directory / LOCK).st_ino
    except FileNotFoundError:
        return 0


def _locks() -> set[int] | None:
    """The inode of every file that somebody holds with flock; None where the system does not tell.

    Trying the lock would hold it for a moment, and whoever wants to adopt the directory just then would pass over
    it. The device is not compared, because overlayfs and btrfs show another one here than in stat(2).
    """
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    # "3: FLOCK  ADVISORY  WRITE 4242 fd:01:262155 0 EOF"
    return {int(line.split()[5].split(":")[2]) for line in lines if " FLOCK " in line and "->" not in line}


def _directories(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
