"""Spans for the tests of the sender: encoded and appended as recording does it."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from everyspan.model.destination import Destination
from everyspan.model.ids import RandomIds
from everyspan.settings import Fsync
from everyspan.spool import Kept, Log
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind

_IDS = RandomIds()
_RESOURCE = Resource({"service.name": "tests"})
_SCOPE = InstrumentationScope("tests.sender")


def root_of(spool_dir: Path, destination: Destination) -> Path:
    """Where the writers for `destination` have their directories."""
    return spool_dir / destination.id


def new_log(spool_dir: Path, destination: Destination) -> Log:
    """A log as `client.py` makes it."""
    return Log(
        root_of(spool_dir, destination),
        about={"destination": destination.id, "url": destination.url},
        fsync=Fsync.NONE,
        cap_bytes=64 << 20,
    )


def a_span(name: str, *, text: str = "") -> ReadableSpan:
    """A root span with fresh ids."""
    context = SpanContext(
        _IDS.generate_trace_id(), _IDS.generate_span_id(), is_remote=False, trace_flags=TraceFlags(1)
    )
    return ReadableSpan(
        name,
        context=context,
        resource=_RESOURCE,
        attributes={"text": text} if text else {},
        instrumentation_scope=_SCOPE,
        start_time=1_700_000_000_000_000_000,
        end_time=1_700_000_001_000_000_000,
    )


def record(log: Log, *names: str, text: str = "") -> None:
    """Append a finished span for each name; it must end up on disk."""
    for name in names:
        payload, stamp_at, *_ = encode_span(a_span(name, text=text))
        assert log.append(Kind.SPAN, payload, stamp_at=stamp_at) is Kept.DISK


def begin(log: Log, name: str) -> None:
    """Append the start of a span that does not end."""
    payload, stamp_at, *_ = encode_started(a_span(name))
    assert log.append(Kind.START, payload, stamp_at=stamp_at) is Kept.DISK
