"""Spans of other instrumentations around, beside and inside a call: kept, and not billed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry import trace

import everyspan
from everyspan.testing import FakeProvider
from tests.programs import run_program
from tests.recording import Recording

ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
GENERATION: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7}


@pytest.fixture
def client(provider: FakeProvider) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0)


def others() -> trace.Tracer:
    return trace.get_tracer("somebody else's")


def unbilled(recorded: Recording) -> set[str]:
    return {span.name for span in recorded.spans() if "everyspan.unbilled" in span.attributes}


def test_every_model_call_span_above_a_call_is_unbilled_and_names_it(
    client: openai.OpenAI, recorded: Recording
) -> None:
    with (
        others().start_as_current_span("outer", attributes=GENERATION),
        others().start_as_current_span("tool"),
        everyspan.span("mine"),
        others().start_as_current_span("inner", attributes=GENERATION),
    ):
        client.chat.completions.create(**ASK)

    (call,) = [
        span for span in recorded.spans() if span.scope == "everyspan" and span.name.startswith("chat")
    ]
    shadows = [span for span in recorded.spans() if "everyspan.shadow_of" in span.attributes]
    assert unbilled(recorded) == {"outer", "inner"}
    assert {span.attributes["everyspan.shadow_of"] for span in shadows} == {call.span_id}


def test_a_span_that_was_begun_for_the_call_and_made_nobodys_parent_is_unbilled(
    client: openai.OpenAI, recorded: Recording
) -> None:
    beside = others().start_span("beside", attributes=GENERATION)
    client.chat.completions.create(**ASK)
    beside.end()

    assert unbilled(recorded) == {"beside"}


def test_a_span_beside_another_wrapper_is_unbilled_too(client: openai.OpenAI, recorded: Recording) -> None:
    beside = others().start_span("beside", attributes=GENERATION)
    with others().start_as_current_span("around", attributes=GENERATION):
        client.chat.completions.create(**ASK)
    beside.end()

    assert unbilled(recorded) == {"beside", "around"}


def test_calls_that_others_recorded_before_and_after_stay_billed(
    client: openai.OpenAI, recorded: Recording
) -> None:
    others().start_span("before", attributes=GENERATION).end()
    client.chat.completions.create(**ASK)
    others().start_span("after", attributes=GENERATION).end()

    assert unbilled(recorded) == set()


def test_what_is_recorded_while_a_chunk_is_read_is_unbilled(
    client: openai.OpenAI, recorded: Recording
) -> None:
    stream = client.chat.completions.create(**ASK, stream=True)
    source = stream._iterator._source

    class Telling:
        """Logfire tells a stream's usage in a span of its own, at the end of the reading."""

        def __next__(self) -> Any:
            try:
                return next(source)
            except StopIteration:
                others().start_span("streaming response", attributes=GENERATION).end()
                raise

    stream._iterator._source = Telling()
    list(stream)

    assert unbilled(recorded) == {"streaming response"}


def test_a_tracer_provider_that_cannot_be_hashed_and_passes_on_to_another_is_recorded(
    tmp_path: Path, provider: FakeProvider
) -> None:
    code = f"""
from dataclasses import dataclass
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import everyspan, openai
from everyspan.testing import Sink

@dataclass
class Proxy(trace.TracerProvider):  # as Logfire's
    provider: TracerProvider
    def get_tracer(self, *args, **kwargs):
        return self.provider.get_tracer(*args, **kwargs)
    def add_span_processor(self, processor):
        self.provider.add_span_processor(processor)

with Sink() as sink:
    everyspan.init(sink.url)
    proxy = Proxy(TracerProvider())
    trace.set_tracer_provider(proxy)
    client = openai.OpenAI(api_key="k", base_url={provider.openai_url!r})
    for _ in range(2):
        client.chat.completions.create(model="gpt-4o-mini", messages=[dict(role="user", content="hello")])
        proxy.provider = TracerProvider()  # it was configured again
    everyspan.flush(10)
    print(len(sink.spans), everyspan.stats()["faults"])
"""
    assert run_program(code, spool=tmp_path).strip() == "2 {}"
