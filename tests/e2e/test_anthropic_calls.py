"""The anthropic SDK, real, against the fake provider: one span for each call, and none of the SDK's own beside it."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import anthropic
import pytest

import everyspan
from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from tests.recording import Recording

HAIKU = "claude-haiku-4-5"
LONG = "a" * 400


@pytest.fixture
def client(provider: FakeProvider) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-ant-test", base_url=provider.url, max_retries=0)


@pytest.fixture
def aclient(provider: FakeProvider) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key="sk-ant-test", base_url=provider.url, max_retries=0)


def message(text: str = "[[words=8]] hello", **more: Any) -> dict[str, Any]:
    return {"model": HAIKU, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}


def assert_billed_as_served(call: ReceivedSpan, provider: FakeProvider) -> None:
    (served,) = provider.ledger.calls
    assert call.attributes["gen_ai.usage.input_tokens"] == served.tokens.input
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert call.attributes["everyspan.cost.state"] == "computed"
    assert call.attributes["everyspan.end"] == "complete"


def test_a_message_is_one_span_and_the_only_one(
    client: anthropic.Anthropic, provider: FakeProvider, recorded: Recording
) -> None:
    answer = client.messages.create(**message(system="Be short."))

    (call,) = recorded.spans()
    assert_billed_as_served(call, provider)
    asked = json.loads(str(call.attributes["gen_ai.input.messages"]))
    (said,) = json.loads(str(call.attributes["gen_ai.output.messages"]))
    assert [each["role"] for each in asked] == ["system", "user"]
    assert said["parts"] == [{"type": "text", "content": answer.content[0].text}]
    assert call.attributes["gen_ai.response.id"] == answer.id
    assert call.attributes["gen_ai.provider.name"] == "anthropic"
    assert call.attributes["everyspan.provider.request_id"] == provider.ledger.calls[0].request_id


def test_what_a_cache_kept_for_an_hour_is_billed_for_an_hour(
    client: anthropic.Anthropic, provider: FakeProvider, recorded: Recording
) -> None:
    marked = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]

    client.messages.create(**message(system=marked))
    client.messages.create(**message(system=marked))

    written, read = recorded.calls()
    assert written.attributes["gen_ai.usage.cache_write.input_tokens"] == 100
    assert read.attributes["gen_ai.usage.cache_read.input_tokens"] == 100
    cost = sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in (written, read))
    assert cost == provider.ledger.cost


def test_beta_raw_and_streamed_bodies_are_one_span_each(
    client: anthropic.Anthropic, provider: FakeProvider, recorded: Recording
) -> None:
    client.beta.messages.create(**message())
    client.messages.with_raw_response.create(**message()).parse()
    with client.messages.with_streaming_response.create(**message()) as response:
        response.read()

    calls = recorded.spans()
    assert [call.attributes["gen_ai.usage.output_tokens"] for call in calls] == [8, 8, 8]
    cost = sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in calls)
    assert cost == provider.ledger.cost


def test_the_helper_that_streams_is_one_span(
    client: anthropic.Anthropic, provider: FakeProvider, recorded: Recording
) -> None:
    with client.messages.stream(**message()) as stream:
        text = "".join(stream.text_stream)

    (call,) = recorded.spans()
    assert_billed_as_served(call, provider)
    assert text in str(call.attributes["gen_ai.output.messages"])


def test_coroutines_that_stream_are_children_of_the_function_that_gathers(
    aclient: anthropic.AsyncAnthropic, provider: FakeProvider, recorded: Recording
) -> None:
    async def read(number: int) -> None:
        async with aclient.messages.stream(**message(f"Mail {number}")) as stream:
            await stream.get_final_message()

    @everyspan.observe
    async def batch() -> None:
        await asyncio.gather(*(read(number) for number in range(10)))

    asyncio.run(batch())

    (parent,) = [span for span in recorded.spans() if span.name == "batch"]
    assert [call.parent_id for call in recorded.calls()] == [parent.span_id] * 10
    cost = sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in recorded.calls())
    assert cost == provider.ledger.cost


def by_break(client: anthropic.Anthropic) -> None:
    for event in client.messages.create(**message(stream=True)):
        if event.type == "content_block_delta":
            break
    gc.collect()


def by_close(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(**message(stream=True))
    while next(stream).type != "content_block_delta":
        pass
    stream.close()


def by_its_block(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**message()) as stream:
        next(iter(stream.text_stream))


@pytest.mark.parametrize(
    ("leave", "end"), [(by_break, "abandoned"), (by_close, "closed"), (by_its_block, "closed")]
)
def test_a_stream_that_is_left_keeps_its_exact_input_and_estimates_its_output(
    client: anthropic.Anthropic,
    provider: FakeProvider,
    recorded: Recording,
    leave: Callable[[anthropic.Anthropic], None],
    end: str,
) -> None:
    leave(client)

    (call,) = recorded.spans()
    (served,) = provider.ledger.calls
    assert call.attributes["everyspan.end"] == end
    assert call.attributes["gen_ai.usage.input_tokens"] == served.tokens.input
    assert int(str(call.attributes["gen_ai.usage.output_tokens"])) >= 1
    assert call.attributes["everyspan.cost.state"] == "estimated"


def test_a_cancelled_stream_keeps_its_exact_input(
    aclient: anthropic.AsyncAnthropic, provider: FakeProvider, recorded: Recording
) -> None:
    async def read() -> None:
        async for _ in await aclient.messages.create(
            **message("[[words=8 hang-after=3]] hello", stream=True)
        ):
            pass

    async def limited() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), 0.5)

    asyncio.run(limited())

    (call,) = recorded.spans()
    assert call.attributes["everyspan.end"] == "cancelled"
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.input


def test_an_overloaded_stream_is_an_error_with_what_came(
    client: anthropic.Anthropic, recorded: Recording
) -> None:
    with pytest.raises(anthropic.APIStatusError):
        list(client.messages.create(**message("[[words=8 fail-after=4]] hello", stream=True)))

    (call,) = recorded.spans()
    assert (call.status, call.attributes["everyspan.end"]) == ("error", "error")
    assert call.attributes["everyspan.cost.state"] == "estimated"


def test_counting_tokens_is_no_call_of_a_model(client: anthropic.Anthropic, recorded: Recording) -> None:
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model=HAIKU, messages=[{"role": "user", "content": "hello"}])

    assert recorded.calls() == []


def test_vertex_and_bedrock_are_recorded_under_their_own_names(
    provider: FakeProvider, recorded: Recording
) -> None:
    vertex = anthropic.AnthropicVertex(
        region="us-east5", project_id="p", access_token="t", base_url=provider.url, max_retries=0
    )
    bedrock = anthropic.AnthropicBedrock(
        aws_access_key="a", aws_secret_key="b", aws_region="us-east-1", base_url=provider.url, max_retries=0
    )

    vertex.messages.create(**message() | {"model": "claude-haiku-4-5@20251001"})
    list(vertex.messages.create(**message(stream=True)))
    bedrock.messages.create(**message() | {"model": "anthropic.claude-haiku-4-5-20251001-v1:0"})

    calls = recorded.calls()
    providers = [call.attributes["gen_ai.provider.name"] for call in calls]
    assert providers == ["gcp.vertex_ai", "gcp.vertex_ai", "aws.bedrock"]
    assert [call.attributes["gen_ai.usage.output_tokens"] for call in calls] == [8, 8, 8]
    assert all(call.attributes["everyspan.cost.state"] == "computed" for call in calls)


def test_on_bedrock_the_id_that_was_asked_says_where_the_model_ran_and_so_the_price(
    provider: FakeProvider, recorded: Recording
) -> None:
    bedrock = anthropic.AnthropicBedrock(
        aws_access_key="a", aws_secret_key="b", aws_region="us-east-1", base_url=provider.url, max_retries=0
    )

    for place in ("us", "global"):
        bedrock.messages.create(**message() | {"model": f"{place}.anthropic.claude-haiku-4-5-20251001-v1:0"})

    regional, anywhere = (Decimal(str(call.attributes["everyspan.cost.total"])) for call in recorded.calls())
    assert regional == anywhere * Decimal("1.1")
