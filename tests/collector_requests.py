"""OTLP requests for the collector's tests, built with protobuf's own classes and not with ours."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from everyspan.collector.mapping import Identity, Origin, span_row
from everyspan.store.rows import SpanRow

PROTOBUF = "application/x-protobuf"
START_NS = 1_763_800_000_000_000_000
_NO_PROGRESS_S = 60.0
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def any_value(value: Any) -> Any:
    """A protobuf AnyValue of a Python value."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, (list, tuple)):
        listed = AnyValue()
        listed.array_value.values.extend(any_value(item) for item in value)
        return listed
    return AnyValue(string_value=value)


def key_values(attributes: Mapping[str, Any]) -> list[Any]:
    """Protobuf KeyValues of a mapping."""
    return [KeyValue(key=name, value=any_value(value)) for name, value in attributes.items()]


def span(
    number: int = 1, *, name: str = "chat gpt-4o", attributes: Mapping[str, Any] | None = None, **fields: Any
) -> Any:
    """A protobuf Span of one second; `number` makes its id."""
    said: dict[str, Any] = {
        "trace_id": bytes.fromhex(TRACE_ID),
        "span_id": number.to_bytes(8, "big"),
        "name": name,
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000_000,
        **fields,
    }
    return Span(attributes=key_values(attributes or {}), **said)


def generation(number: int = 1, /, **attributes: Any) -> Any:
    """A model call with usage that has a price: 1,000 tokens in and 100 out of gpt-4o, $0.0035."""
    usual = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
    }
    return span(number, attributes={**usual, **attributes})


def request(*spans: Any, service: str = "shop", scope: str = "tests") -> Any:
    """A protobuf ExportTraceServiceRequest with one resource and one scope."""
    made = ExportTraceServiceRequest()
    group = made.resource_spans.add()
    group.resource.attributes.extend(key_values({"service.name": service}))
    group.scope_spans.add().scope.name = scope
    group.scope_spans[0].spans.extend(spans)
    return made


def body(*spans: Any, **shared: str) -> bytes:
    """The bytes of such a request."""
    serialized: bytes = request(*spans, **shared).SerializeToString()
    return serialized


def row_of(sent: Any, *, resource: Mapping[str, Any] | None = None, scope: str = "") -> SpanRow:
    """The row that a protobuf Span turns into."""
    origin = Origin(project="default", received_ns=START_NS, resource=resource or {}, scope=scope)
    return span_row(sent, Identity(sent.SerializeToString()), origin)


class Answer(NamedTuple):
    """What the server said."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What an error says, in the form of the request: protobuf's own `google.rpc.Status`, or JSON."""
        if self.headers["content-type"] == PROTOBUF:
            return str(Status.FromString(self.body).message)
        return str(self.json["message"])

    @property
    def partial_success(self) -> tuple[int, str]:
        """How many spans were rejected, and why."""
        said = ExportTraceServiceResponse.FromString(self.body).partial_success
        return said.rejected_spans, said.error_message


def post(url: str, content: bytes, content_type: str = PROTOBUF, **headers: str) -> Answer:
    """POST to a real server; underscores in header names become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = urllib.request.Request(url, data=content, headers={"Content-Type": content_type, **named})
    return exchange(sent)


def get(url: str, **headers: str) -> Answer:
    """GET from a real server."""
    return exchange(urllib.request.Request(url, headers=headers))


def exchange(sent: urllib.request.Request) -> Answer:
    """Send it to a real server."""
    try:
        with urllib.request.urlopen(sent, timeout=20) as answer:
            return Answer(answer.status, answer.read(), dict(answer.headers.items()))
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.read(), dict(refused.headers.items()))


def settled(url: str, done: Callable[[Any], bool] = lambda health: True, **headers: str) -> Any:
    """The server's health once its inbox is empty and `done` says so."""
    least, since_s = None, time.monotonic()
    while time.monotonic() - since_s < _NO_PROGRESS_S:
        health = get(f"{url}/api/v1/health", **headers).json
        pending = health["inbox_pending"]
        if pending == 0 and done(health):
            return health
        if least is None or pending < least:
            least, since_s = pending, time.monotonic()
        time.sleep(0.005)
    raise AssertionError(f"the inbox was not moved any further for {_NO_PROGRESS_S:g} s: {health}")
