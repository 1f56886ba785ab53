"""Calls that the program's own sampler declines: no span, but their usage and cost, to the last digit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.cli.ask import Collector
from everyspan.cli.tree import draw
from everyspan.server import running
from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.programs import clean_environment, run_program

SECRET = "a secret of the user"
CALLS = """
import asyncio, json, os, openai, everyspan
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exported = InMemorySpanExporter()
{provider}
everyspan.init()
client = openai.OpenAI(api_key="k", base_url={url!r}, max_retries=0)
asynchronous = openai.AsyncOpenAI(api_key="k", base_url={url!r}, max_retries=0)
asked = dict(model="gpt-4o-mini", messages=[dict(role="user", content={secret!r})])
streamed = asked | dict(stream=True, stream_options=dict(include_usage=True))

async def many():
    await asyncio.gather(*(asynchronous.chat.completions.create(**asked) for _ in range(4)))

with everyspan.context(user="ada", tags=["night"]), everyspan.span("around"):
    client.chat.completions.create(**asked)
    for chunk in client.chat.completions.create(**streamed):
        pass
    asyncio.run(many())
{after}
receipt = everyspan.flush(10)
print(json.dumps(dict(everyspan.stats()["calls"], complete=receipt.complete, faults=everyspan.stats()["faults"])))
"""
OWN = "provider = TracerProvider({}); provider.add_span_processor(SimpleSpanProcessor(exported))\n" + (
    "trace.set_tracer_provider(provider)"
)
NOTHING_EXPORTED = "assert not exported.get_finished_spans(), exported.get_finished_spans()"
SAMPLERS = "from opentelemetry.sdk.trace.sampling import *\n"
UNSAMPLED_CALLER = (
    SAMPLERS
    + OWN.format("sampler=DEFAULT_ON")
    + (
        '\nheaders = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-00"}'
        "\nmanager = everyspan.context(headers=headers); manager.__enter__()"
    )
)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running(tmp_path / "data") as server:
        yield Collector(url=server.url)


def run(
    tmp_path: Path,
    provider: FakeProvider,
    endpoint: str,
    *,
    before: str,
    after: str = NOTHING_EXPORTED,
    environment: Mapping[str, str] | None = None,
) -> Any:
    code = CALLS.format(provider=before, after=after, url=provider.openai_url, secret=SECRET)
    told = {"EVERYSPAN_ENDPOINT": endpoint, **(environment or {})}
    return json.loads(run_program(code, spool=tmp_path / "spool", environment=told))


@pytest.mark.parametrize(
    ("before", "environment"),
    [
        (SAMPLERS + OWN.format("sampler=ALWAYS_OFF"), {}),
        (OWN.format(""), {"OTEL_TRACES_SAMPLER": "always_off"}),
        (UNSAMPLED_CALLER, {}),
    ],
    ids=["always_off", "OTEL_TRACES_SAMPLER", "an unsampled caller"],
)
def test_what_a_sampler_drops_is_billed_to_the_last_digit_and_audited(
    tmp_path: Path, provider: FakeProvider, collector: Collector, before: str, environment: dict[str, str]
) -> None:
    said = run(tmp_path, provider, collector.url, before=before, environment=environment)

    assert (said["sampled_out"], said["unsampled"], said["complete"], said["faults"]) == (6, 0, True, {})
    total = collector.ask("costs", user="ada", tag="night")["total"]
    assert (total["calls"], total["states"]) == (6, {"computed": 6})
    assert Decimal(total["cost"]) == provider.ledger.cost
    assert collector.ask("completeness")["verdict"] in ("complete", "open")
    assert collector.ask("completeness")["spans"] == 6


def test_an_entry_has_the_ids_of_the_call_and_no_word_of_it(
    tmp_path: Path, provider: FakeProvider, collector: Collector
) -> None:
    run(tmp_path, provider, collector.url, before=SAMPLERS + OWN.format("sampler=ALWAYS_OFF"))

    (listed,) = collector.ask("traces")["traces"]
    trace = collector.ask("traces", listed["trace_id"])
    assert len(trace["spans"]) == 6
    assert {span["scope"] for span in trace["spans"]} == {"everyspan.ledger"}
    assert len({span["parent_id"] for span in trace["spans"]}) == 1
    assert SECRET not in json.dumps(trace)
    said = [line for line in draw(trace) if line.endswith("(sampled out: usage and cost only)")]
    assert len(said) == 6
    assert not any(span["input"] or span["output"] for span in trace["spans"])
    stored = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert SECRET.encode() not in stored


def test_half_of_the_traces_sampled_is_all_of_the_money(
    tmp_path: Path, provider: FakeProvider, collector: Collector
) -> None:
    before = (
        SAMPLERS
        + "class EveryOther(Sampler):\n"
        + "    asked = 0\n"
        + "    def should_sample(self, *args, **kwargs):\n"
        + "        self.asked += 1\n"
        + "        keep = Decision.RECORD_AND_SAMPLE if self.asked % 2 else Decision.DROP\n"
        + "        return SamplingResult(keep)\n"
        + "    def get_description(self): return 'every other'\n"
        + OWN.format("sampler=EveryOther()")
    )

    said = run(tmp_path, provider, collector.url, before=before, after="")

    (listed,) = collector.ask("traces")["traces"]
    spans = [span for span in collector.ask("traces", listed["trace_id"])["spans"] if span["kind"] != "span"]
    entries = [span for span in spans if span["scope"] == "everyspan.ledger"]
    assert (len(spans), len(entries), said["sampled_out"]) == (6, 3, 3)
    assert not any(span["parent_missing"] for span in spans)
    assert Decimal(collector.ask("costs")["total"]["cost"]) == provider.ledger.cost


def test_whoever_wants_no_ledger_has_none(
    tmp_path: Path, provider: FakeProvider, collector: Collector
) -> None:
    said = run(
        tmp_path,
        provider,
        collector.url,
        before=SAMPLERS + OWN.format("sampler=ALWAYS_OFF"),
        environment={"EVERYSPAN_SAMPLED_OUT": "drop"},
    )

    assert (said["sampled_out"], said["unsampled"]) == (0, 6)
    assert collector.ask("costs")["total"]["calls"] == 0


def test_langfuses_sample_rate_leaves_usage_and_cost(tmp_path: Path, provider: FakeProvider) -> None:
    pytest.importorskip("langfuse", reason="Langfuse's SDK is not installed")
    with Sink() as sink:
        host = sink.url.removesuffix("/v1/traces")
        before = (
            "from langfuse import Langfuse\n"
            f"langfuse = Langfuse(public_key='pk-lf-1', secret_key='sk-lf-1', host={host!r}, sample_rate=0.0)"
        )
        keys = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1", "LANGFUSE_HOST": host}

        said = run(tmp_path, provider, "", before=before, after="", environment=keys)

    assert said["sampled_out"] == 6
    assert [span.name for span in sink.spans] == ["chat gpt-4o-mini"] * 6
    details = [
        json.loads(str(span.attributes["langfuse.observation.cost_details"]), parse_float=Decimal)
        for span in sink.spans
    ]
    assert sum(each["total"] for each in details) == provider.ledger.cost
    assert SECRET.encode() not in b"".join(request.body for request in sink.requests)


LITELLM = """
import asyncio, json, litellm, everyspan
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
everyspan.init()
asked = dict(model="openai/gpt-4o-mini", api_base={url!r}, api_key="k", messages=[dict(role="user", content="x")])
litellm.completion(**asked)
async def many():
    async for chunk in await litellm.acompletion(**asked, stream=True, stream_options=dict(include_usage=True)):
        pass
asyncio.run(many())
everyspan.flush(10)
print(json.dumps(everyspan.stats()["calls"]))
"""


def test_litellms_calls_are_one_entry_each(
    tmp_path: Path, provider: FakeProvider, collector: Collector
) -> None:
    code = LITELLM.format(url=provider.openai_url)
    told = {"EVERYSPAN_ENDPOINT": collector.url, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

    said = json.loads(run_program(code, spool=tmp_path / "spool", environment=told))

    total = collector.ask("costs")["total"]
    assert (said["opened"], said["sampled_out"], total["calls"]) == (2, 2, 2)
    assert Decimal(total["cost"]) == provider.ledger.cost


KILLED = """
import os, threading, openai, everyspan
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
trace.set_tracer_provider(TracerProvider(sampler=ALWAYS_OFF))
everyspan.init()
client = openai.OpenAI(api_key="k", base_url={url!r}, max_retries=0)
stream = client.chat.completions.create(
    model="gpt-4o-mini", messages=[dict(role="user", content={secret!r})], stream=True)
next(iter(stream))
os.kill(os.getpid(), 9)
"""


def test_an_entry_outlives_the_kill_of_its_process_and_is_estimated_without_a_word_on_disk(
    tmp_path: Path, provider: FakeProvider, collector: Collector
) -> None:
    code = KILLED.format(url=provider.openai_url, secret=f"{SECRET} [[words=5 gap=30]]")
    spool = tmp_path / "spool"
    environment = {**clean_environment(spool), "EVERYSPAN_ENDPOINT": collector.url}
    died = subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    on_disk = b"".join(path.read_bytes() for path in spool.rglob("*") if path.is_file())

    drained = subprocess.run(
        [sys.executable, "-m", "everyspan.cli.main", "drain"], env=environment, timeout=60, check=False
    )

    assert drained.returncode == 0
    assert SECRET.encode() not in on_disk
    (listed,) = collector.ask("traces")["traces"]
    (span,) = collector.ask("traces", listed["trace_id"])["spans"]
    assert (span["end"], span["cost_state"], span["scope"]) == (
        "interrupted",
        "estimated",
        "everyspan.ledger",
    )
    assert span["usage"]["input_tokens"] > 0
    assert collector.ask("completeness")["verdict"] == "complete"
