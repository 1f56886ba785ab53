"""Every library, sync and async, plain and streamed, fifty at once, ended in each way: one span for each, one bill.

The truth is what the fake provider's books say that it served.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

import everyspan
from everyspan.testing import FakeProvider
from tests.recording import Recording

MANY = 50
SYNC = ("plain", "read out", "closed", "dropped", "cut off")
ASYNC = (*SYNC, "cancelled")
ENDS = {
    "plain": "complete",
    "read out": "complete",
    "closed": "closed",
    "dropped": "abandoned",
    "cut off": "error",
    "cancelled": "cancelled",
}


OLD_LITELLM = {
    "closed": "a stream of litellm 1.83 can not be closed unless it is asynchronous",
    "dropped": "litellm 1.83 holds on to some of the streams that were dropped",
    "cut off": "to litellm 1.83 a stream that is cut off is at its end",
}


class Library:
    """How one library asks, plain or streamed, and how its streams are closed."""

    def __init__(self, provider: FakeProvider) -> None:
        self.provider = provider
        self.client: Any = None

    def connect(self, *, is_async: bool) -> None:
        """Make the one client of a test; inside the loop that uses it."""

    def cannot(self, way: str) -> str:
        """Why this version has no such end; empty when it has."""
        return ""

    def ask(self, text: str, *, stream: bool) -> Any:
        raise NotImplementedError

    async def aask(self, text: str, *, stream: bool) -> Any:
        raise NotImplementedError


class OpenAI(Library):
    def _request(self, text: str, *, stream: bool) -> dict[str, Any]:
        asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
        return asked | ({"stream": True, "stream_options": {"include_usage": True}} if stream else {})

    def connect(self, *, is_async: bool) -> None:
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        self.client = kind(api_key="k", base_url=self.provider.openai_url)

    def ask(self, text: str, *, stream: bool) -> Any:
        return self.client.chat.completions.create(**self._request(text, stream=stream))

    async def aask(self, text: str, *, stream: bool) -> Any:
        return await self.client.chat.completions.create(**self._request(text, stream=stream))


class Anthropic(Library):
    def _request(self, text: str, *, stream: bool) -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        return {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": messages, "stream": stream}

    def connect(self, *, is_async: bool) -> None:
        kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        self.client = kind(api_key="k", base_url=self.provider.url)

    def ask(self, text: str, *, stream: bool) -> Any:
        return self.client.messages.create(**self._request(text, stream=stream))

    async def aask(self, text: str, *, stream: bool) -> Any:
        return await self.client.messages.create(**self._request(text, stream=stream))


class Gemini(Library):
    def connect(self, *, is_async: bool) -> None:
        genai = pytest.importorskip("google.genai")
        self.client = genai.Client(api_key="k", vertexai=False, http_options={"base_url": self.provider.url})

    def ask(self, text: str, *, stream: bool) -> Any:
        models = self.client.models
        ask = models.generate_content_stream if stream else models.generate_content
        return ask(model="gemini-2.5-flash", contents=text)

    async def aask(self, text: str, *, stream: bool) -> Any:
        models = self.client.aio.models
        ask = models.generate_content_stream if stream else models.generate_content
        return await ask(model="gemini-2.5-flash", contents=text)


class Litellm(Library):
    def connect(self, *, is_async: bool) -> None:
        pytest.importorskip("litellm")
        from litellm.llms.custom_httpx.http_handler import HTTPHandler

        # Of threads that make litellm's client at the same time one sees it kept; the others' are closed in the middle
        # of the stream that they read, with and without everyspan (2 of 150 streams, litellm 1.83.7).
        HTTPHandler.__del__ = lambda _: None

    def cannot(self, way: str) -> str:
        from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper

        is_old = not hasattr(CustomStreamWrapper, "close")  # 1.83
        return OLD_LITELLM.get(way, "") if is_old else ""

    def _request(self, text: str, *, stream: bool) -> dict[str, Any]:
        where = {"api_base": self.provider.url, "api_key": "k"}
        messages = [{"role": "user", "content": text}]
        return {"model": "anthropic/claude-haiku-4-5", "messages": messages, "stream": stream, **where}

    def ask(self, text: str, *, stream: bool) -> Any:
        return pytest.importorskip("litellm").completion(**self._request(text, stream=stream))

    async def aask(self, text: str, *, stream: bool) -> Any:
        return await pytest.importorskip("litellm").acompletion(**self._request(text, stream=stream))


class Bedrock(Library):
    def connect(self, *, is_async: bool) -> None:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        make = pytest.importorskip("boto3").client
        self.client = make("bedrock-runtime", endpoint_url=self.provider.url, **keys)

    def ask(self, text: str, *, stream: bool) -> Any:
        model = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
        messages = [{"role": "user", "content": [{"text": text}]}]
        if stream:
            return self.client.converse_stream(modelId=model, messages=messages)["stream"]
        return self.client.converse(modelId=model, messages=messages)


LIBRARIES = (OpenAI, Anthropic, Gemini, Litellm)


def use(library: Library, number: int, way: str) -> None:
    answer = library.ask(text_of(number, way), stream=way != "plain")
    if way == "plain":
        return
    stream = iter(answer)
    next(stream)
    if way == "read out":
        for _ in stream:
            pass
    elif way == "cut off":
        with pytest.raises(Exception):  # noqa: B017 - each library has its own
            for _ in stream:
                pass
    elif way == "closed":
        answer.close()


def text_of(number: int, way: str) -> str:
    return f"[[words=8{' cut-after=3' if way == 'cut off' else ''}]] Mail {number}"


async def ause(library: Library, number: int, way: str) -> None:
    if way == "cancelled":
        began = asyncio.Event()
        task = asyncio.create_task(read(library, f"[[words=8 hang-after=3]] Mail {number}", began))
        await began.wait()
        task.cancel()  # while it waits for a word that never comes
        await asyncio.wait([task])
        return
    answer = await library.aask(text_of(number, way), stream=way != "plain")
    if way == "plain":
        return
    stream = aiter(answer)
    await anext(stream)
    if way == "read out":
        async for _ in stream:
            pass
    elif way == "cut off":
        with pytest.raises(Exception):  # noqa: B017 - each library has its own
            async for _ in stream:
                pass
    elif way == "closed":
        await (getattr(answer, "aclose", None) or answer.close)()


async def read(library: Library, text: str, began: asyncio.Event) -> None:
    seen = 0
    async for _ in await library.aask(text, stream=True):
        seen += 1
        if seen == 2:
            began.set()


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile: to close a dropped stream httpcore takes a lock that it may hold just then."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


def check(recorded: Recording, provider: FakeProvider, parents: set[str], way: str) -> None:
    calls = recorded.calls()
    assert len(calls) == len(provider.ledger.calls) == MANY
    assert {call.parent_id for call in calls} == parents
    assert len({call.span_id for call in calls}) == MANY
    assert {call.attributes["everyspan.end"] for call in calls} == {ENDS[way]}
    served = provider.ledger
    if ENDS[way] == "complete":
        cost = sum((Decimal(str(call.attributes["everyspan.cost.total"])) for call in calls), Decimal(0))
        assert cost == served.cost
        assert (
            sum(int(str(call.attributes["gen_ai.usage.output_tokens"])) for call in calls)
            == served.tokens.output
        )
    else:
        assert {call.attributes["everyspan.cost.state"] for call in calls} == {"estimated"}
        assert all(call.attributes["gen_ai.usage.input_tokens"] for call in calls)


@pytest.mark.parametrize("way", SYNC)
@pytest.mark.parametrize("kind", [*LIBRARIES, Bedrock])
def test_fifty_calls_in_threads(
    provider: FakeProvider, recorded: Recording, kind: Callable[[FakeProvider], Library], way: str
) -> None:
    library = kind(provider)
    library.connect(is_async=False)
    if why := library.cannot(way):
        pytest.skip(why)

    with uncollected(), everyspan.span("parent") as parent, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: use(library, number, way), range(MANY)))

    check(recorded, provider, {f"{parent.get_span_context().span_id:016x}"}, way)


@pytest.mark.parametrize("way", ASYNC)
@pytest.mark.parametrize("kind", LIBRARIES)
def test_fifty_calls_gathered(
    provider: FakeProvider, recorded: Recording, kind: Callable[[FakeProvider], Library], way: str
) -> None:
    library = kind(provider)

    async def main() -> set[str]:
        library.connect(is_async=True)
        if way != "closed" and (why := library.cannot(way)):
            pytest.skip(why)
        with everyspan.span("parent") as parent:
            work: list[Awaitable[None]] = [ause(library, number, way) for number in range(MANY)]
            with uncollected():
                await asyncio.gather(*work)
            return {f"{parent.get_span_context().span_id:016x}"}

    check(recorded, provider, asyncio.run(main()), way)
