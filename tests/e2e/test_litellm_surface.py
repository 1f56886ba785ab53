"""litellm's calls beside completions: one span each, with what they used."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

import litellm
import pytest

from everyspan.testing import FakeProvider
from tests.recording import Recording

TEXT = "[[words=8]] hello"
needs_proxy = pytest.mark.skipif(
    find_spec("soundfile") is None, reason="litellm imports its proxy for it, which needs litellm[proxy]"
)


@pytest.fixture
def openai_at(provider: FakeProvider) -> dict[str, Any]:
    return {"api_base": provider.openai_url, "api_key": "sk-test"}


def test_a_response_plain_streamed_and_awaited_is_one_span_each(
    openai_at: dict[str, Any], provider: FakeProvider, recorded: Recording
) -> None:
    async def ask() -> None:
        await litellm.aresponses(model="openai/gpt-4o-mini", input=TEXT, **openai_at)
        async for _ in await litellm.aresponses(
            model="openai/gpt-4o-mini", input=TEXT, stream=True, **openai_at
        ):
            pass

    litellm.responses(model="openai/gpt-4o-mini", input=TEXT, **openai_at)
    for _ in litellm.responses(model="openai/gpt-4o-mini", input=TEXT, stream=True, **openai_at):
        pass
    asyncio.run(ask())

    calls = recorded.calls()
    assert [call.attributes["gen_ai.usage.output_tokens"] for call in calls] == [8, 8, 8, 8]
    cost = sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in calls)
    assert cost == provider.ledger.cost


def test_a_response_of_a_model_that_only_chats_is_one_span(
    provider: FakeProvider, recorded: Recording
) -> None:
    litellm.responses(
        model="anthropic/claude-haiku-4-5",
        input=TEXT,
        api_base=provider.url,
        api_key="k",
        max_output_tokens=64,
    )

    call = recorded.only_call()
    assert call.attributes["gen_ai.usage.output_tokens"] == 8
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == provider.ledger.cost


def test_embeddings_and_images_are_one_span_each(
    openai_at: dict[str, Any], provider: FakeProvider, recorded: Recording
) -> None:
    litellm.embedding(model="openai/text-embedding-3-small", input=["one", "two"], **openai_at)
    litellm.image_generation(model="openai/gpt-image-1", prompt="a cat", **openai_at)

    calls = recorded.calls()
    assert [call.attributes["gen_ai.operation.name"] for call in calls] == ["embeddings", "image_generation"]
    assert [call.attributes["gen_ai.usage.input_tokens"] for call in calls] == [
        served.tokens.input for served in provider.ledger.calls
    ]


@needs_proxy
def test_anthropics_messages_plain_and_streamed_are_one_span_each(
    provider: FakeProvider, recorded: Recording
) -> None:
    asked: dict[str, Any] = {
        "model": "anthropic/claude-haiku-4-5",
        "messages": [{"role": "user", "content": TEXT}],
        "max_tokens": 64,
        "api_base": provider.url,
        "api_key": "sk-test",
    }

    async def ask() -> None:
        await litellm.anthropic_messages(**asked)
        async for _ in await litellm.anthropic_messages(**asked, stream=True):
            pass

    asyncio.run(ask())

    calls = recorded.calls()
    assert [call.attributes["gen_ai.usage.output_tokens"] for call in calls] == [8, 8]
    cost = sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in calls)
    assert cost == provider.ledger.cost


def test_a_batch_of_completions_is_a_span_for_each_below_the_caller(
    openai_at: dict[str, Any], provider: FakeProvider, recorded: Recording
) -> None:
    messages = [[{"role": "user", "content": f"Mail {number}"}] for number in range(4)]

    litellm.batch_completion(model="openai/gpt-4o-mini", messages=messages, **openai_at)

    calls = recorded.calls()
    assert len(calls) == 4
    assert (
        sum(Decimal(str(call.attributes["everyspan.cost.total"])) for call in calls) == provider.ledger.cost
    )


@needs_proxy
def test_an_answer_out_of_litellms_cache_costs_nothing(
    openai_at: dict[str, Any], provider: FakeProvider, recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    asked: dict[str, Any] = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": TEXT}]}

    for _ in range(2):
        litellm.completion(**asked, **openai_at, caching=True)

    paid, free = recorded.calls()
    assert Decimal(str(paid.attributes["everyspan.cost.total"])) == provider.ledger.cost
    assert Decimal(str(free.attributes["everyspan.cost.total"])) == 0
    assert free.attributes["everyspan.cache_hit"] is True


@pytest.mark.skipif(not hasattr(litellm, "rerank"), reason="this litellm has no rerank")
def test_a_call_that_no_provider_answers_is_one_span(recorded: Recording) -> None:
    with pytest.raises(Exception, match=r".+"):
        litellm.rerank(
            model="cohere/rerank-v3.5", query="q", documents=["d"], api_base="http://127.0.0.1:9", api_key="k"
        )

    call = recorded.only_call()
    assert (call.status, call.attributes["gen_ai.operation.name"]) == ("error", "rerank")
