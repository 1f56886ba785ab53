"""google-genai, real, against the fake provider: one span for each request to a model."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from google import genai
from google.genai import errors

import everyspan
from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from tests.recording import Recording

FLASH = "gemini-2.5-flash"
EIGHT = "[[words=8]] hello"


@pytest.fixture
def client(provider: FakeProvider) -> genai.Client:
    return genai.Client(api_key="test", vertexai=False, http_options={"base_url": provider.url})


def assert_billed_as_served(call: ReceivedSpan, provider: FakeProvider) -> None:
    (served,) = provider.ledger.calls
    assert call.attributes["gen_ai.usage.input_tokens"] == served.tokens.input
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert call.attributes["everyspan.end"] == "complete"


def test_generated_content_is_one_span_with_usage_cost_and_messages(
    client: genai.Client, provider: FakeProvider, recorded: Recording
) -> None:
    answer = client.models.generate_content(
        model=FLASH, contents=EIGHT, config={"system_instruction": "Be short.", "temperature": 0.5}
    )

    (call,) = recorded.spans()
    assert_billed_as_served(call, provider)
    asked = json.loads(str(call.attributes["gen_ai.input.messages"]))
    (said,) = json.loads(str(call.attributes["gen_ai.output.messages"]))
    assert [message["role"] for message in asked] == ["system", "user"]
    assert asked[1]["parts"] == [{"type": "text", "content": EIGHT}]
    assert said["parts"] == [{"type": "text", "content": answer.text}]
    assert call.attributes["gen_ai.provider.name"] == "gcp.gemini"
    assert call.attributes["gen_ai.request.temperature"] == 0.5


def test_a_stream_is_one_span(client: genai.Client, provider: FakeProvider, recorded: Recording) -> None:
    text = "".join(
        chunk.text or "" for chunk in client.models.generate_content_stream(model=FLASH, contents=EIGHT)
    )

    call = recorded.only_call()
    assert_billed_as_served(call, provider)
    assert text in str(call.attributes["gen_ai.output.messages"])
    assert float(str(call.attributes["gen_ai.response.time_to_first_chunk"])) > 0


def test_coroutines_plain_and_streamed_have_their_own_parents(
    client: genai.Client, provider: FakeProvider, recorded: Recording
) -> None:
    async def read(number: int) -> None:
        stream = await client.aio.models.generate_content_stream(model=FLASH, contents=f"Mail {number}")
        async for _ in stream:
            pass

    async def ask(number: int) -> None:
        await client.aio.models.generate_content(model=FLASH, contents=f"Letter {number}")

    @everyspan.observe
    async def batch() -> None:
        await asyncio.gather(*(work(number) for number in range(5) for work in (read, ask)))

    asyncio.run(batch())

    (parent,) = [span for span in recorded.spans() if span.name == "batch"]
    assert [call.parent_id for call in recorded.calls()] == [parent.span_id] * 10
    cost = sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in recorded.calls())
    assert cost == provider.ledger.cost


def ask(client: genai.Client, *, of_chat: bool) -> Any:
    """Whatever gives a stream: `ask(…)(text)`."""
    if of_chat:
        return client.chats.create(model=FLASH).send_message_stream
    return lambda text: client.models.generate_content_stream(model=FLASH, contents=text)


def aask(client: genai.Client, *, of_chat: bool) -> Any:
    if of_chat:
        return client.aio.chats.create(model=FLASH).send_message_stream
    return lambda text: client.aio.models.generate_content_stream(model=FLASH, contents=text)


def leave_sync(client: genai.Client, way: str, *, of_chat: bool) -> None:
    stream = ask(client, of_chat=of_chat)(EIGHT)
    for _ in stream:
        break
    if way == "closed":
        stream.close()
    del stream


def leave_async(client: genai.Client, way: str, *, of_chat: bool) -> None:
    async def read() -> None:
        stream = await aask(client, of_chat=of_chat)(EIGHT)
        async for _ in stream:
            break
        if way == "closed":
            await stream.aclose()
        del stream

    asyncio.run(read())


@pytest.mark.parametrize("of_chat", [False, True])
@pytest.mark.parametrize("way", ["closed", "abandoned"])
@pytest.mark.parametrize("leave", [leave_sync, leave_async])
def test_a_stream_that_is_left_keeps_its_input_and_says_how_it_was_left(
    client: genai.Client, provider: FakeProvider, recorded: Recording, leave: Any, way: str, of_chat: bool
) -> None:
    leave(client, way, of_chat=of_chat)

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == way
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.input
    assert call.attributes["everyspan.cost.state"] == "estimated"


def test_a_stream_of_a_chat_that_is_read_out_is_complete_and_in_its_history(
    client: genai.Client, provider: FakeProvider, recorded: Recording
) -> None:
    chat = client.chats.create(model=FLASH)
    for _ in chat.send_message_stream(EIGHT):
        pass

    assert_billed_as_served(recorded.only_call(), provider)
    assert {content.role for content in chat.get_history()} == {"user", "model"}


def test_a_stream_behind_its_last_piece_is_complete_when_it_is_left(
    client: genai.Client, provider: FakeProvider, recorded: Recording
) -> None:
    stream = client.models.generate_content_stream(model=FLASH, contents=EIGHT)
    for chunk in stream:
        if chunk.candidates and chunk.candidates[0].finish_reason:
            break
    del stream, chunk

    assert_billed_as_served(recorded.only_call(), provider)


def test_a_cancelled_stream_keeps_its_input(
    client: genai.Client, provider: FakeProvider, recorded: Recording
) -> None:
    async def read() -> None:
        asked = "[[words=8 hang-after=3]] hello"
        async for _ in await client.aio.models.generate_content_stream(model=FLASH, contents=asked):
            pass

    async def limited() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(read(), 0.5)

    asyncio.run(limited())

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "cancelled"
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.input


def test_embeddings_are_one_span_whose_input_is_estimated(client: genai.Client, recorded: Recording) -> None:
    client.models.embed_content(model="gemini-embedding-001", contents="hello there")

    call = recorded.only_call()
    assert call.attributes["gen_ai.operation.name"] == "embeddings"
    assert call.attributes["gen_ai.usage.input_tokens"] == 3
    assert call.attributes["everyspan.usage.source"] == "estimated"


def test_a_refused_call_is_an_error_that_is_not_billed(client: genai.Client, recorded: Recording) -> None:
    with pytest.raises(errors.ClientError):
        client.models.generate_content(model=FLASH, contents="[[status=400]]")

    call = recorded.only_call()
    assert call.status == "error"
    assert "refused" in str(call.attributes["everyspan.unbilled"])


def test_a_chat_is_a_span_for_each_turn(
    client: genai.Client, provider: FakeProvider, recorded: Recording
) -> None:
    chat = client.chats.create(model=FLASH)

    chat.send_message("hello")
    chat.send_message("and again")

    calls = recorded.calls()
    assert len(calls) == 2
    assert "assistant" in str(calls[1].attributes["gen_ai.input.messages"])
