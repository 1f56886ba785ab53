"""From the events of Langfuse's ingestion API to one row: a trace or an observation, as its events left it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from everyspan.collector.mapping import Identity, Origin, span_row
from everyspan.store.rows import REVISED, SpanRow
from everyspan.web.langfuse.exchange import RequestError, ns_of
from everyspan.web.langfuse.ids import span_id_of, trace_id_of

EVENTS = "everyspan.langfuse.events"
"""The attribute under which the events of a row stay."""

ID, TRACE_ID = "everyspan.langfuse.id", "everyspan.langfuse.trace_id"
"""The attributes that hold the ids which the client made up."""

_TYPES = (
    "span",
    "generation",
    "event",
    "agent",
    "tool",
    "chain",
    "retriever",
    "evaluator",
    "embedding",
    "guardrail",
)
KINDS = {
    "trace-create": "trace",
    **{f"{kind}-create": kind for kind in _TYPES},
    **{f"{kind}-update": kind for kind in ("span", "generation")},
    "observation-create": "",
    "observation-update": "",
}
"""The types of events that make rows, each with what it says about the kind of its row."""

_AS_JSON = {
    "input": "langfuse.observation.input",
    "output": "langfuse.observation.output",
    "metadata": "langfuse.observation.metadata",
    "modelParameters": "langfuse.observation.model.parameters",
    "usageDetails": "langfuse.observation.usage_details",
    "costDetails": "langfuse.observation.cost_details",
}
_AS_TEXT = {
    "level": "langfuse.observation.level",
    "statusMessage": "langfuse.observation.status_message",
    "model": "langfuse.observation.model.name",
    "completionStartTime": "langfuse.observation.completion_start_time",
    "promptName": "langfuse.observation.prompt.name",
    "promptVersion": "langfuse.observation.prompt.version",
    "version": "langfuse.version",
    "environment": "langfuse.environment",
}
_TRACE_AS_JSON = {
    "input": "langfuse.trace.input",
    "output": "langfuse.trace.output",
    "metadata": "langfuse.trace.metadata",
    "tags": "langfuse.trace.tags",
}
_TRACE_AS_TEXT = {
    "name": "langfuse.trace.name",
    "userId": "user.id",
    "sessionId": "session.id",
    "release": "langfuse.release",
    "version": "langfuse.version",
    "environment": "langfuse.environment",
}


def key_of(event_type: str, body: Mapping[str, Any]) -> str:
    """The key of the row that an event is about.

    Raises:
        RequestError: it does not say what it is about.
    """
    if not isinstance(body.get("id"), str) or not body["id"]:
        raise RequestError("the body takes an id")
    what = "trace" if event_type == "trace-create" else "observation"
    if what == "observation" and not isinstance(body.get("traceId"), (str, type(None))):
        raise RequestError("traceId takes a string")
    return f"{REVISED}{what}:{_clean(body['id'])}"


def row_of(events: Sequence[dict[str, Any]], origin: Origin, *, before: SpanRow | None) -> SpanRow:
    """The row that these events make, whatever their order; an event that is there twice counts once.

    Args:
        origin: where the latest of them come from; a row that was there `before` stays with its own.
    """
    by_id = {str(event.get("id")): event for event in reversed(events)}
    ordered = sorted(
        by_id.values(), key=lambda event: (ns_of(event["timestamp"], "timestamp"), str(event["id"]))
    )
    body: dict[str, Any] = {}
    kind = ""
    for event in ordered:
        body |= {name: value for name, value in event["body"].items() if value is not None}
        kind = KINDS[event["type"]] or str(event["body"].get("type", "")).lower() or kind
    is_trace = kind == "trace"
    at_ns = ns_of(ordered[0]["timestamp"], "timestamp")
    start = body.get("timestamp") if is_trace else body.get("startTime")
    start_ns = ns_of(start, "startTime") if start else at_ns
    end_ns = ns_of(body["endTime"], "endTime") if body.get("endTime") and not is_trace else start_ns
    trace_id = str(body["id"] if is_trace else body.get("traceId") or body["id"])
    parent = "" if is_trace else str(body.get("parentObservationId") or trace_id)
    attributes = _trace_attributes(body) if is_trace else _attributes(body, kind)
    span = Span(
        trace_id=bytes.fromhex(trace_id_of(trace_id)),
        span_id=bytes.fromhex(span_id_of(f"trace {trace_id}" if is_trace else str(body["id"]))),
        parent_span_id=_parent(parent, trace_id),
        name=_clean(str(body.get("name") or kind)),
        start_time_unix_nano=start_ns,
        end_time_unix_nano=end_ns,
    )
    for name, value in attributes.items():
        span.attributes.append(KeyValue(key=name, value=AnyValue(string_value=_clean(value))))
    if before is not None:
        origin = replace(origin, received_ns=before.received_ns, key_id=before.key_id)
    row = span_row(span, Identity(b""), origin)
    kept = json.loads(row.attributes)
    kept["attributes"] |= {EVENTS: ordered, ID: str(body["id"]), TRACE_ID: trace_id}
    return replace(row, key=key_of(ordered[0]["type"], body), attributes=json.dumps(kept))


def _parent(parent: str, trace_id: str) -> bytes:
    # What has no parent of its own stands below the trace, which is a row too.
    if not parent:
        return b""
    return bytes.fromhex(span_id_of(f"trace {trace_id}" if parent == trace_id else parent))


def _attributes(body: Mapping[str, Any], kind: str) -> dict[str, str]:
    found = {"langfuse.observation.type": kind or "span"}
    found |= _told(body, _AS_JSON, _AS_TEXT)
    usage = body.get("usage")
    if isinstance(usage, dict):
        counts = {name: usage[name] for name in ("input", "output", "total") if usage.get(name) is not None}
        named = {"promptTokens": "input", "completionTokens": "output", "totalTokens": "total"}
        counts |= {ours: usage[name] for name, ours in named.items() if usage.get(name) is not None}
        costs = {
            name[:-4]: usage[name]
            for name in ("inputCost", "outputCost", "totalCost")
            if usage.get(name) is not None
        }
        if counts:
            found.setdefault("langfuse.observation.usage_details", json.dumps(counts))
        if costs:
            found.setdefault("langfuse.observation.cost_details", json.dumps(costs))
    return found


def _trace_attributes(body: Mapping[str, Any]) -> dict[str, str]:
    public = {"langfuse.trace.public": "true"} if body.get("public") is True else {}
    return {"langfuse.observation.type": "span", **_told(body, _TRACE_AS_JSON, _TRACE_AS_TEXT), **public}


def _told(body: Mapping[str, Any], as_json: Mapping[str, str], as_text: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, attribute in as_json.items():
        value = body.get(name)
        if value is not None:
            found[attribute] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    for name, attribute in as_text.items():
        if body.get(name) is not None:
            found[attribute] = str(body[name])
    return found


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
