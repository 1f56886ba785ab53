"""The stamp: which frame of which writer a span is, as an attribute that survives every receiver."""

from __future__ import annotations

import re
from typing import NamedTuple

from everyspan.errors import WireError
from everyspan.model.ids import WRITER_ID_LENGTH, Seq, WriterId

STAMP = "everyspan.stamp"
"""The attribute's name. Its value is `<writer, 20 characters>:<seq, 16 hex digits>`."""

STAMP_LENGTH = WRITER_ID_LENGTH + 1 + 16
"""Bytes of the value: always 37, so that the log can fill it in without moving anything."""

PLACEHOLDER = b"0000000-000000000000:0000000000000000"
"""What the encoder writes where the log will put the stamp."""

_SHAPE = re.compile(r"(\d{7}-[0-9a-f]{12}):([0-9a-f]{16})")


class Stamp(NamedTuple):
    """A frame's identity: its writer, and its number there."""

    writer: WriterId
    seq: Seq


def format_stamp(writer: WriterId, seq: Seq) -> bytes:
    """The 37 bytes for frame `seq` of `writer`."""
    return stamp_pattern(writer) % seq


def stamp_pattern(writer: WriterId) -> bytes:
    """What gives the 37 bytes for a frame of `writer` when its number is filled in with `%`."""
    return writer.encode("ascii") + b":%016x"


def parse_stamp(value: str) -> Stamp:
    """The stamp that `value` spells.

    Raises:
        WireError: `value` has another shape, or is a placeholder that was never filled in.
    """
    match = _SHAPE.fullmatch(value)
    seq = int(match[2], 16) if match else 0
    if match is None or seq == 0:
        raise WireError(f"{value[:60]!r} is not a stamp of {STAMP_LENGTH} characters")
    return Stamp(WriterId(match[1]), Seq(seq))
