"""Traces and errors in the shapes that Jaeger's clients read.

Sources: Jaeger UI, `types/trace`, and Grafana's Jaeger data source, `pkg/tsdb/jaeger/types`. Both read arrays where an
array may be empty, and whole microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from everyspan.query.traces import Trace, TraceSpan
from everyspan.store.rows import SpanRow
from everyspan.web.endpoint import json_response

_TYPES = {bool: "bool", int: "int64", float: "float64"}
_SAMPLED = 1


def data(found: Sequence[Any]) -> dict[str, Any]:
    """What every answer is wrapped in."""
    return {"data": list(found), "total": len(found), "limit": 0, "offset": 0, "errors": None}


def refused(why: str, status: int) -> Response:
    """An error."""
    said = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": status, "msg": why}]}
    return json_response(said, status=status)


def as_jaeger(found: Trace) -> dict[str, Any]:
    """A whole trace; each service is a process, with what its first span says about where it ran."""
    kept = [_kept(span.row) for span in found.spans]
    processes: dict[str, dict[str, Any]] = {}
    process_of: dict[str, str] = {}
    for span, said in zip(found.spans, kept, strict=True):
        service = span.row.service
        if service not in process_of:
            process_of[service] = f"p{len(process_of) + 1}"
            resource = {
                name: value for name, value in _object(said, "resource").items() if name != "service.name"
            }
            processes[process_of[service]] = {"serviceName": service or "unnamed", "tags": _tags(resource)}
    return {
        "traceID": found.summary.trace_id,
        "spans": [
            _span(span, process_of[span.row.service], said)
            for span, said in zip(found.spans, kept, strict=True)
        ],
        "processes": processes,
        "warnings": None,
    }


def _span(span: TraceSpan, process: str, said: Mapping[str, Any]) -> dict[str, Any]:
    row = span.row
    parent = {"refType": "CHILD_OF", "traceID": row.trace_id, "spanID": row.parent_id}
    return {
        "traceID": row.trace_id,
        "spanID": row.span_id,
        "flags": _SAMPLED,
        "operationName": row.name,
        "references": [parent] if row.parent_id else [],
        "startTime": row.start_ns // 1000,
        "duration": (row.end_ns - row.start_ns) // 1000,
        "tags": _tags(_about(row)),
        "logs": [_log(event) for event in said.get("events", ()) if isinstance(event, dict)],
        "processID": process,
        "warnings": [f"parent {row.parent_id} has not arrived"] if span.parent_missing else None,
    }


def _about(row: SpanRow) -> dict[str, Any]:
    return {
        "span.kind": "client" if row.cost_state else "internal",
        "everyspan.kind": row.kind,
        "gen_ai.provider.name": row.provider,
        "gen_ai.response.model": row.model,
        "gen_ai.usage.input_tokens": row.usage.input_tokens,
        "gen_ai.usage.output_tokens": row.usage.output_tokens,
        "everyspan.cost.total": None if row.cost is None else format(row.cost, "f"),
        "everyspan.cost.state": row.cost_state.value if row.cost_state else "",
        "everyspan.end": row.end,
        "everyspan.unbilled": row.unbilled,
        "user.id": row.user,
        "session.id": row.session,
        "error": row.status == "error" or None,
        "otel.status_description": row.status_message,
        "input": row.input,
        "output": row.output,
    }


def _log(event: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"event": event.get("name", ""), **_object(event, "attributes")}
    return {"timestamp": int(event.get("time_ns") or 0) // 1000, "fields": _tags(fields)}


def _tags(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": name, "type": _TYPES.get(type(value), "string"), "value": _plain(value)}
        for name, value in said.items()
        if value not in (None, "")
    ]


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _kept(row: SpanRow) -> dict[str, Any]:
    try:
        said = json.loads(row.attributes)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _object(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = said.get(name)
    return found if isinstance(found, dict) else {}
