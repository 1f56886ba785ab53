"""Streams of the openai SDK, and everything that can end one."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openai
import pytest
from opentelemetry import trace

import everyspan
from everyspan.testing import FakeProvider
from tests.recording import Recording

MINI = "gpt-4o-mini"


@pytest.fixture
def client(provider: FakeProvider) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0)


@pytest.fixture
def aclient(provider: FakeProvider) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0)


def chat(text: str = "[[words=8]] hello", **more: Any) -> dict[str, Any]:
    return {"model": MINI, "messages": [{"role": "user", "content": text}], "stream": True, **more}


WITH_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


def test_a_stream_read_to_its_end_has_the_usage_that_was_asked_for(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    chunks = list(client.chat.completions.create(**chat(**WITH_USAGE)))

    call = recorded.only_call()
    (served,) = provider.ledger.calls
    assert (
        chunks[-1].usage.prompt_tokens == call.attributes["gen_ai.usage.input_tokens"] == served.tokens.input
    )
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output == 8
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert call.attributes["everyspan.end"] == "complete"
    assert "everyspan.usage.source" not in call.attributes
    assert float(str(call.attributes["gen_ai.response.time_to_first_chunk"])) > 0


def test_a_stream_whose_provider_tells_no_usage_is_estimated_and_says_so(
    client: openai.OpenAI, recorded: Recording
) -> None:
    text = "".join(chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**chat()))

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "complete"
    assert call.attributes["everyspan.usage.source"] == "estimated"
    assert call.attributes["everyspan.cost.state"] == "estimated"
    assert call.attributes["gen_ai.usage.output_tokens"] == -(-len(text) // 4)


@pytest.fixture
def as_openai(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> str:
    """A base URL with OpenAI's own host name that leads to the fake provider."""
    look_up = socket.getaddrinfo

    def found(host: Any, *args: Any, **kwargs: Any) -> Any:
        known = host in ("api.openai.com", b"api.openai.com")
        return look_up("127.0.0.1" if known else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return provider.openai_url.replace("127.0.0.1", "api.openai.com")


def test_openai_itself_is_asked_for_the_usage_and_the_user_does_not_see_the_chunk(
    as_openai: str, provider: FakeProvider, recorded: Recording
) -> None:
    client = openai.OpenAI(api_key="sk-test", base_url=as_openai, max_retries=0)

    chunks = list(client.chat.completions.create(**chat()))

    call = recorded.only_call()
    (served,) = provider.ledger.calls
    assert all(chunk.choices for chunk in chunks)
    assert len(chunks) == 1 + 8 + 1  # the role, the words, the finish reason
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd


def test_the_hidden_chunk_stays_hidden_from_coroutines(
    as_openai: str, provider: FakeProvider, recorded: Recording
) -> None:
    async def read() -> list[Any]:
        async with openai.AsyncOpenAI(api_key="sk-test", base_url=as_openai, max_retries=0) as client:
            return [chunk async for chunk in await client.chat.completions.create(**chat())]

    chunks = asyncio.run(read())

    assert all(chunk.choices for chunk in chunks)
    assert recorded.only_call().attributes["gen_ai.usage.output_tokens"] == 8


def test_who_said_something_about_the_usage_is_left_alone(as_openai: str, recorded: Recording) -> None:
    client = openai.OpenAI(api_key="sk-test", base_url=as_openai, max_retries=0)

    list(client.chat.completions.create(**chat(stream_options={"include_usage": False})))

    assert recorded.only_call().attributes["everyspan.usage.source"] == "estimated"


def left_by_break(client: openai.OpenAI) -> None:
    for _ in client.chat.completions.create(**chat()):
        break
    gc.collect()


def left_by_close(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**chat())
    next(stream)
    stream.close()


def left_by_its_block(client: openai.OpenAI) -> None:
    with client.chat.completions.create(**chat()) as stream:
        next(stream)


def left_by_closing_the_response(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**chat())
    next(stream)
    stream.response.close()


def never_read(client: openai.OpenAI) -> None:
    client.chat.completions.create(**chat())
    gc.collect()


@pytest.mark.parametrize(
    ("leave", "end"),
    [
        (left_by_break, "abandoned"),
        (left_by_close, "closed"),
        (left_by_its_block, "closed"),
        (left_by_closing_the_response, "closed"),
        (never_read, "abandoned"),
    ],
)
def test_a_stream_that_is_left_is_one_ended_span_with_its_input_estimated(
    client: openai.OpenAI, recorded: Recording, leave: Callable[[openai.OpenAI], None], end: str
) -> None:
    leave(client)

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == end
    if leave is not never_read:
        assert call.attributes["gen_ai.usage.input_tokens"] == 5  # 17 bytes
        assert call.attributes["everyspan.cost.state"] == "estimated"


def test_a_stream_left_behind_its_last_chunk_is_complete(client: openai.OpenAI, recorded: Recording) -> None:
    stream = client.chat.completions.create(**chat())
    for chunk in stream:
        if chunk.choices[0].finish_reason:
            break
    stream.close()

    assert recorded.only_call().attributes["everyspan.end"] == "complete"


def test_a_connection_that_breaks_is_an_error_with_what_came(
    client: openai.OpenAI, recorded: Recording
) -> None:
    with pytest.raises(Exception, match=r"Connection error|incomplete"):
        list(client.chat.completions.create(**chat("[[words=8 cut-after=4]] hello")))

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "error"
    assert call.status == "error"
    assert int(str(call.attributes["gen_ai.usage.output_tokens"])) > 0


def test_an_error_in_the_middle_of_a_stream_is_an_error(client: openai.OpenAI, recorded: Recording) -> None:
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(**chat("[[words=8 fail-after=4]] hello")))

    assert recorded.only_call().attributes["everyspan.end"] == "error"


def test_a_stream_that_falls_silent_times_out(provider: FakeProvider, recorded: Recording) -> None:
    client = openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0, timeout=0.5)

    with pytest.raises(Exception, match=r"[Tt]imed out"):
        list(client.chat.completions.create(**chat("[[words=8 hang-after=3]] hello")))

    assert recorded.only_call().attributes["everyspan.end"] == "timeout"


async def cancelled_while_it_waits(client: openai.AsyncOpenAI) -> None:
    async def read() -> None:
        async for _ in await client.chat.completions.create(**chat("[[words=8 hang-after=3]] hello")):
            pass

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(read(), 0.5)


async def closed(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(**chat())
    await anext(stream)
    await stream.close()


async def left_by_its_async_block(client: openai.AsyncOpenAI) -> None:
    async with await client.chat.completions.create(**chat()) as stream:
        await anext(stream)


async def dropped(client: openai.AsyncOpenAI) -> None:
    await anext(await client.chat.completions.create(**chat()))
    gc.collect()


@pytest.mark.parametrize(
    ("leave", "end"),
    [
        (cancelled_while_it_waits, "cancelled"),
        (closed, "closed"),
        (left_by_its_async_block, "closed"),
        (dropped, "abandoned"),
    ],
)
def test_an_async_stream_that_is_left_is_one_ended_span(
    aclient: openai.AsyncOpenAI, recorded: Recording, leave: Any, end: str
) -> None:
    asyncio.run(leave(aclient))

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == end
    assert call.attributes["gen_ai.usage.input_tokens"]


def test_a_cancelled_request_is_one_span(aclient: openai.AsyncOpenAI, recorded: Recording) -> None:
    async def ask() -> None:
        request = chat("[[hang]]") | {"stream": False}
        await asyncio.wait_for(aclient.chat.completions.create(**request), 0.3)

    with pytest.raises(TimeoutError):
        asyncio.run(ask())

    assert recorded.only_call().attributes["everyspan.end"] == "cancelled"


@pytest.mark.skipif(
    not hasattr(openai.resources.chat.Completions, "stream"), reason="this openai has no helper"
)
def test_the_streaming_helper_is_one_span_that_its_block_ends(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    request = chat()
    del request["stream"]
    with client.chat.completions.stream(**request) as stream:
        next(iter(stream))

    assert recorded.only_call().attributes["everyspan.end"] == "closed"


@pytest.mark.skipif(not hasattr(openai.OpenAI, "responses"), reason="this openai has no responses")
def test_a_streamed_response_has_usage_and_text(
    client: openai.OpenAI, provider: FakeProvider, recorded: Recording
) -> None:
    events = list(client.responses.create(model=MINI, input="[[words=8]] hello", stream=True))

    call = recorded.only_call()
    (served,) = provider.ledger.calls
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert events[-1].response.output_text in str(call.attributes["gen_ai.output.messages"])


@pytest.mark.skipif(not hasattr(openai.OpenAI, "responses"), reason="this openai has no responses")
def test_a_streamed_response_that_is_left_keeps_its_text(client: openai.OpenAI, recorded: Recording) -> None:
    stream = client.responses.create(model=MINI, input="[[words=8]] hello", stream=True)
    text = ""
    for event in stream:
        text += getattr(event, "delta", "") or ""
        if text.count(" ") == 3:
            break
    stream.close()

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "closed"
    assert text in str(call.attributes["gen_ai.output.messages"])
    assert call.attributes["gen_ai.usage.output_tokens"] == -(-len(text) // 4)
    assert call.attributes["everyspan.cost.state"] == "estimated"


def test_the_readers_own_spans_are_no_children_of_the_stream(
    client: openai.OpenAI, recorded: Recording
) -> None:
    around = trace.get_current_span().get_span_context().span_id

    for _ in client.chat.completions.create(**chat()):
        with everyspan.span("between chunks"):
            pass

    parents = {span.parent_id for span in recorded.spans() if span.name == "between chunks"}
    assert parents == {f"{around:016x}"}


def test_the_stream_stays_the_object_that_the_sdk_made(client: openai.OpenAI, recorded: Recording) -> None:
    stream = client.chat.completions.create(**chat())

    assert type(stream) is openai.Stream
    list(stream)
    assert type(stream.response).__mro__[0].__name__ == "Response"
    assert recorded.only_call()
