"""What a fuzzer feeds with bytes: each way into the collector and the spool, and what must hold whatever comes.

Each target takes any bytes. It returns when they were taken, or refused with the words that are meant for that; any
other exception is a find. `tests.fuzz.guided` searches for one, guided by what the bytes reach in the code.
"""

from __future__ import annotations

import itertools
import json
import resource
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from everyspan.collector.accept import JSON, PROTOBUF, Envelope, Examined, examine, seal, unseal
from everyspan.collector.limits import Limits
from everyspan.collector.reader import Read, read
from everyspan.errors import CollectorError, WireError
from everyspan.sender.outcome import Answer, judge
from everyspan.spool import adopt
from everyspan.store.limits import acceptable
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite import SqliteStore
from everyspan.web.langfuse.exchange import Asked, RequestError
from everyspan.web.langfuse.ingestion import Ingestion
from everyspan.wire.decode import identify, span_ids
from everyspan.wire.frame import HEADER_BYTES, TAG, checksum, scan, walk
from tests.collector_requests import START_NS

Target = Callable[[bytes], None]

MOST_GROWTH_MIB = 100
"""What one input, which is a few KiB, may cost in memory."""

WRITER = "1234567-0123456789ab"
NONCE = 7
_LIMITS = Limits(body_bytes=1 << 20, spans=500)
ENVELOPE = Envelope.of({"everyspan-writer": WRITER}, project="default", received_ns=START_NS)
_ENCODINGS = ("gzip", "deflate", "zstd", "identity")


def protobuf(data: bytes) -> None:
    """A body of OTLP as protobuf, up to the rows of a store."""
    _rows(data, PROTOBUF)


def otlp_json(data: bytes) -> None:
    """The same as JSON."""
    _rows(data, JSON)


def compressed(data: bytes) -> None:
    """A compressed body; its first byte says how."""
    if data:
        _rows(data[1:], PROTOBUF, _ENCODINGS[data[0] % len(_ENCODINGS)])


def stored(data: bytes) -> None:
    """A body whose rows go into a store, twice, and are read back."""
    found = _rows(data, PROTOBUF)
    if found is None or not (found.spans or found.numbers or found.sightings):
        return
    with _scratch() as directory, closing(_new_store(directory)) as store:
        first = store.insert(found.spans, found.numbers, found.sightings)
        again = store.insert(found.spans, found.numbers, found.sightings)
        assert first.new + first.known + len(first.refused) >= len(found.spans), "a span came to nothing"
        assert again.new == 0, "the same rows counted twice"
        there = {
            row.key for trace_id in {row.trace_id for row in found.spans} for row in _of(store, trace_id)
        }
        rows = acceptable(found.spans, (), ()).spans
        # A call that was taken for interrupted gives way to its end.
        lost = {row.key for row in rows if row.end != "interrupted"} - there
        assert not lost, f"not stored: {lost}"


def segment(data: bytes) -> None:
    """A segment that a dead writer left; after an odd first byte its checksums are made right and stop nothing."""
    if data and data[0] % 2:
        data = _with_checksums(data)
    scan(data[1:], nonce=NONCE)
    with _scratch() as directory:
        home = directory / WRITER
        home.mkdir(mode=0o700)
        (home / f"00000001-{NONCE:08x}.seg").write_bytes(data[1:])
        for backlog in adopt(directory, living=None):
            for _ in range(len(data) + 1):
                batch = backlog.peek(limit_bytes=1 << 16)
                if batch is None:
                    break
                assert sum(1 for _ in walk(batch.body)) == batch.frames
                backlog.ack(batch)
            else:
                raise AssertionError("there are more batches than bytes")
            backlog.finish()


def payload(data: bytes) -> None:
    """The payload of a frame: the quick way to its ids finds what the thorough one finds."""
    try:
        found = identify(data)
        quick = span_ids(data)
    except WireError:
        return
    if (
        len(found.trace_id) == 16
        and len(found.span_id) == 8
        and len(quick) == 24
        and data == _canonical(data)
    ):
        assert quick == found.trace_id + found.span_id


def answer(data: bytes) -> None:
    """A server's answer to an export; its first byte says of which kind."""
    status, content_type = _ANSWERS[data[0] % len(_ANSWERS)] if data else (200, PROTOBUF)
    judge(Answer(status, {"content-type": content_type}, data[1:]))


def entry(data: bytes) -> None:
    """What the inbox holds, as after damage that the checksum missed."""
    try:
        envelope, content = unseal(data)
        read(envelope, content, _LIMITS)
    except (WireError, CollectorError):
        return


def langfuse(data: bytes) -> None:
    """A batch as Langfuse's SDK 2 sends it."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return  # refused before it comes here
    with _scratch() as directory, closing(_new_store(directory)) as store:
        try:
            Ingestion(store).take(Asked(project="default", key_id="", query={}, path={}, body=said))
        except RequestError:
            return


_ANSWERS = tuple(itertools.product((200, 207, 302, 400, 429, 503), (PROTOBUF, JSON, "text/html", "")))

TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (protobuf, otlp_json, compressed, stored, segment, payload, answer, entry, langfuse)
}


def bounded(target: Target) -> Target:
    """The target, which fails too when an input makes the process grow by more than MOST_GROWTH_MIB."""

    def run(data: bytes) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target(data)
        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        assert grown_mib <= MOST_GROWTH_MIB, f"{len(data)} bytes made the process grow by {grown_mib} MiB"

    return run


def _rows(data: bytes, content_type: str, encoding: str = "") -> Read | None:
    try:
        examined = examine(data, content_type=content_type, encoding=encoding, limits=_LIMITS)
    except CollectorError as refused:
        if refused.status in (400, 413, 415):
            return None
        raise  # with any other status a client keeps the body and sends it for ever
    return _read(examined)


def _read(examined: Examined) -> Read:
    _, content = unseal(seal(ENVELOPE, examined.body))
    found = read(ENVELOPE, content, _LIMITS)
    assert len(found.spans) == examined.spans, f"{examined.spans} were let in, {len(found.spans)} were read"
    assert found == read(ENVELOPE, content, _LIMITS), "read again, it is something else"
    batch = acceptable(found.spans, found.numbers, found.sightings)
    assert len(batch.spans) + len(batch.refused) >= len(found.spans)
    return found


def _of(store: SqliteStore, trace_id: str) -> list[SpanRow]:
    found = store.read_trace(trace_id, project="default")
    return found[1] if found is not None else []


def _canonical(data: bytes) -> bytes:
    """The same message as protobuf writes it, with every field once and in order; empty when it is none."""
    try:
        message = ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        return b""
    message.DiscardUnknownFields()
    return bytes(message.SerializeToString(deterministic=True))


def _with_checksums(data: bytes) -> bytes:
    """Every frame that is whole but for its nonce and checksum gets right ones."""
    mended, at = bytearray(data), data.find(TAG)
    while at >= 0 and at + HEADER_BYTES <= len(mended):
        struct.pack_into("<I", mended, at + 7, NONCE)
        (length,) = struct.unpack_from("<I", mended, at + 11)
        end = at + HEADER_BYTES + length
        if end <= len(mended):
            struct.pack_into("<I", mended, at + 3, checksum(bytes(mended[at + 7 : end])))
        at = mended.find(TAG, end if end <= len(mended) else at + 1)
    return bytes(mended)


@cache
def _empty_store() -> bytes:
    """A store without rows, made once: its schema takes longer than what is tested."""
    with _scratch() as directory:
        SqliteStore(directory / "spans.db").close()
        return (directory / "spans.db").read_bytes()


def _new_store(directory: Path) -> SqliteStore:
    (directory / "spans.db").write_bytes(_empty_store())
    return SqliteStore(directory / "spans.db")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory in memory, where there is one."""
    with tempfile.TemporaryDirectory(prefix="everyspan-fuzz-", dir=_memory()) as directory:
        yield Path(directory)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
