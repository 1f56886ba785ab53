"""Calls that began and did not end: what has to outlive the delivery of the rest."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from everyspan.errors import WireError
from everyspan.spool.durable import reach_disk
from everyspan.spool.notes import read_note
from everyspan.spool.segment import Extent, read_bytes, segment_name
from everyspan.wire.decode import span_ids
from everyspan.wire.frame import Kind, pack, scan
from everyspan.wire.part import part_ids, read_part

HELD_BYTES = 16 << 20
"""Most bytes of START frames that are kept for calls that do not end; the oldest go first."""


class OpenCalls:
    """Pairs each SPAN frame with the START frame before it, by trace id and span id.

    First come, first ended: under `random.seed` two calls can have the same ids. A call is known by the number of
    its START frame.

    Args:
        with_parts: keep the PART frames of open calls, too.
    """

    def __init__(self, *, with_parts: bool = False) -> None:
        self._open: defaultdict[bytes, list[int]] = defaultdict(list)
        self._parts: defaultdict[bytes, dict[int, bytes]] = defaultdict(dict)
        self._with_parts = with_parts
        self.unreadable = 0
        """Payloads that hold no span, and so end no call."""

    def see(self, kind: int, payload: bytes, seq: int) -> int | None:
        """A frame, in the order of the log; returns the call that a SPAN ends, None when it ends none."""
        if kind == Kind.ENDED:
            self._see_ended(payload)
        if kind == Kind.PART and self._with_parts:
            self._see_part(payload)
        if kind not in (Kind.START, Kind.SPAN):
            return None
        try:
            ids = span_ids(payload)
        except WireError:
            self.unreadable += 1
            return None
        if kind == Kind.START:
            if seq not in self._open[ids]:  # a START can stand in segment 0 and in its own, after a crash
                self._open[ids].append(seq)
            return None
        return self._end(ids, self._open[ids][0]) if ids in self._open else None

    def still_open(self) -> set[int]:
        """The calls whose end was not seen."""
        return {seq for begun in self._open.values() for seq in begun}

    def open_ids(self) -> set[bytes]:
        """Trace id and span id of the calls whose end was not seen."""
        return set(self._open)

    def parts(self) -> dict[int, list[bytes]]:
        """The payloads of the PART frames of each open call, in their order; under one pair of ids the newest call."""
        return {
            self._open[ids][-1]: [parts[number] for number in sorted(parts)]
            for ids, parts in self._parts.items()
        }

    def _end(self, ids: bytes, seq: int) -> int:
        self._open[ids].remove(seq)
        if not self._open[ids]:
            del self._open[ids]
            self._parts.pop(ids, None)
        return seq

    def _see_ended(self, payload: bytes) -> None:
        try:
            ended = read_note(payload)["begun"]
        except (WireError, KeyError):
            self.unreadable += 1
            return
        named = {each for each in ended if isinstance(each, int)} if isinstance(ended, list) else set()
        for ids, seq in [(ids, seq) for ids, begun in self._open.items() for seq in begun if seq in named]:
            self._end(ids, seq)

    def _see_part(self, payload: bytes) -> None:
        try:
            part = read_part(payload)
        except WireError:
            self.unreadable += 1
            return
        if part.ids in self._open:
            self._parts[part.ids][part.number] = payload  # it can stand in segment 0, too


def hold_starts(
    directory: Path, leaving: Iterable[Extent], open_calls: OpenCalls, *, nonce: int
) -> Extent | None:
    """Write segment 0: the START and PART frames of open calls from segments that are about to be deleted.

    A call can be open for hours, and must be found interrupted when the process dies then; its START frame was
    delivered long ago, in a segment that has no other reason to stay. The file is replaced in one step, before the
    segments go. Returns None when nothing is open.

    Raises:
        OSError: it could not be written; the segments have to stay.
    """
    path = directory / segment_name(0, nonce)
    open_seqs, open_ids = open_calls.still_open(), open_calls.open_ids()
    records: list[bytes] = []
    for extent in leaving if open_seqs else ():
        data = read_bytes(extent.path, end=extent.size_bytes)
        for frame in scan(data, nonce=extent.nonce).frames:
            if (frame.kind == Kind.START and frame.seq in open_seqs) or (
                frame.kind == Kind.PART and _ids_of_part(data[frame.payload]) in open_ids
            ):
                records.append(pack(frame.kind, frame.seq, data[frame.payload], nonce=nonce))
    kept = _newest(records, HELD_BYTES)
    if not kept:
        path.unlink(missing_ok=True)
        return None
    building = directory / ".held"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(building, flags, 0o600)
    with open(fd, "wb") as file:
        file.writelines(kept)
    # The segments' copies were synced, and go now: a power cut must find this one. In the order data, name, and only
    # then whatever the caller deletes. At most once for a full segment, in the sender's thread, for all levels.
    reach_disk([building], [])
    os.replace(building, path)
    reach_disk([], [directory])
    return Extent(0, nonce, path, sum(map(len, kept)))


def _ids_of_part(payload: bytes) -> bytes:
    try:
        return part_ids(payload)
    except WireError:
        return b""


def _newest(records: list[bytes], limit_bytes: int) -> list[bytes]:
    size = sum(map(len, records))
    first = 0
    while size > limit_bytes:
        size -= len(records[first])
        first += 1
    return records[first:]
