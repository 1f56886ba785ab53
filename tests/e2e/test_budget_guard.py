"""`everyspan.budget()`: the call after the limit is not made, whatever library makes it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import anthropic
import litellm
import openai
import pytest
from google import genai

import everyspan
from everyspan.testing import FakeProvider
from tests.recording import Recording

litellm.suppress_debug_info = True
HELLO: Any = [{"role": "user", "content": "[[words=8]] hello"}]
Ask = Callable[[], Any]


def with_openai(provider: FakeProvider, *, model: str = "gpt-4o-mini") -> Ask:
    client = openai.OpenAI(api_key="k", base_url=provider.openai_url, max_retries=0)
    return lambda: client.chat.completions.create(model=model, messages=HELLO)


def with_anthropic(provider: FakeProvider) -> Ask:
    client = anthropic.Anthropic(api_key="k", base_url=provider.url, max_retries=0)
    return lambda: client.messages.create(model="claude-haiku-4-5", max_tokens=64, messages=HELLO)


def with_google(provider: FakeProvider) -> Ask:
    client = genai.Client(api_key="k", vertexai=False, http_options={"base_url": provider.url})
    return lambda: client.models.generate_content(model="gemini-2.5-flash", contents="[[words=8]] hello")


def of_litellm(provider: FakeProvider) -> dict[str, Any]:
    return {
        "model": "openai/gpt-4o-mini",
        "messages": HELLO,
        "api_base": provider.openai_url,
        "api_key": "k",
    }


def with_litellm(provider: FakeProvider) -> Ask:
    return lambda: litellm.completion(**of_litellm(provider))


@pytest.mark.parametrize(
    "library", [with_openai, with_anthropic, with_google, with_litellm], ids=lambda each: each.__name__
)
def test_the_call_after_the_limit_is_not_made(
    library: Callable[[FakeProvider], Ask], provider: FakeProvider, recorded: Recording
) -> None:
    ask = library(provider)

    with everyspan.budget(usd="0.0000001", name="a cent") as limit:
        ask()
        with pytest.raises(everyspan.BudgetExceeded, match="the budget a cent of") as refused:
            ask()

    assert len(provider.ledger.calls) == len(recorded.calls()) == 1
    assert limit.spent == refused.value.spent == provider.ledger.cost > 0
    assert (limit.calls, limit.unpriced, limit.remaining) == (1, 0, Decimal(0))
    ask()  # outside of the block nothing is limited


def test_asynchronous_calls_and_streams_are_limited(provider: FakeProvider, recorded: Recording) -> None:
    client = openai.AsyncOpenAI(api_key="k", base_url=provider.openai_url, max_retries=0)

    async def go() -> Decimal:
        async with everyspan.budget(usd=0.0000001) as limit:
            stream = await client.chat.completions.create(
                model="gpt-4o-mini",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
            assert limit.spent == 0
            async for _ in stream:
                pass
            with pytest.raises(everyspan.BudgetExceeded):
                await client.chat.completions.create(model="gpt-4o-mini", messages=HELLO)
            with pytest.raises(everyspan.BudgetExceeded):
                await litellm.acompletion(**of_litellm(provider))
        return limit.spent

    assert asyncio.run(go()) == provider.ledger.cost
    assert len(recorded.calls()) == 1


def test_nested_limits_count_the_same_call_and_the_first_one_reached_refuses(
    provider: FakeProvider, recorded: Recording
) -> None:
    ask = with_openai(provider)

    with everyspan.budget(usd=10, name="day") as day:
        ask()
        with everyspan.budget(usd="0.0000001", name="job") as job:
            ask()
            with pytest.raises(everyspan.BudgetExceeded, match="the budget job"):
                ask()
        ask()

    one = provider.ledger.calls[0].cost_usd
    assert one is not None
    assert (day.spent, job.spent) == (3 * one, one)


def test_tasks_and_threads_spend_from_the_limit_they_started_in_and_from_no_other(
    provider: FakeProvider, recorded: Recording
) -> None:
    ask = with_openai(provider)

    async def branch(calls: int) -> Decimal:
        with everyspan.budget(usd=1) as own:
            for _ in range(calls):
                await asyncio.to_thread(ask)
            return own.spent

    async def go() -> list[Decimal]:
        return await asyncio.gather(*(branch(calls) for calls in (1, 2, 3)))

    with everyspan.budget(usd=1) as around:
        branches = asyncio.run(go())
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(ask) for _ in range(6)]:
                done.result()

    one = provider.ledger.calls[0].cost_usd
    assert one is not None
    assert branches == [one, 2 * one, 3 * one]
    assert around.spent == provider.ledger.cost == 12 * one


def test_a_call_of_litellm_over_openai_is_counted_once(provider: FakeProvider, recorded: Recording) -> None:
    with everyspan.budget(usd=1) as limit:
        with_litellm(provider)()

    assert (limit.calls, limit.spent) == (1, provider.ledger.cost)


def test_calls_without_a_price_are_told_and_not_taken_as_nothing(
    provider: FakeProvider, recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    ask = with_openai(provider, model="a-model-nobody-lists")

    with caplog.at_level(logging.WARNING, "everyspan"), everyspan.budget(usd=1, name="night") as limit:
        ask()

    assert (limit.spent, limit.calls, limit.unpriced) == (Decimal(0), 1, 1)
    assert "1 of 1 calls in the budget night have no whole price" in caplog.text


def test_a_call_that_the_provider_refused_costs_nothing(provider: FakeProvider, recorded: Recording) -> None:
    client = openai.OpenAI(api_key="k", base_url=provider.openai_url, max_retries=0)

    with everyspan.budget(usd=1) as limit, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "[[status=429]]"}]
        )

    assert (limit.calls, limit.unpriced) == (0, 0)


def test_a_limit_of_nothing_lets_no_call_through_and_stats_say_so(
    provider: FakeProvider, recorded: Recording
) -> None:
    before = everyspan.stats()["calls"]["over_budget"]

    with everyspan.budget(usd=0), pytest.raises(everyspan.BudgetExceeded):
        with_openai(provider)()

    assert provider.ledger.calls == ()
    assert everyspan.stats()["calls"]["over_budget"] == before + 1


def test_a_forked_child_goes_on_from_what_was_spent_by_itself(
    provider: FakeProvider, recorded: Recording
) -> None:
    with everyspan.budget(usd=1) as limit:
        with_openai(provider)()
        spent = limit.spent
        child = os.fork()
        if not child:
            os._exit(0 if limit.spent == spent else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("usd", [-1, "much", float("nan"), True])
def test_a_limit_that_is_no_amount_is_refused(usd: Any) -> None:
    with pytest.raises(everyspan.EveryspanError, match="usd is"):
        everyspan.budget(usd=usd)
