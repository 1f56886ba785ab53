"""OTLP in JSON, translated to protobuf before it is kept: one format behind the door."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from everyspan.collector.cut import Bad
from everyspan.collector.json_shape import check_values
from everyspan.errors import CollectorError

_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")
# What json_format raises depends on where in the tree the wrong type stands.
_MALFORMED = (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError)


class Translated(NamedTuple):
    """An `ExportTraceServiceRequest` as protobuf, and the spans that did not make it."""

    body: bytes
    bad: list[Bad]


def from_json(body: bytes) -> Translated:
    """Translate an OTLP/JSON body: ids in hex, 64-bit numbers as strings, unknown fields ignored.

    Raises:
        CollectorError: 400 when the body is not JSON or not shaped like a request, 413 when it holds too many values.
    """
    check_values(body)
    try:
        request = _loaded(body)
    except (ValueError, RecursionError) as malformed:
        raise CollectorError(f"the body is not JSON: {malformed}", status=400) from None
    if not isinstance(request, dict):
        raise CollectorError("the body is JSON but no object with resourceSpans", status=400)
    translated = ExportTraceServiceRequest()
    bad: list[Bad] = []
    for resource_spans in _list(request, "resourceSpans", "resource_spans"):
        message, refused = _resource_spans(resource_spans)
        translated.resource_spans.append(message)
        bad += refused
    return Translated(translated.SerializeToString(), bad)


def _loaded(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    # An escape such as \ud800 alone is no character; protobuf would refuse the whole span for it.
    return _with_characters(json.loads(text)) if "\\ud" in text or "\\uD" in text else json.loads(text)


def _with_characters(said: Any) -> Any:
    if isinstance(said, str):
        return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(said, list):
        return [_with_characters(item) for item in said]
    if isinstance(said, dict):
        return {_with_characters(name): _with_characters(value) for name, value in said.items()}
    return said


def _resource_spans(said: Any) -> tuple[Any, list[Bad]]:
    message = ResourceSpans()
    bad: list[Bad] = []
    if not isinstance(said, dict):
        return message, [Bad("an element of resourceSpans is no object")]
    _parse({"resource": said.get("resource") or {}}, message, bad, "resource")
    for scope_spans in _list(said, "scopeSpans", "scope_spans"):
        into = message.scope_spans.add()
        if not isinstance(scope_spans, dict):
            bad.append(Bad("an element of scopeSpans is no object"))
            continue
        _parse({"scope": scope_spans.get("scope") or {}}, into, bad, "scope")
        for span in _list(scope_spans, "spans"):
            one = Span()
            if _parse(span, one, bad, "span"):
                into.spans.append(one)
    return message, bad


def _parse(said: Any, message: Any, bad: list[Bad], what: str) -> bool:
    try:
        json_format.ParseDict(_with_base64_ids(said), message, ignore_unknown_fields=True)
    except _MALFORMED as malformed:
        name = str(said.get("name", ""))[:80] if isinstance(said, dict) else ""
        bad.append(Bad(f"{what} {name!r}: {str(malformed)[:200]}", spans=int(what == "span")))
        return False
    return True


def _with_base64_ids(said: Any) -> Any:
    # The protobuf JSON mapping writes bytes as base64; OTLP makes an exception for ids, and only for them.
    if not isinstance(said, dict):
        raise ValueError("not an object")
    changed: dict[str, Any] = {name: _base64(said[name]) for name in _IDS if said.get(name)}
    if said.get("links"):
        changed["links"] = [_with_base64_ids(link) for link in said["links"]]
    return {**said, **changed} if changed else said


def _base64(hexadecimal: Any) -> str:
    try:
        return base64.b64encode(bytes.fromhex(hexadecimal)).decode()
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"the id {str(hexadecimal)[:40]!r} is not hexadecimal") from None


def _list(parent: dict[str, Any], *names: str) -> Iterator[Any]:
    for name in names:
        items = parent.get(name)
        if items is None:
            continue
        if not isinstance(items, list):
            raise CollectorError(f"{name} is not a list", status=400)
        yield from items
