"""From an OTLP span, in whichever vocabulary it speaks, to the row that is stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from everyspan.collector.attributes import (
    Attributes,
    Value,
    as_text,
    attributes_of,
    compact_json,
    from_json,
)
from everyspan.collector.bill import bill_of
from everyspan.collector.content import Content, Event, content_of
from everyspan.collector.kinds import kind_of
from everyspan.collector.vocabulary import texts_of
from everyspan.model.ids import Seq, WriterId
from everyspan.record import names
from everyspan.store.rows import SpanRow

_OTEL_STATUS = {1: "ok", 2: "error"}
_ERROR_LEVELS = frozenset({"ERROR", "FATAL", "CRITICAL"})
_ENVIRONMENT = re.compile(r"[a-z0-9_-]+")
_ENVIRONMENT_PREFIX = re.compile(r"^(langfuse[-_]?)+")
_LATEST_NS = 2**63 - 1

_TAGS = (
    names.LANGFUSE_TAGS,
    "langfuse.tags",
    "langfuse.observation.metadata.langfuse_tags",
    "langfuse.trace.metadata.langfuse_tags",
    "ai.telemetry.metadata.tags",
    "tag.tags",
)
_TAGS_SET = frozenset(_TAGS)
_DROPPED = frozenset((names.STAMP, "langfuse.trace.input", "langfuse.trace.output"))
"""Attributes that are kept in columns only."""


@dataclass(frozen=True)
class Origin:
    """What a span shares with others of its request: whose it is and where it came from."""

    project: str
    received_ns: int
    resource: Attributes
    key_id: str = ""
    scope: str = ""
    scope_version: str = ""
    scope_attributes: Attributes | None = None

    @cached_property
    def service(self) -> str:
        """The service that the resource names."""
        return as_text(self.resource.get("service.name"))


@dataclass(frozen=True, slots=True)
class Identity:
    """Which span it is: our stamp when it has one, and the bytes it arrived as."""

    raw: bytes
    writer: WriterId | None = None
    seq: Seq | None = None

    def key(self, trace_id: str, span_id: str) -> str:
        """See `SpanRow.key`."""
        if self.writer is not None:
            return f"w:{self.writer}:{self.seq}"
        # Of the span alone: a collector in between may regroup resources, and a retry is still a copy.
        return f"h:{trace_id}:{span_id}:{hashlib.blake2b(self.raw, digest_size=12).hexdigest()}"


def span_row(span: Any, identity: Identity, origin: Origin) -> SpanRow:
    """The row of a protobuf `Span` whose ids are valid. Pure, and total: whatever its attributes hold.

    A span that is older than the conventions, or lies, still gives a row; what does not fit a column stays in
    `attributes`.
    """
    attributes = attributes_of(span.attributes)
    said = texts_of(attributes).get
    events = [(event.name, attributes_of(event.attributes)) for event in span.events]
    content = content_of(attributes, events)
    start_ns, end_ns = _times(span.start_time_unix_nano, span.end_time_unix_nano, origin.received_ns)
    model, provider = said("model", ""), said("provider", "")
    kind = kind_of(attributes)
    bill = bill_of(attributes, kind=kind, model=model, provider=provider, at_ns=start_ns)
    if span.name == "raw_gen_ai_request" and origin.scope == "litellm":
        # litellm's `langfuse_otel` and `otel` callbacks send each call twice: `litellm_request` with the money and
        # this one below it with the provider's own words.
        bill = bill.without("litellm's raw copy of the call above it")
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    return SpanRow(
        project=origin.project,
        key_id=origin.key_id,
        key=identity.key(trace_id, span_id),
        trace_id=trace_id,
        span_id=span_id,
        parent_id=_parent(span.parent_span_id),
        writer=identity.writer,
        seq=identity.seq,
        name=said("name") or span.name,
        kind=kind,
        service=origin.service,
        scope=origin.scope,
        start_ns=start_ns,
        end_ns=end_ns,
        status=_status(span.status.code, said("level", "")),
        status_message=said("status_message") or span.status.message,
        end=said("end", ""),
        provider=provider,
        model="" if bill.roll_up else model,
        response_id=said("response_id", ""),
        user=said("user", ""),
        session=said("session", ""),
        environment=_environment(attributes, origin.resource),
        tags=_tags(attributes),
        trace_name=said("trace_name", ""),
        first_token_ns=_first_token_ns(attributes, start_ns),
        usage=bill.usage,
        cost_state=bill.state,
        cost=bill.total,
        cost_note=bill.note,
        unbilled=bill.unbilled,
        attributes=_kept(span, attributes, events, content, origin),
        input=content.input,
        output=content.output,
        trace_input=said("trace_input", ""),
        trace_output=said("trace_output", ""),
        received_ns=origin.received_ns,
    )


def _times(start_ns: int, end_ns: int, received_ns: int) -> tuple[int, int]:
    # A missing edge takes the other one; a time after the year 2262 is no time.
    start_ns = start_ns if 0 < start_ns <= _LATEST_NS else 0
    end_ns = end_ns if 0 < end_ns <= _LATEST_NS else 0
    start_ns = start_ns or end_ns or received_ns
    return start_ns, max(end_ns or start_ns, start_ns)


def _parent(parent_span_id: bytes) -> str | None:
    return parent_span_id.hex() if len(parent_span_id) == 8 and any(parent_span_id) else None


def _status(code: int, level: str) -> str:
    return "error" if level.strip().upper() in _ERROR_LEVELS else _OTEL_STATUS.get(code, "unset")


def _environment(attributes: Attributes, resource: Attributes) -> str:
    for name in ("langfuse.environment", "deployment.environment.name", "deployment.environment"):
        said = attributes.get(name) or resource.get(name)
        if said:
            return _cleaned(as_text(said))
    return "default"


@lru_cache(256)
def _cleaned(environment: str) -> str:
    cleaned = _ENVIRONMENT_PREFIX.sub("", environment.lower())[:40]
    return cleaned if _ENVIRONMENT.fullmatch(cleaned) else "default"


def _tags(attributes: Attributes) -> tuple[str, ...]:
    if _TAGS_SET.isdisjoint(attributes):
        return ()
    for name in _TAGS:
        said = attributes.get(name)
        if not said:
            continue
        if isinstance(said, str):
            listed = from_json(said) if said.lstrip().startswith("[") else said
            said = listed if isinstance(listed, list) else [part.strip() for part in said.split(",")]
        texts = (as_text(tag) for tag in said) if isinstance(said, list) else (as_text(said),)
        return tuple(dict.fromkeys(text for text in texts if text))
    return ()


def _first_token_ns(attributes: Attributes, start_ns: int) -> int | None:
    seconds = _number(attributes.get(names.TIME_TO_FIRST_CHUNK))
    if seconds is not None:
        return _bounded(seconds * 1e9)
    at = from_json(attributes.get(names.LANGFUSE_FIRST_TOKEN_AT))
    if isinstance(at, str):
        try:
            return _bounded(_ns_since_1970(at) - start_ns)
        except ValueError:
            return None  # no date: it stays readable among the attributes
    for name in ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"):
        milliseconds = _number(attributes.get(name))
        if milliseconds is not None:
            return _bounded(milliseconds * 1e6)
    return None


def _ns_since_1970(date: str) -> int:
    at = datetime.fromisoformat(date)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    whole_s = int(at.replace(microsecond=0).timestamp())
    return whole_s * 1_000_000_000 + at.microsecond * 1000


def _number(value: Value) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _bounded(duration_ns: float) -> int | None:
    return int(duration_ns) if 0 <= duration_ns <= _LATEST_NS // 2 else None


def _kept(
    span: Any, attributes: Attributes, events: Sequence[Event], content: Content, origin: Origin
) -> str:
    gone = content.taken | _DROPPED
    kept: dict[str, object] = {
        "attributes": {name: value for name, value in attributes.items() if name not in gone},
        "resource": origin.resource,
    }
    if origin.scope_version or origin.scope_attributes:
        kept["scope"] = {"version": origin.scope_version, "attributes": dict(origin.scope_attributes or {})}
    if events:
        kept["events"] = [
            {"name": name, "time_ns": event.time_unix_nano, "attributes": said}
            for event, (name, said) in zip(span.events, events, strict=True)
        ]
    if span.links:
        kept["links"] = [
            {"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex(), **_linked(link)}
            for link in span.links
        ]
    if span.trace_state:
        kept["trace_state"] = span.trace_state
    if span.kind:
        kept["span_kind"] = span.kind
    return compact_json(kept)


def _linked(link: Any) -> dict[str, object]:
    return {"attributes": attributes_of(link.attributes)} if link.attributes else {}
