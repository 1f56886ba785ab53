"""Frames: the records of a spool segment, cut so that any run of them is an OTLP request.

    frame = C2 3E 18 | crc32 u32 | nonce u32 | length u32 | kind u8 | flags u8 | algorithm u16 | seq u64 | payload

Little endian; 27 bytes of header. The first three bytes are the tag of the unknown protobuf field 1000 with 24
bytes, so every protobuf parser skips the header and reads the payload.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from everyspan.errors import FrameError
from everyspan.model.ids import Seq

TAG = b"\xc2\x3e\x18"
HEADER_BYTES = 27
MAX_PAYLOAD_BYTES = 64 << 20
"""Longer payloads are refused when written and taken for damage when read."""

_FULL = struct.Struct("<3sIIIBBHQ")
_AFTER_CRC = struct.Struct("<IIBBHQ")
_U32 = struct.Struct("<I")
_CRC_STARTS_AT = 7
_NONCE_AT = 7

# zlib gives the GIL away for more than 5 KiB; beside a busy thread getting it back takes 5 ms or more.
_PIECE_BYTES = 4096


class Kind(IntEnum):
    """What a frame's payload is. 0 is never valid, so a hole full of zeros is never a frame."""

    HEADER = 1
    START = 2
    SPAN = 3
    DROP = 4
    CLOSE = 5
    BATCH = 6
    PART = 7
    ENDED = 8


CARGO = frozenset({Kind.SPAN, Kind.BATCH})
"""The kinds that somebody waits for: they are what `pending` and `spans` count."""

NUMBERED = frozenset({Kind.START, Kind.SPAN, Kind.BATCH})
"""The kinds that take a number of their writer; the others have seq 0."""


class Frame(NamedTuple):
    """Where one frame lies in the bytes that were scanned."""

    kind: int
    """A `Kind`, or a number that a later version gave a meaning."""
    seq: Seq
    start: int
    end: int

    @property
    def payload(self) -> slice:
        """The payload's place in the same bytes."""
        return slice(self.start + HEADER_BYTES, self.end)


_new = tuple.__new__  # as `Frame(...)`, without a Python call for each of thousands of frames


class Scan(NamedTuple):
    """What a run of bytes holds: whole frames, damage between them, and a tail that was cut short."""

    frames: list[Frame]
    damaged: list[tuple[int, int]]
    """From and to; a whole frame follows each, or the bytes do not look like a write that was cut short."""
    torn_at: int | None
    """Where the last write was cut short; None when the bytes end with a whole frame."""


def checksum(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """zlib's crc32 of `data`, without giving the GIL away."""
    if len(data) <= _PIECE_BYTES:
        return zlib.crc32(data, crc)
    view = memoryview(data)
    for at in range(0, len(view), _PIECE_BYTES):
        crc = zlib.crc32(view[at : at + _PIECE_BYTES], crc)
    return crc


def pack(kind: int, seq: int, payload: bytes | bytearray, *, nonce: int) -> bytes:
    """One frame.

    Raises:
        FrameError: the payload is longer than MAX_PAYLOAD_BYTES.
    """
    length = len(payload)
    if length > MAX_PAYLOAD_BYTES:
        raise FrameError(
            f"a payload of {length} bytes does not fit in a frame; the limit is {MAX_PAYLOAD_BYTES}"
        )
    after_crc = _AFTER_CRC.pack(nonce, length, kind, 0, 0, seq)
    crc = zlib.crc32(after_crc)
    crc = zlib.crc32(payload, crc) if length <= _PIECE_BYTES else checksum(payload, crc)
    return b"".join((TAG, _U32.pack(crc), after_crc, payload))


def scan(data: bytes | bytearray, *, nonce: int, start: int = 0) -> Scan:
    """Every whole frame of one segment's bytes from `start`, whatever lies between them.

    After damage the next frame is found by the segment's nonce, which is random: neither an older file's block
    nor a prompt that holds a frame passes for one.
    """
    frames: list[Frame] = []
    damaged: list[tuple[int, int]] = []
    mark = _U32.pack(nonce)
    at, size, bad_from = start, len(data), -1
    while at < size:
        frame = _frame_at(data, at, nonce)
        if frame is not None:
            if bad_from >= 0:
                damaged.append((bad_from, at))
                bad_from = -1
            frames.append(frame)
            at = frame.end
            continue
        if bad_from < 0:
            bad_from = at
        found = data.find(mark, at + _NONCE_AT + 1)
        if found < 0:
            break
        at = found - _NONCE_AT
    if bad_from >= 0 and not _cut_short(data, bad_from, nonce):
        damaged.append((bad_from, size))
        bad_from = -1
    return Scan(frames, damaged, bad_from if bad_from >= 0 else None)


def walk(body: bytes) -> Iterator[Frame]:
    """The frames of a body that is whole frames end to end, trusting their lengths.

    Raises:
        FrameError: the bytes at some point are no frame's header, or end within a frame.
    """
    at, size = 0, len(body)
    while at < size:
        if at + HEADER_BYTES > size or body[at : at + 3] != TAG:
            raise FrameError(f"no frame begins at byte {at} of {size}")
        _, _, _, length, kind, _, _, seq = _FULL.unpack_from(body, at)
        end = at + HEADER_BYTES + length
        if end > size:
            raise FrameError(f"the frame at byte {at} needs {end - size} bytes more than there are")
        yield _new(Frame, (kind, seq, at, end))
        at = end


def only(body: bytes, kind: Kind) -> bytes:
    """The frames of one kind out of a body that is whole frames end to end.

    Raises:
        FrameError: as for `walk`.
    """
    return b"".join([body[frame.start : frame.end] for frame in walk(body) if frame.kind == kind])


def announced(header: bytes, *, nonce: int) -> tuple[int, int] | None:
    """Kind and size, header included, of the frame that these 27 bytes begin; None when they begin none.

    No checksum is looked at, so they say what was meant to be there.
    """
    if len(header) < HEADER_BYTES:
        return None
    tag, _, found, length, kind, _, algorithm, _ = _FULL.unpack(header)
    if tag != TAG or found != nonce or kind == 0 or algorithm != 0:
        return None
    return kind, HEADER_BYTES + length


def _frame_at(data: bytes | bytearray, at: int, nonce: int) -> Frame | None:
    if at < 0 or at + HEADER_BYTES > len(data):
        return None
    tag, crc, found, length, kind, _, algorithm, seq = _FULL.unpack_from(data, at)
    end = at + HEADER_BYTES + length
    if tag != TAG or found != nonce or kind == 0 or algorithm != 0 or end > len(data):
        return None
    # The length is covered by the checksum, so a damaged length can not swallow the frames behind it.
    if checksum(memoryview(data)[at + _CRC_STARTS_AT : end]) != crc:
        return None
    return _new(Frame, (kind, seq, at, end))


def _cut_short(data: bytes | bytearray, at: int, nonce: int) -> bool:
    """Whether the rest could be the beginning of a frame whose write(2) a kill cut short."""
    rest = bytes(data[at : at + HEADER_BYTES])
    if len(rest) < HEADER_BYTES:
        return TAG.startswith(rest[:3])
    tag, _, found, length, _, _, _, _ = _FULL.unpack(rest)
    return bool(tag == TAG and found == nonce and at + HEADER_BYTES + length > len(data))
