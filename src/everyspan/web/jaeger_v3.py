"""Jaeger's `/api/v3`, which newer pages of its UI ask: services, operations, summaries of traces, traces as OTLP.

Source: jaeger-idl, `proto/api_v3/query_service.proto`, and how Jaeger's own server binds it to HTTP. Parameters have
two spellings there, `query.startTimeMin` and the older `query.start_time_min`; errors are `{"error": {…}}`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from everyspan.errors import NotFoundError, SettingsError
from everyspan.query.otlp import otlp_request
from everyspan.query.traces import TraceFilter, list_traces, trace
from everyspan.store.reads import TraceSummary
from everyspan.store.store import Store
from everyspan.web import jaeger_search as search
from everyspan.web.endpoint import Asked, Endpoint, json_response
from everyspan.web.parameters import PROJECT, Kind, Parameter

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_LATEST_NS = 2**63 - 1


def _spelled(name: str, about: str, kind: Kind = Kind.TEXT, *others: str, query: str = "") -> list[Parameter]:
    """A parameter in both of its spellings, and others that it was ever called."""
    older = re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name)
    return [Parameter(f"{query}{each}", about, kind, name) for each in dict.fromkeys((name, older, *others))]


def _of_query(name: str, about: str, kind: Kind = Kind.TEXT, *others: str) -> list[Parameter]:
    return _spelled(name, about, kind, *others, query="query.")


_SEARCH = (
    PROJECT,
    *_of_query("serviceName", "The service's name."),
    *_of_query("operationName", "The trace's name.", Kind.TEXT, "span_name"),
    *_of_query("attributes", "A JSON object of attributes and their values."),
    *_of_query("startTimeMin", "The earliest start, as RFC 3339 has it."),
    *_of_query("startTimeMax", "Traces that start before this."),
    *_of_query("durationMin", "As `1.2s` or `100ms`."),
    *_of_query("durationMax", "As `1.2s` or `100ms`."),
    *_of_query("searchDepth", "How many traces.", Kind.WHOLE, "num_traces"),
    *_of_query("rawTraces", "Not used: traces are as they were sent.", Kind.YES_OR_NO),
)
_ONE = (
    PROJECT,
    *_spelled("startTime", "Not used: a trace is read whole."),
    *_spelled("endTime", "Not used."),
    *_spelled("rawTraces", "Not used.", Kind.YES_OR_NO),
)
_OPERATIONS = (
    PROJECT,
    Parameter("service", "The service's name."),
    *_spelled("spanKind", "The kind of span."),
)


class JaegerV3:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes, for a Starlette application behind `web.guard`."""
        return [
            _endpoint("/api/v3/services", self._services, PROJECT),
            _endpoint("/api/v3/operations", self._operations, *_OPERATIONS),
            _endpoint("/api/v3/trace-summaries", self._summaries, *_SEARCH),
            _endpoint("/api/v3/traces", self._traces, *_SEARCH),
            _endpoint("/api/v3/traces/{trace_id}", self._trace, *_ONE),
        ]

    def _services(self, asked: Asked) -> object:
        return {"services": search.services(self._store, asked.said.get("project", ""))}

    def _operations(self, asked: Asked) -> object:
        # All that there are: the name of a trace is that of no span of another kind.
        if asked.said.get("spanKind", "internal").lower() != "internal":
            return {"operations": []}
        names = search.operations(self._store, asked.said.get("project", ""), asked.said.get("service", ""))
        return {"operations": [{"name": name, "spanKind": "internal"} for name in names]}

    def _summaries(self, asked: Asked) -> object:
        found = list_traces(self._store, _wanted(asked.said)).traces
        return {"summaries": [self._summary(summary) for summary in found]}

    def _traces(self, asked: Asked) -> object:
        found = list(search.whole_traces(self._store, _wanted(asked.said)))
        if not found:
            raise NotFoundError("No traces found")  # which Jaeger's own server says instead of an empty list
        return {"result": otlp_request([span.row for each in found for span in each.spans])}

    def _trace(self, asked: Asked) -> object:
        trace_id = asked.path["trace_id"].lower().rjust(32, "0")  # a short one was written without its zeros
        found = trace(self._store, trace_id, project=asked.said.get("project"))
        return {"result": otlp_request([span.row for span in found.spans])}

    def _summary(self, summary: TraceSummary) -> dict[str, Any]:
        read = self._store.read_outline(summary.trace_id, project=summary.project)
        spans = read[1] if read else []
        known = {span.span_id for span in spans}
        roots = [span for span in spans if not span.parent_id]
        counts = Counter(span.service for span in spans)
        failed = Counter(span.service for span in spans if span.status == "error")
        return {
            "traceId": summary.trace_id,
            "rootServiceName": roots[0].service if roots else "",
            "rootOperationName": summary.name,
            "minStartTimeUnixNano": str(summary.started_ns),
            "maxEndTimeUnixNano": str(summary.ended_ns),
            "spanCount": len(spans),
            "errorSpanCount": failed.total(),
            "orphanSpanCount": sum(1 for span in spans if span.parent_id and span.parent_id not in known),
            "services": [
                {"name": name, "spanCount": counts[name], "errorSpanCount": failed[name]}
                for name in sorted(counts)
            ],
        }


def _endpoint(path: str, answer: Callable[[Asked], object], *parameters: Parameter) -> Route:
    return Endpoint(path=path, about="", answer=answer, parameters=parameters, refused=_refused).route()


def _refused(why: str, status: int) -> Response:
    return json_response({"error": {"httpCode": status, "message": why}}, status=status)


def _wanted(said: Mapping[str, Any]) -> TraceFilter:
    return TraceFilter(
        project=said.get("project", ""),
        service=said.get("serviceName", ""),
        name=said.get("operationName", ""),
        since_ns=_time_ns("query.startTimeMin", said.get("startTimeMin", "")),
        until_ns=_time_ns("query.startTimeMax", said.get("startTimeMax", "")),
        min_duration_ns=search.duration_ns("query.durationMin", said.get("durationMin", "")),
        max_duration_ns=search.duration_ns("query.durationMax", said.get("durationMax", "")),
        limit=min(said.get("searchDepth") or search.PAGE, search.MOST_IN_A_PAGE),
        **search.tags("query.attributes", said.get("attributes", "")),
    )


def _time_ns(name: str, said: str) -> int | None:
    if not said:
        return None
    found = _TIME.fullmatch(said)
    try:
        seconds = datetime.fromisoformat(found[1] + found[3]).astimezone(UTC).timestamp() if found else None
    except (ValueError, OverflowError):
        seconds = None
    if found is None or seconds is None:
        raise SettingsError(f"{name} is {said[:40]!r}; it takes a time such as 2026-11-22T18:00:00Z")
    return min(max(int(seconds) * 10**9 + int((found[2] or "").ljust(9, "0")), 0), _LATEST_NS)
