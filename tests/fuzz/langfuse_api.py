"""The doors and Langfuse's API as OpenAPI, as far as a fuzzer has to know them: what is where, and its shape."""

from __future__ import annotations

from typing import Any

from everyspan.web.langfuse import daily, observations, score_lists, traces

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_ANY: Json = {}
_ID: Json = {"anyOf": [{"type": "string", "pattern": "^[0-9a-f]{16,32}$"}, _TEXT]}
_TIME: Json = {"anyOf": [{"type": "string", "format": "date-time"}, _TEXT]}
_VALUE: Json = {"anyOf": [{"type": "number"}, _TEXT, {"type": "boolean"}, {"type": "null"}]}


def _one_of(*values: str) -> Json:
    return {"anyOf": [{"enum": list(values)}, _TEXT]}


def _object(required: tuple[str, ...] = (), **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


_OBSERVATION = _object(
    ("id",),
    **dict.fromkeys(("id", "traceId", "parentObservationId"), _ID),
    **dict.fromkeys(("startTime", "endTime", "completionStartTime", "timestamp"), _TIME),
    **dict.fromkeys(
        ("input", "output", "metadata", "usage", "usageDetails", "costDetails", "tags", "model"), _ANY
    ),
    name=_TEXT,
    value=_VALUE,
)
_EVENT = _object(
    ("id", "type", "timestamp", "body"),
    id=_TEXT,
    type=_one_of("trace-create", "generation-create", "generation-update", "span-create", "score-create"),
    timestamp=_TIME,
    body=_OBSERVATION,
)
_SCORE = _object(
    ("name", "value"),
    **dict.fromkeys(("id", "traceId", "observationId", "sessionId"), _ID),
    name=_TEXT,
    value=_VALUE,
    dataType=_one_of("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"),
    metadata=_ANY,
)
_CONDITION = _object(
    ("type", "column", "operator"),
    type=_one_of(
        "string", "number", "datetime", "stringOptions", "arrayOptions", "stringObject", "boolean", "null"
    ),
    column=_one_of("name", "tags", "latency", "totalCost", "metadata", "startTime", "level", "traceId"),
    operator=_one_of("=", ">", "<=", "any of", "none of", "all of", "contains", "is null"),
    value={"anyOf": [_VALUE, {"type": "array", "items": _TEXT}]},
    key=_TEXT,
)
_FILTER: Json = {"type": "array", "items": _CONDITION}
_QUERY = _object(
    ("view", "metrics"),
    view=_one_of("observations", "traces", "scores-numeric", "scores-boolean", "scores-categorical"),
    dimensions={
        "type": "array",
        "items": _object(
            ("field",), field=_one_of("userId", "name", "tags", "release", "value", "observationName")
        ),
    },
    metrics={
        "type": "array",
        "items": _object(
            ("measure", "aggregation"),
            measure=_one_of(
                *("count", "totalCost", "latency", "totalTokens", "value", "inputCost", "tokensPerSecond"),
                *("countScores", "uniqueUserIds"),
            ),
            aggregation=_one_of("sum", "avg", "count", "max", "p95", "histogram", "uniq"),
        ),
    },
    filters=_FILTER,
    timeDimension=_object((), granularity=_one_of("auto", "minute", "week", "month")),
    fromTimestamp=_TIME,
    toTimestamp=_TIME,
    orderBy={"type": "array", "items": _object((), field=_TEXT, direction=_TEXT)},
    config=_object((), row_limit={"type": "integer"}, bins={"type": "integer"}),
)
_MEDIA = _object(
    (),
    **dict.fromkeys(("traceId", "observationId"), _ID),
    contentType=_one_of("image/png"),
    contentLength={"type": "integer"},
    sha256Hash=_TEXT,
    field=_one_of("input", "output"),
)
_ATTRIBUTES: Json = {
    "type": "array",
    "items": _object((), key=_TEXT, value=_object((), stringValue=_TEXT, intValue=_ANY, arrayValue=_ANY)),
}
_SPAN = _object(
    (),
    traceId=_ID,
    spanId=_ID,
    parentSpanId=_ID,
    name=_TEXT,
    startTimeUnixNano=_ANY,
    endTimeUnixNano=_ANY,
    attributes=_ATTRIBUTES,
    events=_ANY,
    status=_ANY,
)
_OTLP = _object(
    (),
    resourceSpans={
        "type": "array",
        "items": _object(
            (),
            resource=_object((), attributes=_ATTRIBUTES),
            scopeSpans={
                "type": "array",
                "items": _object((), scope=_ANY, spans={"type": "array", "items": _SPAN}),
            },
        ),
    },
)
_LISTS = {
    "observations": observations.LEGACY_TAKES,
    "v2/observations": observations.TAKES,
    "traces": traces.TAKES,
    "sessions": traces.SESSIONS_TAKE,
    "scores": score_lists.LEGACY_TAKES,
    "v2/scores": score_lists.LEGACY_TAKES,
    "v3/scores": score_lists.CURRENT_TAKES,
    "metrics/daily": daily.TAKES,
}


def _operation(path: str, body: Json | None, query: dict[str, Json], kind: str) -> Json:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters: list[Json] = [{"name": name, "in": "path", "required": True, "schema": _ID} for name in names]
    parameters += [{"name": name, "in": "query", "schema": _TEXT} for name in query if not query[name]]
    parameters += [
        {"name": name, "in": "query", "content": {"application/json": {"schema": schema}}}
        for name, schema in query.items()
        if schema
    ]
    said: Json = {"parameters": parameters, "responses": {"default": {"description": "anything but a 5xx"}}}
    if body is not None:
        said["requestBody"] = {"content": {kind: {"schema": body}}}
    return said


def document() -> Json:
    """An OpenAPI 3.1 document."""
    paths: dict[str, Json] = {}

    def add(
        method: str,
        path: str,
        body: Json | None = None,
        query: dict[str, Json] | None = None,
        *,
        kind: str = "application/json",
    ) -> None:
        paths.setdefault(path, {})[method] = _operation(path, body, query or {}, kind)

    base = "/api/public"
    for name, takes in _LISTS.items():
        add("get", f"{base}/{name}", query={each: _FILTER if each == "filter" else {} for each in takes})
    add("get", f"{base}/v2/metrics", query={"query": _QUERY})
    for name in ("observations", "traces", "sessions", "scores", "v2/scores", "media"):
        add("get", f"{base}/{name}/{{id}}")
    for name in ("traces", "scores"):
        add("delete", f"{base}/{name}/{{id}}")
    add("delete", f"{base}/traces", _object((), traceIds={"type": "array", "items": _ID}))
    add("post", f"{base}/ingestion", _object(("batch",), batch={"type": "array", "items": _EVENT}))
    add("post", f"{base}/scores", {"anyOf": [_SCORE, {"type": "array", "items": _SCORE}]})
    add("post", f"{base}/media", _MEDIA)
    add("patch", f"{base}/media/{{id}}", _object((), uploadHttpStatus={"type": "integer"}, uploadedAt=_TIME))
    add("put", f"{base}/media/{{id}}/upload", _TEXT, kind="application/octet-stream", query={"token": {}})
    add("get", f"{base}/media/{{id}}/content", query={"token": {}})
    for path in ("/v1/traces", f"{base}/otel/v1/traces"):
        add("post", path, _OTLP)
    return {"openapi": "3.1.0", "info": {"title": "doors", "version": "1"}, "paths": paths}
