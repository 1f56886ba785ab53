"""litellm and Langfuse's SDK in one program: one generation per call, where Langfuse's own spans are."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from inspect import signature
from pathlib import Path

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from everyspan.testing.sink import Sink
from tests.programs import run_program

langfuse = pytest.importorskip("langfuse", reason="Langfuse's SDK is not installed")

BATCH = """
import asyncio, everyspan, litellm, os
{before}
from langfuse import get_client, observe, Langfuse
{after}
litellm.success_callback = ["langfuse_otel"]

@observe(name="batch_operation")
async def batch():
    asked = [dict(model="anthropic/claude-haiku-4-5", messages=[dict(role="user", content=f"Mail {{n}}, canary")])
             for n in range(5)]
    await asyncio.gather(*(litellm.acompletion(**request) for request in asked))

asyncio.run(batch())
get_client().flush()
"""


def host(sink: Sink) -> str:
    """The sink as the base URL of a Langfuse server."""
    return sink.url.removesuffix("/v1/traces")


def keys(sink: Sink, provider: FakeProvider) -> dict[str, str]:
    return {
        "LANGFUSE_PUBLIC_KEY": "pk-lf-here",
        "LANGFUSE_SECRET_KEY": "sk-lf-here",
        "LANGFUSE_BASE_URL": host(sink),
        "LANGFUSE_HOST": host(sink),
        "ANTHROPIC_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": provider.url,
    }


def split(spans: list[ReceivedSpan]) -> tuple[ReceivedSpan, list[ReceivedSpan]]:
    """The batch and its generations; fails when there is anything else."""
    (batch,) = [span for span in spans if span.name == "batch_operation"]
    generations = [span for span in spans if span.attributes.get("langfuse.observation.type") == "generation"]
    assert len(generations) + 1 == len(spans), [span.name for span in spans]
    return batch, generations


@pytest.mark.parametrize(
    ("before", "after"),
    [("everyspan.init()", ""), ("", "get_client(); everyspan.init()")],
    ids=["everyspan first", "Langfuse first"],
)
def test_each_gathered_call_is_one_generation_below_langfuses_span(
    before: str, after: str, provider: FakeProvider, tmp_path: Path
) -> None:
    with Sink() as sink:
        run_program(
            BATCH.format(before=before, after=after), spool=tmp_path, environment=keys(sink, provider)
        )
        requests, spans = sink.requests, sink.spans

    batch, generations = split(spans)
    assert [generation.parent_id for generation in generations] == [batch.span_id] * 5
    expected = "Basic " + base64.b64encode(b"pk-lf-here:sk-lf-here").decode()
    assert {request.path for request in requests} == {"/api/public/otel/v1/traces"}
    assert {request.headers["authorization"] for request in requests} == {expected}


def test_langfuse_is_told_the_exact_usage_and_cost(provider: FakeProvider, tmp_path: Path) -> None:
    with Sink() as sink:
        run_program(
            BATCH.format(before="everyspan.init()", after=""),
            spool=tmp_path,
            environment=keys(sink, provider),
        )
        _, generations = split(sink.spans)

    costs = [
        json.loads(str(generation.attributes["langfuse.observation.cost_details"]), parse_float=Decimal)
        for generation in generations
    ]
    usages = [
        json.loads(str(generation.attributes["langfuse.observation.usage_details"]))
        for generation in generations
    ]
    assert sum(cost["total"] for cost in costs) == provider.ledger.cost
    assert sum(usage["output"] for usage in usages) == sum(
        call.tokens.output for call in provider.ledger.calls
    )


@pytest.mark.skipif(
    "mask_otel_spans" not in signature(langfuse.Langfuse).parameters,
    reason="this Langfuse SDK masks no spans but its own: mask_otel_spans came with 5.0",
)
def test_langfuses_mask_runs_before_anything_is_on_disk(provider: FakeProvider, tmp_path: Path) -> None:
    masked = """
def mask(*, params):
    from langfuse.types import MaskOtelSpansResult, OtelSpanPatch
    patches = {}
    for identifier, span in params.spans.items():
        hit = [key for key, value in span.attributes.items() if "canary" in str(value)]
        patches[identifier] = OtelSpanPatch(set_attributes={key: "[masked]" for key in hit})
    return MaskOtelSpansResult(span_patches=patches)

Langfuse(mask_otel_spans=mask)
"""
    with Sink() as sink:
        run_program(
            BATCH.format(before="everyspan.init()", after=masked),
            spool=tmp_path,
            environment=keys(sink, provider),
        )
        _, generations = split(sink.spans)

    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*.seg"))
    assert {generation.attributes["langfuse.observation.input"] for generation in generations} == {"[masked]"}
    assert b"canary" not in written


def test_an_endpoint_of_ones_own_gets_the_same_calls_beside_langfuse(
    provider: FakeProvider, tmp_path: Path
) -> None:
    with Sink() as langfuse, Sink() as own:
        settings = keys(langfuse, provider)
        program = BATCH.format(before="everyspan.init()", after="")
        run_program(program, spool=tmp_path, environment={**settings, "EVERYSPAN_ENDPOINT": own.url})

        _, at_langfuse = split(langfuse.spans)
        _, at_own = split(own.spans)

    assert {span.span_id for span in at_langfuse} == {span.span_id for span in at_own}
    assert all("authorization" not in request.headers for request in own.requests)


def test_without_langfuses_sdk_the_callback_alone_names_the_destination(
    provider: FakeProvider, tmp_path: Path
) -> None:
    program = """
import everyspan, litellm
everyspan.init()
litellm.success_callback = ["langfuse_otel"]
with everyspan.span("batch_operation"):
    for number in range(3):
        litellm.completion(model="anthropic/claude-haiku-4-5", messages=[dict(role="user", content=f"Mail {number}")])
everyspan.flush()
"""
    with Sink() as sink:
        run_program(program, spool=tmp_path, environment=keys(sink, provider))
        batch, generations = split(sink.spans)

    assert [generation.parent_id for generation in generations] == [batch.span_id] * 3


def test_litellms_plain_otel_callback_adds_no_second_span(provider: FakeProvider, tmp_path: Path) -> None:
    program = """
import asyncio, everyspan, litellm, os
everyspan.init(os.environ["SINK"])
os.environ.update(OTEL_EXPORTER="otlp_http", OTEL_ENDPOINT=os.environ["SINK"], USE_OTEL_LITELLM_REQUEST_SPAN="true")
litellm.callbacks = ["otel"]

async def main():
    request = dict(model="anthropic/claude-haiku-4-5", messages=[dict(role="user", content="Hi")])
    await asyncio.gather(*(litellm.acompletion(**request) for _ in range(3)))
    await asyncio.sleep(1)

asyncio.run(main())
everyspan.flush()
"""
    with Sink() as sink:
        run_program(
            program,
            spool=tmp_path,
            environment={"SINK": sink.url, "ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": provider.url},
        )

        assert [span.name for span in sink.spans] == ["chat anthropic/claude-haiku-4-5"] * 3
