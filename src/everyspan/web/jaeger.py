"""The five GETs of Jaeger's query service, so that Jaeger's UI and Grafana's Jaeger data source open our traces.

Source: Jaeger, HTTP JSON API of its query service (`/api/services`, `/api/traces`, …). Times are microseconds there.
An operation is the name of a trace: names of single spans are not searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette.routing import Route

from everyspan.errors import SettingsError
from everyspan.query.groups import GroupFilter, GroupOrder, TraceBy, list_groups
from everyspan.query.traces import Trace, TraceFilter, TraceSpan, list_traces, trace
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store
from everyspan.web.endpoint import Asked, Endpoint
from everyspan.web.parameters import PROJECT, Kind, Parameter

_MOST = 1000
_PAGE = 20
_MOST_IN_A_PAGE = 200
_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_NS["h"] = 60 * _NS["m"]
_TAGS = {
    "user": "user",
    "user.id": "user",
    "session": "session",
    "session.id": "session",
    "tag": "tag",
    "model": "model",
    "gen_ai.request.model": "model",
    "gen_ai.response.model": "model",
    "provider": "provider",
    "gen_ai.provider.name": "provider",
    "environment": "environment",
    "deployment.environment.name": "environment",
}
_SERVICE = Parameter("service", "The service's name.")
_SEARCH = (
    *(PROJECT, _SERVICE),
    Parameter("operation", "The trace's name."),
    Parameter("tags", "A JSON object of tags and their values."),
    Parameter("start", "Microseconds since 1970.", Kind.WHOLE),
    Parameter("end", "Microseconds since 1970.", Kind.WHOLE),
    Parameter("limit", "How many traces.", Kind.WHOLE),
    Parameter("minDuration", "As `1.2s` or `100ms`."),
    Parameter("maxDuration", "Not used: taken and left alone."),
    Parameter("lookback", "Not used: `start` says it."),
    Parameter("traceID", "One trace."),
)


class Jaeger:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes, for a Starlette application behind `web.guard`."""
        return [
            _endpoint("/api/services", self._services, PROJECT),
            _endpoint("/api/services/{service}/operations", self._operations, PROJECT),
            _endpoint(
                "/api/operations", self._operations_of_kind, PROJECT, _SERVICE, Parameter("spanKind", "")
            ),
            _endpoint("/api/traces", self._traces, *_SEARCH),
            _endpoint(
                "/api/traces/{trace_id}", self._trace, PROJECT, Parameter("start", ""), Parameter("end", "")
            ),
        ]

    def _services(self, asked: Asked) -> object:
        wanted = GroupFilter(project=asked.said.get("project", ""), order=GroupOrder.MOST, limit=_MOST)
        found = list_groups(self._store, TraceBy.SERVICE, wanted)
        return _data(sorted({group.value for group in found.groups if group.value}))

    def _operations(self, asked: Asked) -> object:
        return _data(self._names(asked, asked.path["service"]))

    def _operations_of_kind(self, asked: Asked) -> object:
        names = self._names(asked, asked.said.get("service", ""))
        return _data([{"name": name, "spanKind": "internal"} for name in names])

    def _names(self, asked: Asked, service: str) -> list[str]:
        wanted = TraceFilter(project=asked.said.get("project", ""), service=service, limit=_MOST)
        return sorted({found.name for found in list_traces(self._store, wanted).traces if found.name})

    def _traces(self, asked: Asked) -> object:
        said = asked.said
        if said.get("traceID"):
            return _data([_as_jaeger(trace(self._store, said["traceID"], project=said.get("project")))])
        start, end = said.get("start"), said.get("end")
        wanted = TraceFilter(
            project=said.get("project", ""),
            service=said.get("service", ""),
            name=said.get("operation", ""),
            since_ns=None if start is None else start * 1000,
            until_ns=None if end is None else end * 1000,
            min_duration_ns=_duration_ns(said.get("minDuration", "")),
            limit=min(said.get("limit") or _PAGE, _MOST_IN_A_PAGE),
            **_from_tags(said.get("tags", "")),
        )
        page = list_traces(self._store, wanted)
        found = [trace(self._store, each.trace_id, project=each.project) for each in page.traces]
        return _data([_as_jaeger(each) for each in found])

    def _trace(self, asked: Asked) -> object:
        # Jaeger leaves out leading zeros.
        trace_id = asked.path["trace_id"].rjust(32, "0")
        return _data([_as_jaeger(trace(self._store, trace_id, project=asked.said.get("project")))])


def _endpoint(path: str, answer: Callable[[Asked], object], *parameters: Parameter) -> Route:
    return Endpoint(path=path, about="", answer=answer, parameters=parameters).route()


def _data(found: Sequence[Any]) -> dict[str, Any]:
    return {"data": list(found), "total": len(found), "limit": 0, "offset": 0, "errors": None}


def _duration_ns(text: str) -> int | None:
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not found:
        raise SettingsError(f"minDuration is {text[:40]!r}; it takes 1.2s, 100ms or 500us")
    return int(float(found[1]) * _NS[found[2]])


def _from_tags(text: str) -> dict[str, Any]:
    try:
        tags = json.loads(text) if text else {}
    except ValueError:
        tags = None
    if not isinstance(tags, dict):
        raise SettingsError(f"tags is {text[:40]!r}; it takes a JSON object")
    wanted: dict[str, Any] = {}
    for name, value in tags.items():
        if name == "error":
            wanted["with_errors"] = str(value).lower() == "true"
        elif name in _TAGS:
            wanted[_TAGS[name]] = str(value)
        else:
            raise SettingsError(f"{name[:40]!r} can not be searched; known: error, {', '.join(_TAGS)}")
    return wanted


def _as_jaeger(found: Trace) -> dict[str, Any]:
    services = list(dict.fromkeys(span.row.service for span in found.spans))
    process_of = {service: f"p{number}" for number, service in enumerate(services, start=1)}
    return {
        "traceID": found.summary.trace_id,
        "spans": [_span(span, process_of[span.row.service]) for span in found.spans],
        "processes": {
            process: {"serviceName": service or "unnamed", "tags": []}
            for service, process in process_of.items()
        },
        "warnings": None,
    }


def _span(span: TraceSpan, process: str) -> dict[str, Any]:
    row = span.row
    parent = {"refType": "CHILD_OF", "traceID": row.trace_id, "spanID": row.parent_id}
    return {
        "traceID": row.trace_id,
        "spanID": row.span_id,
        "operationName": row.name,
        "references": [parent] if row.parent_id else [],
        "startTime": row.start_ns // 1000,
        "duration": (row.end_ns - row.start_ns) // 1000,
        "tags": _tags(row),
        "logs": [],
        "processID": process,
        "warnings": [f"parent {row.parent_id} has not arrived"] if span.parent_missing else None,
    }


def _tags(row: SpanRow) -> list[dict[str, Any]]:
    said: dict[str, Any] = {
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
    types = {bool: "bool", int: "int64"}
    return [
        {"key": name, "type": types.get(type(value), "string"), "value": value}
        for name, value in said.items()
        if value not in (None, "")
    ]
