"""Killed in the middle of calls: what had arrived of each answer, and what the rest must have cost, by estimate."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.cli.ask import Collector
from everyspan.cli.demo_collector import CollectorProcess
from everyspan.cost.price import Purchase, price
from everyspan.model.usage import Usage
from everyspan.testing import ProviderProcess, read_ledger
from everyspan.testing.ledger import Entry

# Two streams that the provider lets hang after some words, and a plain call that it never answers. The last chunk of
# each stream is read, then time passes and nothing more comes: what was read is all that can be known.
DYING = """
import json, os, sys, threading, time
import litellm, everyspan
litellm.suppress_debug_info = True
url = sys.argv[1]
read = {}

def ask(model, base, text, **more):
    messages = [{"role": "user", "content": text}]
    return litellm.completion(model=model, messages=messages, api_base=base, api_key="sk-test", **more)

def stream(name, model, base):
    read[name] = ""
    for chunk in ask(model, base, f"{name}: [[words=40 gap=0.03 hang-after=30]] Count, please.", stream=True):
        read[name] += chunk.choices[0].delta.content or ""

def plain():
    ask("anthropic/claude-haiku-4-5", url, "plain: [[hang]] Will anybody answer this?")

# litellm imports for seconds in its first call to each provider. The chunks would wait in the socket and come all
# at once, and of what comes within a tenth of a second only the first chunk is on disk before the next one comes.
for model, base in (("anthropic/claude-haiku-4-5", url), ("openai/gpt-4o-mini", url + "/v1")):
    for chunk in ask(model, base, "warm: Hello?", stream=True):
        pass
everyspan.init()
for target, args in (
    (stream, ("told", "anthropic/claude-haiku-4-5", url)),
    (stream, ("untold", "openai/gpt-4o-mini", url + "/v1")),
    (plain, ()),
):
    threading.Thread(target=target, args=args, daemon=True).start()
while sum(len(text.split()) >= 30 for text in read.values()) < 2:
    time.sleep(0.01)
everyspan.flush(5)
print(json.dumps(read), flush=True)
os.kill(os.getpid(), 9)
"""


@dataclass(frozen=True)
class Aftermath:
    """What the program had read when it was killed, and what the collector has after a drain."""

    read: dict[str, str]
    spans: list[dict[str, Any]]
    audit: dict[str, Any]
    billed: dict[str, Entry]

    def call(self, name: str) -> dict[str, Any]:
        (found,) = [span for span in self.spans if f'"{name}: ' in span["input"]]
        return found


@pytest.fixture(scope="module", params=["it was delivered as it went", "nothing was delivered before"])
def aftermath(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Aftermath]:
    folder: Path = tmp_path_factory.mktemp("interrupted")
    listens_before = request.param == "it was delivered as it went"
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERYSPAN_", "OTEL_"))}
    environment = {
        **kept,
        "EVERYSPAN_SPOOL_DIR": str(folder / "spool"),
        "EVERYSPAN_ENDPOINT": f"http://127.0.0.1:{port}",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    ledger = folder / "ledger.jsonl"
    with ProviderProcess(ledger_path=ledger) as provider, ExitStack() as stack:
        collector = CollectorProcess(folder / "data", port=port)
        if listens_before:
            stack.enter_context(collector)
        died = run(environment, "-c", DYING, provider.url)
        assert died.returncode == -signal.SIGKILL, died.stderr
        if not listens_before:
            stack.enter_context(collector)
        drained = run(environment, "-m", "everyspan.cli.main", "drain")
        assert drained.returncode == 0, drained.stdout + drained.stderr
        asked = Collector(url=collector.url)
        traces = asked.ask("traces")["traces"]
        spans = [span for trace in traces for span in asked.ask("traces", trace["trace_id"])["spans"]]
        billed = {entry.prompt.partition(":")[0]: entry for entry in read_ledger(ledger).calls}
        yield Aftermath(json.loads(died.stdout), spans, asked.ask("completeness"), billed)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def test_each_call_that_was_open_is_one_span_that_says_so(aftermath: Aftermath) -> None:
    assert [span["end"] for span in aftermath.spans] == ["interrupted"] * 3
    assert {span["status"] for span in aftermath.spans} == {"error"}
    assert (aftermath.audit["verdict"], aftermath.audit["interrupted"]) == ("complete", 3)


@pytest.mark.parametrize("name", ["told", "untold"])
def test_an_interrupted_stream_has_the_text_that_had_arrived(aftermath: Aftermath, name: str) -> None:
    ((message),) = json.loads(aftermath.call(name)["output"])

    ((part),) = message["parts"]
    assert (message["role"], part["type"]) == ("assistant", "text")
    assert part["content"]
    assert aftermath.read[name].startswith(part["content"])


def test_the_input_tokens_that_a_streams_first_event_told_are_exact(aftermath: Aftermath) -> None:
    call = aftermath.call("told")

    assert call["usage"]["input_tokens"] == aftermath.billed["told"].tokens.fresh_input
    assert call["attributes"]["attributes"]["everyspan.usage.source"] == "estimated"  # its output is


@pytest.mark.parametrize(("name", "prompt_bytes"), [("untold", 58), ("plain", 41)])
def test_input_that_nobody_counted_is_estimated_at_four_bytes_a_token(
    aftermath: Aftermath, name: str, prompt_bytes: int
) -> None:
    call = aftermath.call(name)

    ((message),) = json.loads(call["input"])
    assert len(message["parts"][0]["content"]) == prompt_bytes
    assert call["usage"]["input_tokens"] == math.ceil(prompt_bytes / 4)
    assert call["attributes"]["attributes"]["everyspan.usage.source"] == "estimated"


@pytest.mark.parametrize("name", ["told", "untold"])
def test_an_interrupted_stream_has_a_price_that_says_that_it_is_an_estimate(
    aftermath: Aftermath, name: str
) -> None:
    call = aftermath.call(name)

    usage = Usage(input_tokens=call["usage"]["input_tokens"], output_tokens=call["usage"]["output_tokens"])
    expected = price(
        Purchase(usage=usage, model=call["model"], provider=call["provider"], at_ns=call["start_ns"])
    )
    assert call["cost_state"] == "estimated"
    assert Decimal(call["cost"]) == expected.total


def test_a_plain_call_without_an_answer_has_the_price_of_its_input_at_least(aftermath: Aftermath) -> None:
    call = aftermath.call("plain")

    assert call["output"] == ""
    assert call["usage"]["output_tokens"] is None
    assert call["cost_state"] == "estimated"
    assert Decimal(call["cost"]) > 0
