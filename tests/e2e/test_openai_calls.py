"""The openai SDK, real, against the fake provider: one span for each call, with its parent, usage and cost."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import everyspan
from everyspan.instrument import patch
from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from tests.programs import run_program
from tests.recording import Recording

HELLO: Any = [{"role": "user", "content": "hello there"}]
MINI = "gpt-4o-mini"


@pytest.fixture
def client(provider: FakeProvider) -> openai.OpenAI:
    """A client of the fake provider."""
    return openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0)


@pytest.fixture
def aclient(provider: FakeProvider) -> openai.AsyncOpenAI:
    """The same for coroutines."""
    return openai.AsyncOpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0)


def assert_billed_as_served(call: ReceivedSpan, provider: FakeProvider) -> None:
    (served,) = provider.ledger.calls
    assert call.attributes["gen_ai.usage.input_tokens"] == served.tokens.input
    assert call.attributes.get("gen_ai.usage.output_tokens", 0) == served.tokens.output
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert call.attributes["everyspan.end"] == "complete"


def test_a_chat_is_one_span_with_usage_cost_messages_and_origin(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    answer = client.chat.completions.create(model=MINI, messages=HELLO, temperature=0.5)

    call = recorded.only_call()
    assert_billed_as_served(call, provider)
    (asked,) = json.loads(str(call.attributes["gen_ai.input.messages"]))
    (said,) = json.loads(str(call.attributes["gen_ai.output.messages"]))
    assert asked["parts"] == [{"type": "text", "content": "hello there"}]
    assert said["parts"][0]["content"] == answer.choices[0].message.content
    assert call.name == f"chat {MINI}"
    assert call.attributes["gen_ai.response.id"] == answer.id
    assert call.attributes["gen_ai.provider.name"] == "openai"
    assert call.attributes["server.address"] == "127.0.0.1"
    assert call.attributes["gen_ai.request.temperature"] == 0.5
    assert call.attributes["everyspan.provider.request_id"] == provider.ledger.calls[0].request_id


@pytest.mark.skipif(not hasattr(openai.OpenAI, "responses"), reason="this openai has no responses")
def test_a_response_is_one_span_with_usage_and_messages(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    answer = client.responses.create(model=MINI, instructions="Be short.", input="hello there")

    call = recorded.only_call()
    assert_billed_as_served(call, provider)
    asked = json.loads(str(call.attributes["gen_ai.input.messages"]))
    (said,) = json.loads(str(call.attributes["gen_ai.output.messages"]))
    assert [message["role"] for message in asked] == ["system", "user"]
    assert said["parts"] == [{"type": "text", "content": answer.output_text}]


def test_completions_embeddings_and_images_are_one_span_each(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello there")
    client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    client.images.generate(model="gpt-image-1", prompt="a cat")

    calls = recorded.calls()
    operations = [call.attributes["gen_ai.operation.name"] for call in calls]
    assert operations == ["text_completion", "embeddings", "image_generation"]
    assert [call.attributes["gen_ai.usage.input_tokens"] for call in calls] == [
        served.tokens.input for served in provider.ledger.calls
    ]
    assert not any("b64_json" in str(call.attributes) for call in calls)


def test_parsed_answers_are_one_span(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    parse = getattr(client.chat.completions, "parse", None) or client.beta.chat.completions.parse

    parse(model=MINI, messages=HELLO)

    assert_billed_as_served(recorded.only_call(), provider)


def test_azures_client_is_recorded_as_azure(provider: FakeProvider, recorded: Recording) -> None:
    client = openai.AzureOpenAI(
        api_key="sk-test",
        api_version="2024-10-21",
        azure_endpoint=provider.url,
        default_headers={"authorization": "x"},
    )

    client.chat.completions.create(model=MINI, messages=HELLO)

    call = recorded.only_call()
    assert call.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.input


def test_gathered_calls_are_children_of_the_function_that_gathers(
    aclient: openai.AsyncOpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    @everyspan.observe
    async def batch() -> None:
        asks = (
            aclient.chat.completions.create(
                model=MINI, messages=[{"role": "user", "content": f"Mail {number}"}]
            )
            for number in range(20)
        )
        await asyncio.gather(*asks)

    asyncio.run(batch())

    (parent,) = [span for span in recorded.spans() if span.name == "batch"]
    assert [call.parent_id for call in recorded.calls()] == [parent.span_id] * 20
    cost = sum(
        (Decimal(str(call.attributes["everyspan.cost.total"])) for call in recorded.calls()), Decimal(0)
    )
    assert cost == provider.ledger.cost


def test_a_raw_response_is_recorded_and_still_parses(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MINI, messages=HELLO)

    assert raw.parse().choices[0].message.content
    assert_billed_as_served(recorded.only_call(), provider)


def test_a_raw_response_to_coroutines_is_recorded(
    aclient: openai.AsyncOpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    async def ask() -> Any:
        return await aclient.chat.completions.with_raw_response.create(model=MINI, messages=HELLO)

    assert asyncio.run(ask()).parse().choices[0].message.content
    assert_billed_as_served(recorded.only_call(), provider)


def test_a_streamed_body_is_recorded_when_it_was_read(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    with client.chat.completions.with_streaming_response.create(model=MINI, messages=HELLO) as response:
        assert json.loads("".join(response.iter_text()))["choices"]

    assert_billed_as_served(recorded.only_call(), provider)


def test_a_stream_made_of_a_raw_response_is_recorded(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MINI, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(raw.parse())

    assert chunks[-1].usage
    assert_billed_as_served(recorded.only_call(), provider)


def test_a_refused_call_is_an_error_that_is_not_billed(client: openai.OpenAI, recorded: Recording) -> None:
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model=MINI, messages=[{"role": "user", "content": "[[status=401]]"}])

    call = recorded.only_call()
    assert (call.status, call.attributes["error.type"]) == ("error", "AuthenticationError")
    assert "refused" in str(call.attributes["everyspan.unbilled"])


def test_retries_of_the_sdk_are_one_span_with_the_number_of_attempts(
    provider: FakeProvider, recorded: Recording
) -> None:
    client = openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=2)

    client.chat.completions.create(
        model=MINI, messages=[{"role": "user", "content": "[[status=500 times=1 retry-after=0]] please"}]
    )

    call = recorded.only_call()
    assert call.attributes["everyspan.attempts"] == 2
    assert_billed_as_served(call, provider)


def test_requests_that_call_no_model_are_no_spans(client: openai.OpenAI, recorded: Recording) -> None:
    # Listing models, files and the like is no call of a model.
    with pytest.raises(openai.NotFoundError):
        client.models.list()

    assert recorded.calls() == []


def test_the_hooked_functions_look_as_they_did() -> None:
    request = openai._base_client.SyncAPIClient.request

    assert patch.is_exchanged(request)
    assert list(inspect.signature(request).parameters)[:3] == ["self", "cast_to", "options"]
    assert inspect.iscoroutinefunction(openai._base_client.AsyncAPIClient.request)
    assert pickle.loads(pickle.dumps(request)) is request
    assert inspect.getsourcefile(request) == openai._base_client.__file__


def test_unhooked_the_sdk_is_what_it_was(tmp_path: Path) -> None:
    code = """
import openai, openai._base_client as base
kinds = (base.SyncAPIClient, base.AsyncAPIClient, base.BaseClient)
def look():
    return [(f, f.__code__, dict(f.__dict__)) for k in kinds for f in vars(k).values() if hasattr(f, "__code__")]
before = look()
import everyspan
from everyspan.instrument import patch
everyspan.init()
assert look() != before
patch.restore_all()
assert look() == before
print("the same")
"""
    assert run_program(code, spool=tmp_path).strip() == "the same"
