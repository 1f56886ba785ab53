"""Reading OTLP bytes and frames back, in pure Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from everyspan.model.ids import Seq
from everyspan.wire.stamp import Stamp


class FrameHeader(NamedTuple):
    """What the header of one frame says."""

    crc: int
    nonce: int
    length: int
    kind: int
    """A `Kind`, or a number that a later version gave a meaning."""
    seq: Seq


class Piece(NamedTuple):
    """One top-level field of a request body."""

    header: FrameHeader | None
    """The frame that carried it; None when the sender knows nothing of frames."""
    field: int
    payload: bytes
    """What the field holds, without tag and length."""


class Identity(NamedTuple):
    """Which span a START or SPAN payload is."""

    trace_id: bytes
    span_id: bytes
    stamp: Stamp | None


class PartialSuccess(NamedTuple):
    """What a receiver says about the spans it did not take."""

    rejected: int
    message: str


def pieces(body: bytes) -> Iterator[Piece]:
    """The top-level fields of an `ExportTraceServiceRequest`, each with the frame header before it."""
    raise NotImplementedError


def identify(payload: bytes) -> Identity:
    """Trace id, span id and stamp of the span in a START or SPAN payload."""
    raise NotImplementedError


def partial_success(answer: bytes) -> PartialSuccess:
    """What an `ExportTraceServiceResponse` says; (0, "") when everything was taken."""
    raise NotImplementedError


def wrap(kind: int, content: bytes) -> bytes:
    """The payload of a HEADER, DROP, CLOSE (field 1001) or BATCH (field 1003) frame around `content`."""
    raise NotImplementedError


def unwrap(payload: bytes) -> bytes:
    """The content of a payload that `wrap` made."""
    raise NotImplementedError
