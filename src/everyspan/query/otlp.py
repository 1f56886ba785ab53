"""Stored spans as OTLP/JSON, the way they would be sent: what is imported again gives the same rows.

Source: OpenTelemetry protocol, JSON encoding: ids in hex, 64-bit numbers as strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from everyspan.record import names
from everyspan.store.rows import SpanRow

_DEEPEST = 32
"""Levels that are values of their own; what is below them is JSON in a text."""

_STATUS = {"ok": 1, "error": 2}
_TRACE_TEXTS = {"langfuse.trace.input": "trace_input", "langfuse.trace.output": "trace_output"}


def otlp_request(rows: Sequence[SpanRow]) -> dict[str, Any]:
    """An `ExportTraceServiceRequest` of these spans, gathered by resource and scope."""
    resources: dict[str, tuple[Any, dict[str, Any]]] = {}
    for row in rows:
        kept = _json(row.attributes)
        resource = kept.get("resource") or {}
        scope = {"name": row.scope, **(kept.get("scope") or {})}
        _, scopes = resources.setdefault(json.dumps(resource, sort_keys=True), (resource, {}))
        _, spans = scopes.setdefault(json.dumps(scope, sort_keys=True), (scope, []))
        spans.append(_span(row, kept))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _key_values(resource)},
                "scopeSpans": [{"scope": _scope(scope), "spans": spans} for scope, spans in scopes.values()],
            }
            for resource, scopes in resources.values()
        ]
    }


def _json(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": scope["name"],
        "version": str(scope.get("version", "")),
        "attributes": _key_values(scope.get("attributes") or {}),
    }


def _span(row: SpanRow, kept: Mapping[str, Any]) -> dict[str, Any]:
    status = {"code": _STATUS.get(row.status, 0), "message": row.status_message}
    return {
        "traceId": row.trace_id,
        "spanId": row.span_id,
        **({"parentSpanId": row.parent_id} if row.parent_id else {}),
        **({"traceState": kept["trace_state"]} if kept.get("trace_state") else {}),
        "name": row.name,
        "kind": kept.get("span_kind", 0),
        "startTimeUnixNano": str(row.start_ns),
        "endTimeUnixNano": str(row.end_ns),
        "attributes": _key_values({**(kept.get("attributes") or {}), **_columns(row)}),
        "events": [_event(event) for event in kept.get("events") or ()],
        "links": [_link(link) for link in kept.get("links") or ()],
        "status": {name: value for name, value in status.items() if value},
    }


def _columns(row: SpanRow) -> dict[str, Any]:
    """What the collector moved out of the attributes, under names that it reads before all others."""
    said: dict[str, Any] = {names.LANGFUSE_INPUT: row.input, names.LANGFUSE_OUTPUT: row.output}
    said |= {name: getattr(row, field) for name, field in _TRACE_TEXTS.items()}
    if row.writer is not None and row.seq is not None:
        said[names.STAMP] = f"{row.writer}:{row.seq:016x}"
    said[names.UNBILLED] = row.unbilled
    note = _json(row.cost_note)
    # What the sender stated is among the attributes. Any other amount goes as it was stored: another price table
    # must not move history.
    if row.cost_state is not None and not note.get("stated_by"):
        said[names.COST_STATE] = row.cost_state.value
        said[names.COST_TOTAL] = "" if row.cost is None else format(row.cost, "f")
        said[names.COST_TABLE] = note.get("table") or ""
        said[names.COST_MODEL] = note.get("model") or ""
        said[names.COST_UNPRICED] = note.get("unpriced") or ""
        if note.get("lines"):
            said[names.COST_LINES] = json.dumps(note["lines"], separators=(",", ":"))
    return {name: value for name, value in said.items() if value != ""}


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": event.get("name", ""),
        "timeUnixNano": str(event.get("time_ns", 0)),
        "attributes": _key_values(event.get("attributes") or {}),
    }


def _link(link: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "traceId": link.get("trace_id", ""),
        "spanId": link.get("span_id", ""),
        "attributes": _key_values(link.get("attributes") or {}),
    }


def _key_values(said: Mapping[str, Any], depth: int = 0) -> list[dict[str, Any]]:
    return [{"key": name, "value": _any_value(value, depth)} for name, value in said.items()]


def _any_value(value: Any, depth: int = 0) -> dict[str, Any]:
    if depth > _DEEPEST and isinstance(value, (list, Mapping)):
        return {"stringValue": json.dumps(value)}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(each, depth + 1) for each in value]}}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _key_values(value, depth + 1)}}
    return {"stringValue": "" if value is None else str(value)}
