"""HEADER, DROP, CLOSE and ENDED frames: what a writer says about itself, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from everyspan.errors import WireError
from everyspan.spool.segment import Extent, read_frames
from everyspan.wire.envelope import unwrap, wrap
from everyspan.wire.frame import Kind

FORMAT_VERSION = 1
"""What HEADER frames carry as `version`. Segments of a version that we do not know are left alone."""

_HEADER_IS_SHORTER_THAN_BYTES = 16 << 10


def note(kind: Kind, content: Mapping[str, object]) -> bytes:
    """The payload of a HEADER, DROP, CLOSE or ENDED frame."""
    return wrap(kind, json.dumps(content).encode())


def read_note(payload: bytes) -> dict[str, object]:
    """What the payload of such a frame says.

    Raises:
        WireError: it is not a JSON object in its envelope.
    """
    try:
        content = json.loads(unwrap(payload))
    except (ValueError, RecursionError) as error:
        raise WireError(f"a note of {len(payload)} bytes is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise WireError(f"a note of {len(payload)} bytes is not a JSON object")
    return content


def header_of(extent: Extent) -> dict[str, object]:
    """What a segment's HEADER says; empty when there is none to read.

    Raises:
        OSError: the file can not be read.
    """
    data, frames = read_frames(extent, 0, limit_bytes=_HEADER_IS_SHORTER_THAN_BYTES)
    if not frames or frames[0].kind != Kind.HEADER:
        return {}
    try:
        return read_note(data[frames[0].payload])
    except WireError:
        return {}
