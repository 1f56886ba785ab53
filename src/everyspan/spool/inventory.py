"""What a dead writer's directory holds, found by reading all of it once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from everyspan.errors import WireError
from everyspan.model.ids import Seq
from everyspan.spool.backlog import Position
from everyspan.spool.notes import read_note
from everyspan.spool.open_calls import OpenCalls
from everyspan.spool.quarantine import keep_damaged
from everyspan.spool.segment import Extent, read_bytes, segments_in
from everyspan.spool.unfinished import interrupted_span
from everyspan.wire.frame import CARGO, HEADER_BYTES, Frame, Kind, scan

_NO_SEQ = Seq(0)

_FOR_US_ALONE = frozenset({Kind.PART, Kind.ENDED})
"""Of no use to a receiver once nothing follows them."""


class Entry(NamedTuple):
    """One frame to be shipped."""

    extent: Extent
    frame: Frame
    interrupted: bool
    """It is a START whose call never ended: what is shipped is a SPAN."""

    @property
    def end(self) -> Position:
        """The place behind it."""
        return Position(self.extent.number, self.frame.end)

    @property
    def is_cargo(self) -> bool:
        """Whether somebody waits for it."""
        return self.interrupted or self.frame.kind in CARGO


@dataclass(slots=True)
class Inventory:
    """The frames behind the cursor, in order, and before them the calls that were open when their START was settled."""

    entries: list[Entry] = field(default_factory=list)
    ends: list[Position] = field(default_factory=list)
    """The end of each entry; ascending."""
    extents: list[Extent] = field(default_factory=list)
    parts: dict[int, list[bytes]] = field(default_factory=dict)
    """By the number of an interrupted call: the payloads of its PART frames."""
    damaged: list[tuple[Extent, int, int]] = field(default_factory=list)
    """From and to, of what is not a frame; each range is in quarantine, unless its extent is in `unsaved_damage`."""
    unsaved_damage: set[Extent] = field(default_factory=set)
    torn_bytes: int = 0
    last_seq: Seq = _NO_SEQ
    died_ns: int = 0
    """The last sign of life: when the last segment was last written. The same at each look."""
    closed: bool = False
    """The writer said that it was finished."""
    is_last_word: bool = False
    """Everything had arrived; what is shipped only says that no more will come."""

    @property
    def behind_everything(self) -> Position:
        """Where the cursor stands when the last word has arrived, too."""
        return Position(self.extents[-1].number + 1, 0)


def take_inventory(directory: Path, cursor: Position) -> Inventory:
    """Read every segment in `directory`, copy damage to quarantine, and pair the calls' begins and ends.

    Raises:
        OSError: a segment can not be read.
    """
    found = Inventory(extents=segments_in(directory))
    calls = OpenCalls(with_parts=True)
    starts: dict[int, Entry] = {}
    entries: list[Entry] = []
    for extent in found.extents:
        data = read_bytes(extent.path)
        frames = _frames(found, directory, extent, data)
        for frame in frames:
            payload = data[frame.payload]
            calls.see(frame.kind, payload, frame.seq)
            found.last_seq = max(found.last_seq, frame.seq, _last_named(frame.kind, payload))
            entry = Entry(extent, frame, False)
            if frame.kind == Kind.START:
                starts[frame.seq] = entry  # a START can stand in segment 0, too: the later one counts
            if frame.kind not in _FOR_US_ALONE:
                entries.append(entry)
            found.closed = found.closed or frame.kind == Kind.CLOSE
    if found.extents:
        found.died_ns = os.stat(found.extents[-1].path).st_mtime_ns
    found.parts = calls.parts()
    begun = {starts[seq] for seq in calls.still_open()}
    interrupted = {entry for entry in begun if _can_be_ended(entry, found.parts.get(entry.frame.seq, ()))}
    found.entries = list(_to_ship(entries, interrupted, cursor))
    if not found.entries and entries and cursor < found.behind_everything:
        found.entries = _last_word(entries)
        found.is_last_word = bool(found.entries)
    found.ends = [entry.end for entry in found.entries]
    return found


def _to_ship(entries: list[Entry], interrupted: set[Entry], cursor: Position) -> Iterator[Entry]:
    for entry in entries:
        if entry in interrupted:
            yield entry._replace(interrupted=True)
        elif (entry.extent.number, entry.frame.end) > cursor:
            yield entry


def _can_be_ended(entry: Entry, parts: Sequence[bytes]) -> bool:
    """Whether its START can be made a SPAN. One that can not is shipped as it is, and holds nothing up behind it."""
    start = entry.frame.start + HEADER_BYTES
    try:
        interrupted_span(read_bytes(entry.extent.path, start=start, end=entry.frame.end), parts, end_ns=0)
    except WireError:
        return False
    return True


def _last_word(entries: list[Entry]) -> list[Entry]:
    """What to ship of a writer that died after everything of it had arrived: a header, so that there is a request.

    Its request says that the writer is finished. Without one the audit would wait for more of it for ever.
    """
    if entries[-1].frame.kind == Kind.CLOSE:
        return []
    return [entry for entry in entries if entry.frame.kind == Kind.HEADER][:1]


def _frames(found: Inventory, directory: Path, extent: Extent, data: bytes) -> list[Frame]:
    scanned = scan(data, nonce=extent.nonce)
    damaged = list(scanned.damaged)
    if scanned.torn_at is not None:
        if extent is found.extents[-1]:
            found.torn_bytes += len(data) - scanned.torn_at
        else:
            # Only the last write of a process can be cut short; anywhere else something was lost.
            damaged.append((scanned.torn_at, len(data)))
    for start, end in damaged:
        found.damaged.append((extent, start, end))
        try:
            keep_damaged(directory, extent.path, start, data[start:end])
        except OSError:
            found.unsaved_damage.add(extent)  # the segment stays until its damage is safe
    return scanned.frames


def _last_named(kind: int, payload: bytes) -> Seq:
    """The highest number that a DROP or CLOSE frame speaks of."""
    if kind not in (Kind.DROP, Kind.CLOSE):
        return Seq(0)
    try:
        content = read_note(payload)
    except WireError:
        return Seq(0)
    ranges = content.get("ranges")
    named = [content.get("last")]
    if isinstance(ranges, list):
        named += [each[-1] for each in ranges if isinstance(each, list) and each]
    return Seq(max((number for number in named if isinstance(number, int)), default=0))
