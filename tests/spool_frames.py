"""Frames to put into a spool, and what comes out of it, for the tests of the spool."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from everyspan.settings import Fsync
from everyspan.spool import Backlog, Batch, Kept, Log, adopt
from everyspan.wire.encode import Encoded, encode_span, encode_started
from everyspan.wire.envelope import wrap
from everyspan.wire.frame import Frame, Kind, scan, walk

RESOURCE = Resource({"service.name": "tests"})
ABOUT = {"destination": "otlp-test", "url": "http://127.0.0.1:1/v1/traces"}


class Found(NamedTuple):
    """A frame that a backlog gave."""

    kind: int
    seq: int
    payload: bytes


def open_log(
    root: Path, *, fsync: Fsync = Fsync.NONE, cap_bytes: int = 1 << 30, segment_bytes: int = 16 << 20
) -> Log:
    """A log with what a test does not care about filled in."""
    return Log(root, about=ABOUT, fsync=fsync, cap_bytes=cap_bytes, segment_bytes=segment_bytes)


def span(number: int, *, text: str = "") -> ReadableSpan:
    """A span whose ids and name tell its number."""
    context = SpanContext(number + 1, number + 1, is_remote=False)
    attributes: dict[str, str | int] = {"number": number, "text": text}
    return ReadableSpan(
        f"call {number}", context=context, attributes=attributes, resource=RESOURCE, start_time=1, end_time=2
    )


def start(log: Log, number: int, *, text: str = "") -> Kept:
    """Append the START frame of call `number`."""
    return _append(log, Kind.START, encode_started(span(number, text=text)))


def end(log: Log, number: int, *, text: str = "") -> Kept:
    """Append the SPAN frame of call `number`."""
    return _append(log, Kind.SPAN, encode_span(span(number, text=text)))


def opaque(log: Log, content: bytes) -> Kept:
    """Append a BATCH frame."""
    return log.append(Kind.BATCH, wrap(Kind.BATCH, content))


def drain(backlog: Backlog | None, *, limit_bytes: int = 1 << 20) -> list[Found]:
    """Acknowledge everything; returns the frames in order."""
    assert backlog is not None
    found = []
    while (batch := backlog.peek(limit_bytes=limit_bytes)) is not None:
        found += frames_of(batch.body)
        backlog.ack(batch)
    return found


def frames_of(body: bytes) -> list[Found]:
    """The frames of a batch."""
    return [Found(frame.kind, frame.seq, body[frame.payload]) for frame in walk(body)]


def seqs(found: list[Found], *kinds: Kind) -> list[int]:
    """The numbers of the frames of these kinds; of all numbered ones when no kind is given."""
    return [frame.seq for frame in found if frame.seq and (not kinds or frame.kind in kinds)]


def living(log: Log) -> Backlog:
    """The backlog of a log that has been appended to."""
    backlog = log.backlog()
    assert backlog is not None
    return backlog


def peek(backlog: Backlog, *, limit_bytes: int = 1 << 20) -> Batch:
    """The next batch, of which there must be one."""
    batch = backlog.peek(limit_bytes=limit_bytes)
    assert batch is not None
    return batch


def die(log: Log) -> None:
    """What a SIGKILL leaves: no CLOSE frame, and a lock that nobody holds."""
    writer = log._keeper.writer
    assert writer is not None
    writer.close()


def the_dead(root: Path) -> Backlog:
    """The backlog of the one dead writer."""
    (backlog,) = adopt(root, living=None)
    return backlog


def frames_in(path: Path) -> list[Frame]:
    """The whole frames of a segment."""
    return scan(path.read_bytes(), nonce=int(path.stem[9:], 16)).frames


def segments(root: Path) -> list[Path]:
    """Every segment under a destination's directory."""
    return sorted(root.glob("*/*.seg"))


def _append(log: Log, kind: Kind, encoded: Encoded) -> Kept:
    return log.append(kind, encoded.payload, stamp_at=encoded.stamp_at)
