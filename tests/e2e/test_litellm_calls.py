"""litellm, real, against the fake provider: one span for each call, with its parent, usage and cost."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import litellm
import pytest
from litellm import acompletion, completion  # taken before everyspan.init(), as user programs do

import everyspan
from everyspan.testing import FakeProvider
from tests.recording import Recording

litellm.suppress_debug_info = True
completion_taken_earlier = functools.partial(completion, max_tokens=64)

Arguments = Callable[..., dict[str, Any]]


@pytest.fixture(params=["anthropic/claude-haiku-4-5", "openai/gpt-4o-mini"])
def ask(request: pytest.FixtureRequest, provider: FakeProvider) -> Arguments:
    """Arguments of a call to each provider; `ask("text", stream=True)`."""
    base = provider.url if request.param.startswith("anthropic") else provider.openai_url

    def arguments(text: str, **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        return {"model": request.param, "messages": messages, "api_base": base, "api_key": "sk-test", **more}

    return arguments


def cost_of(recorded: Recording) -> Decimal:
    return sum(
        (Decimal(str(call.attributes["everyspan.cost.total"])) for call in recorded.calls()), Decimal(0)
    )


def test_a_call_is_one_span_with_usage_cost_and_messages(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    answer = completion(**ask("Say something."))

    call = recorded.only_call()
    (served,) = provider.ledger.calls
    assert call.attributes["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert call.attributes["everyspan.cost.state"] == "computed"
    assert call.attributes["everyspan.end"] == "complete"
    (asked,) = json.loads(str(call.attributes["gen_ai.input.messages"]))
    (said,) = json.loads(str(call.attributes["gen_ai.output.messages"]))
    assert asked == {"role": "user", "parts": [{"type": "text", "content": "Say something."}]}
    assert said["parts"][0]["content"] == answer.choices[0].message.content


def test_gathered_calls_are_children_of_the_function_that_gathers(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    @everyspan.observe
    async def batch() -> None:
        await asyncio.gather(*(acompletion(**ask(f"Mail {number}")) for number in range(20)))

    asyncio.run(batch())

    (parent,) = [span for span in recorded.spans() if span.name == "batch"]
    assert [call.parent_id for call in recorded.calls()] == [parent.span_id] * 20
    assert cost_of(recorded) == provider.ledger.cost


def test_calls_in_a_thread_pool_have_the_submitter_as_parent(ask: Arguments, recorded: Recording) -> None:
    with everyspan.span("pool") as parent, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: completion(**ask(f"Mail {number}")), range(8)))

    parent_id = f"{parent.get_span_context().span_id:016x}"
    assert [call.parent_id for call in recorded.calls()] == [parent_id] * 8


def test_a_partial_made_before_init_is_recorded(ask: Arguments, recorded: Recording) -> None:
    completion_taken_earlier(**ask("Hello"))

    assert recorded.only_call().attributes["everyspan.end"] == "complete"


def test_one_metadata_dict_for_all_calls_gives_a_span_for_each(ask: Arguments, recorded: Recording) -> None:
    metadata = {"tags": ["nightly"], "session_id": "s-1", "trace_user_id": "u-1"}

    for number in range(5):
        completion(**ask(f"Mail {number}"), metadata=metadata)

    calls = recorded.calls()
    assert len(calls) == 5
    assert {call.attributes["session.id"] for call in calls} == {"s-1"}
    assert {call.attributes["user.id"] for call in calls} == {"u-1"}
    # litellm leaves its own notes about a call in the caller's dict; they are nothing that the user said.
    assert not any("langfuse.observation.metadata" in call.attributes for call in calls)


def test_a_parent_named_in_the_metadata_wins(ask: Arguments, recorded: Recording) -> None:
    with everyspan.span("named") as named:
        pass

    with everyspan.span("current"):
        completion(**ask("Hello"), metadata={"litellm_parent_otel_span": named})

    assert recorded.only_call().parent_id == f"{named.get_span_context().span_id:016x}"


def test_a_refused_call_is_an_error_that_is_not_billed(ask: Arguments, recorded: Recording) -> None:
    with pytest.raises((litellm.AuthenticationError, litellm.BadRequestError)):
        completion(**ask("[[status=401]]"))

    call = recorded.only_call()
    assert call.status == "error"
    assert str(call.attributes["error.type"]) in ("AuthenticationError", "BadRequestError")
    assert call.attributes["everyspan.end"] == "error"
    assert "refused" in str(call.attributes["everyspan.unbilled"])


def test_retries_are_one_span_with_the_number_of_attempts(
    provider: FakeProvider, recorded: Recording
) -> None:
    completion(
        model="anthropic/claude-haiku-4-5",
        messages=[{"role": "user", "content": "[[status=500 times=1]] please"}],
        api_base=provider.url,
        api_key="sk-test",
        num_retries=2,
    )

    call = recorded.only_call()
    assert call.attributes["everyspan.attempts"] == 2
    assert cost_of(recorded) == provider.ledger.cost


def test_a_fallback_is_one_span_with_the_cost_of_the_answer(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    request = ask("[[status=500 times=1]] please", max_retries=0)

    completion(fallbacks=[request["model"]], **request)

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "complete"
    assert cost_of(recorded) == provider.ledger.cost


def test_the_router_gives_a_span_for_each_attempt(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    request = ask("[[status=500 times=1]] please", max_retries=0)
    messages = request.pop("messages")
    router = litellm.Router([{"model_name": "any", "litellm_params": request}], num_retries=2, retry_after=0)

    asyncio.run(router.acompletion("any", messages=messages))

    assert sorted(str(call.attributes["everyspan.end"]) for call in recorded.calls()) == ["complete", "error"]


def test_a_cancelled_call_is_recorded_as_cancelled(
    ask: Arguments, provider: FakeProvider, recorded: Recording
) -> None:
    async def cancel_when_it_has_begun() -> None:
        task = asyncio.create_task(acompletion(**ask("[[hang]]")))
        while not everyspan.stats()["calls"]["open"]:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel_when_it_has_begun())

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == "cancelled"
    assert call.status == "error"


def test_a_call_that_times_out_is_recorded_as_such(ask: Arguments, recorded: Recording) -> None:
    with pytest.raises(litellm.Timeout):
        completion(**ask("[[hang]]", timeout=0.3, max_retries=0))

    assert recorded.only_call().attributes["everyspan.end"] == "timeout"


def test_a_mock_response_is_recorded_like_any_other(recorded: Recording) -> None:
    completion(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], mock_response="Hello")

    assert recorded.only_call().attributes["everyspan.end"] == "complete"


def test_an_unknown_model_is_unpriced_and_never_free(provider: FakeProvider, recorded: Recording) -> None:
    completion(
        model="openai/everyspan-invented-9",
        messages=[{"role": "user", "content": "Hi"}],
        api_base=provider.openai_url,
        api_key="sk-test",
    )

    call = recorded.only_call()
    assert call.attributes["everyspan.cost.state"] == "unpriced"
    assert "everyspan.cost.total" not in call.attributes


def test_wrong_arguments_raise_what_they_always_raised(recorded: Recording) -> None:
    with pytest.raises(TypeError, match=r"messages|model"):
        asyncio.run(acompletion())

    assert everyspan.stats()["calls"]["open"] == 0
