"""Streams of litellm: one span each, ended by whatever ends the stream, with the usage seen so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import litellm
import pytest
from litellm import acompletion, completion
from opentelemetry import trace

import everyspan
from everyspan.testing import FakeProvider
from tests.recording import Recording

litellm.suppress_debug_info = True

MODEL = "anthropic/claude-haiku-4-5"
Arguments = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(provider: FakeProvider) -> Arguments:
    """Arguments of a streamed call; Anthropic tells the input tokens in the first event."""

    def arguments(text: str, **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        return {
            "model": MODEL,
            "messages": messages,
            "api_base": provider.url,
            "api_key": "sk-test",
            "stream": True,
            **more,
        }

    return arguments


def test_a_stream_read_out_has_the_text_the_usage_and_the_time_to_first_chunk(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    text = "".join(chunk.choices[0].delta.content or "" for chunk in completion(**ask("[[words=12]] Count.")))

    call = recorded.only_call()
    (served,) = provider.ledger.calls
    assert call.attributes["everyspan.end"] == "complete"
    assert call.attributes["gen_ai.usage.output_tokens"] == 12
    assert call.attributes["everyspan.cost.total"] == format(served.cost_usd, "f")
    assert text.split()[0] in str(call.attributes["gen_ai.output.messages"])
    seconds = call.attributes["gen_ai.response.time_to_first_chunk"]
    assert isinstance(seconds, float)
    assert 0 < seconds <= (call.end_ns - call.start_ns) / 1e9


def test_an_async_stream_read_out_is_complete(ask: Arguments, recorded: Recording) -> None:
    async def read_out() -> None:
        async for _ in await acompletion(**ask("Hello")):
            pass

    asyncio.run(read_out())

    assert recorded.only_call().attributes["everyspan.end"] == "complete"


def test_a_stream_broken_off_keeps_the_input_tokens_and_says_that_the_rest_is_an_estimate(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    async def break_off() -> None:
        stream = await acompletion(**ask("[[words=50]] Count."))
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(break_off())

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "closed"
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.fresh_input
    assert call.attributes["everyspan.cost.state"] == "estimated"


def test_a_stream_that_is_dropped_ends_when_it_is_collected(ask: Arguments, recorded: Recording) -> None:
    def drop() -> None:
        next(iter(completion(**ask("[[words=50]] Count."))))

    drop()
    # litellm 1.83 keeps the local names of its last call, the stream among them, until the next one.
    list(completion(**ask("Hello")))

    ends = [call.attributes["everyspan.end"] for call in recorded.calls()]
    assert sorted(map(str, ends)) == ["abandoned", "complete"]


def test_a_stream_whose_reader_is_cancelled_is_cancelled(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    async def cancel_after_the_first_chunk() -> None:
        first = asyncio.Event()

        async def read() -> None:
            async for _ in await acompletion(**ask("[[words=60 gap=0.5]] Slowly.")):
                first.set()

        task = asyncio.create_task(read())
        await first.wait()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel_after_the_first_chunk())

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "cancelled"
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.fresh_input


def test_a_stream_that_fails_is_an_error_with_what_had_arrived(ask: Arguments, recorded: Recording) -> None:
    with pytest.raises(Exception, match=r".+"):
        for _ in completion(**ask("[[cut-after=3]] Go on.")):
            pass

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "error"
    assert call.status == "error"
    assert call.attributes["everyspan.cost.state"] == "estimated"
    assert "text" in str(call.attributes["gen_ai.output.messages"])


def test_a_stream_of_the_router_is_one_span_and_stays_the_object_that_the_router_expects(
    ask: Arguments, recorded: Recording
) -> None:
    request = ask("Hello")
    messages, _ = request.pop("messages"), request.pop("stream")
    router = litellm.Router([{"model_name": "any", "litellm_params": request}])

    async def read_out() -> bool:
        stream = await router.acompletion("any", messages=messages, stream=True)
        async for _ in stream:
            pass
        return isinstance(stream, litellm.CustomStreamWrapper)

    assert asyncio.run(read_out())
    assert recorded.only_call().attributes["everyspan.end"] == "complete"


def test_the_readers_own_spans_are_no_children_of_the_stream(ask: Arguments, recorded: Recording) -> None:
    around = trace.get_current_span().get_span_context().span_id

    for _ in completion(**ask("Hello")):
        with everyspan.span("between chunks") as between:
            assert between.is_recording()

    parents = {span.parent_id for span in recorded.spans() if span.name == "between chunks"}
    assert parents == {f"{around:016x}"}


def test_two_interleaved_streams_are_two_complete_spans(ask: Arguments, recorded: Recording) -> None:
    streams = [completion(**ask(f"[[words=5]] {name}")) for name in ("one", "two")]

    for _ in zip(*streams, strict=False):
        pass
    for stream in streams:
        for _ in stream:
            pass

    assert [call.attributes["everyspan.end"] for call in recorded.calls()] == ["complete", "complete"]
