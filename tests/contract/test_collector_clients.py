"""The exporters that people have, unchanged, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langfuse import Langfuse, propagate_attributes
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode

from everyspan.server import Server, running
from tests.collector_requests import get, settled

KEY = "pk-lf-shop:sk-lf-secret"
BEARER = "Bearer sk-lf-secret"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, keys=[KEY]) as opened:
        yield opened


def only_trace(url: str) -> Any:
    settled(url, Authorization=BEARER)
    (summary,) = get(f"{url}/api/v1/traces", Authorization=BEARER).json["traces"]
    return get(f"{url}/api/v1/traces/{summary['trace_id']}", Authorization=BEARER).json


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate])
def test_opentelemetrys_exporter_delivers_and_it_comes_back_right(
    server: Server, compression: Compression
) -> None:
    exporter = OTLPSpanExporter(
        endpoint=f"{server.url}/v1/traces", headers={"Authorization": BEARER}, compression=compression
    )
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop.checkout")

    with tracer.start_as_current_span("checkout"), tracer.start_as_current_span("chat gpt-4o") as call:
        call.set_attribute("gen_ai.operation.name", "chat")
        call.set_attribute("gen_ai.request.model", "gpt-4o")
        call.set_attribute("gen_ai.usage.input_tokens", 1000)
        call.set_attribute("gen_ai.usage.output_tokens", 100)
        call.set_status(Status(StatusCode.ERROR, "too late"))
    provider.shutdown()

    trace = only_trace(server.url)
    root, child = trace["spans"]
    assert (trace["summary"]["name"], trace["summary"]["services"]) == ("checkout", ["shop"])
    assert (trace["summary"]["calls"], trace["summary"]["cost"], trace["summary"]["errors"]) == (
        1,
        "0.0035000",
        1,
    )
    assert (root["depth"], child["depth"], child["parent_id"]) == (0, 1, root["span_id"])
    assert (child["kind"], child["scope"], child["status_message"]) == (
        "generation",
        "shop.checkout",
        "too late",
    )
    assert child["start_ns"] == call.start_time  # type: ignore[attr-defined]


def test_langfuses_sdk_takes_us_for_home_and_its_generation_comes_back_right(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
    client = Langfuse(
        public_key="pk-lf-shop",
        secret_key="sk-lf-secret",
        environment="staging",
        tracer_provider=TracerProvider(),
    )

    assert client.auth_check()
    with (
        client.start_as_current_observation(name="checkout", as_type="span", input={"cart": 3}),
        propagate_attributes(user_id="u-1", session_id="s-1", tags=["a", "b"]),
        client.start_as_current_observation(
            name="answer",
            as_type="generation",
            model="gpt-4o",
            input=[{"role": "user", "content": "hi"}],
        ) as generation,
    ):
        generation.update(output="hello", usage_details={"input": 1000, "output": 100})
    client.flush()
    client.shutdown()

    trace = only_trace(server.url)
    root, child = trace["spans"]
    assert (root["name"], root["kind"], json.loads(root["input"])) == ("checkout", "span", {"cart": 3})
    assert (child["name"], child["kind"], child["model"]) == ("answer", "generation", "gpt-4o")
    assert (child["usage"]["input_tokens"], child["usage"]["output_tokens"]) == (1000, 100)
    assert (child["cost"], child["cost_state"], child["output"]) == ("0.0035000", "computed", "hello")
    assert (child["user"], child["session"], child["tags"]) == ("u-1", "s-1", ["a", "b"])
    assert child["environment"] == "staging"
    assert trace["summary"]["user"] == "u-1"


def test_langfuses_sdk_with_a_wrong_key_is_not_let_in(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_BASE_URL", server.url)
    client = Langfuse(public_key="pk-lf-other", secret_key="sk-lf-secret", tracer_provider=TracerProvider())

    try:
        let_in = client.auth_check()
    except Exception as refused:  # noqa: BLE001 - its class is generated and has no stable name
        let_in = "401" not in str(refused)
    client.shutdown()

    assert not let_in
