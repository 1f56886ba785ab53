"""The fake provider answers the real SDKs as the real APIs do, and its books hold what they were told."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest

from everyspan.testing import FakeProvider, Outcome, Tokens

HELLO: Any = [{"role": "user", "content": "hello there"}]  # 11 bytes: 3 tokens


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


def claude(provider: FakeProvider) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="sk-ant-test", base_url=provider.url, max_retries=0)


def gpt(provider: FakeProvider) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=0)


def test_an_anthropic_message_reports_the_usage_and_ids_that_the_books_have(provider: FakeProvider) -> None:
    message = claude(provider).messages.create(model="claude-haiku-4-5", max_tokens=64, messages=HELLO)

    (entry,) = provider.ledger.calls
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, entry.tokens.output)
    assert (message.id, message._request_id) == (entry.response_id, entry.request_id)
    assert message.model == "claude-haiku-4-5-20251001"
    assert len(message.content[0].text.split()) == entry.tokens.output
    assert entry.outcome is Outcome.SERVED


def test_the_price_is_the_list_price_of_these_tokens_exactly(provider: FakeProvider) -> None:
    claude(provider).messages.create(
        model="claude-haiku-4-5",
        max_tokens=64,
        messages=[{"role": "user", "content": "a" * 400 + "[[words=7]]"}],
    )
    gpt(provider).chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "a" * 29 + "[[words=10]]"}]
    )

    # 411 bytes are 103 tokens, at $1 and $5 a million; 41 bytes are 11, at $0.15 and $0.60.
    haiku, mini = provider.ledger.calls
    assert haiku.cost_usd == Decimal("0.000138")
    assert mini.cost_usd == Decimal("0.00000765")
    assert provider.ledger.cost == Decimal("0.00014565")
    assert provider.ledger.tokens == Tokens(fresh_input=114, output=17)


def test_an_anthropic_stream_adds_up_to_the_message_that_was_not_streamed(provider: FakeProvider) -> None:
    plain = claude(provider).messages.create(model="claude-haiku-4-5", max_tokens=64, messages=HELLO)

    with claude(provider).messages.stream(model="claude-haiku-4-5", max_tokens=64, messages=HELLO) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()

    assert streamed.content[0].text == plain.content[0].text
    assert streamed.usage.output_tokens == plain.usage.output_tokens
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [entry.cost_usd for entry in provider.ledger.calls] == [provider.ledger.calls[0].cost_usd] * 2


def test_an_openai_stream_carries_usage_only_when_asked(provider: FakeProvider) -> None:
    plain = gpt(provider).chat.completions.create(model="gpt-4o-mini", messages=HELLO)
    silent = list(gpt(provider).chat.completions.create(model="gpt-4o-mini", messages=HELLO, stream=True))

    asked = list(
        gpt(provider).chat.completions.create(
            model="gpt-4o-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )

    assert all(chunk.usage is None for chunk in silent)
    assert asked[-1].usage == plain.usage
    assert asked[-1].choices == []
    text = "".join(chunk.choices[0].delta.content or "" for chunk in asked[:-1])
    assert text == plain.choices[0].message.content
    assert len({chunk.id for chunk in asked}) == 1


def test_a_marked_prefix_is_written_to_the_cache_once_and_read_ever_after(provider: FakeProvider) -> None:
    system: Any = [{"type": "text", "text": "s" * 4000, "cache_control": {"type": "ephemeral"}}]

    first, second = (
        claude(provider)
        .messages.create(model="claude-haiku-4-5", max_tokens=64, system=system, messages=HELLO)
        .usage
        for _ in range(2)
    )

    assert (first.input_tokens, first.cache_creation_input_tokens, first.cache_read_input_tokens) == (
        3,
        1000,
        0,
    )
    assert (second.input_tokens, second.cache_creation_input_tokens, second.cache_read_input_tokens) == (
        3,
        0,
        1000,
    )
    written, read = provider.ledger.calls
    output = Decimal(5) * written.tokens.output
    assert written.cost_usd == (Decimal("1.25") * 1000 + 3 + output) / 1_000_000
    assert read.cost_usd == (Decimal("0.10") * 1000 + 3 + output) / 1_000_000


def test_a_prefix_kept_for_an_hour_is_told_apart_and_costs_more(provider: FakeProvider) -> None:
    system: Any = [{"type": "text", "text": "s" * 400, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]

    usage = (
        claude(provider)
        .messages.create(model="claude-haiku-4-5", max_tokens=64, system=system, messages=HELLO)
        .usage
    )

    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_1h_input_tokens == 100
    assert provider.ledger.tokens.cache_write_1h == 100


def test_a_cached_openai_prompt_is_reported_inside_the_prompt_tokens(provider: FakeProvider) -> None:
    messages: Any = [{"role": "system", "content": "s" * 400}, *HELLO]

    usages = [
        gpt(provider)
        .chat.completions.create(model="gpt-4o-mini", messages=messages, prompt_cache_key="k")
        .usage
        for _ in range(2)
    ]

    assert [usage.prompt_tokens for usage in usages if usage] == [103, 103]
    assert [
        usage.prompt_tokens_details.cached_tokens for usage in usages if usage and usage.prompt_tokens_details
    ] == [0, 100]
    assert provider.ledger.tokens == Tokens(
        fresh_input=106, cache_read=100, output=2 * provider.ledger.calls[0].tokens.output
    )


def test_the_answer_stops_at_max_tokens_and_says_so(provider: FakeProvider) -> None:
    message = claude(provider).messages.create(model="claude-haiku-4-5", max_tokens=4, messages=HELLO)

    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 4


def test_a_model_without_a_price_is_served_and_counted_as_unpriced(provider: FakeProvider) -> None:
    gpt(provider).chat.completions.create(model="nobody-knows-1", messages=HELLO)

    bill = provider.ledger.bill()
    assert bill.calls[0].cost_usd is None
    assert (bill.unpriced, bill.cost) == (1, Decimal(0))


def test_each_key_has_its_own_bill(provider: FakeProvider) -> None:
    other = anthropic.Anthropic(api_key="sk-ant-other", base_url=provider.url)

    claude(provider).messages.create(model="claude-haiku-4-5", max_tokens=64, messages=HELLO)
    other.messages.create(model="claude-haiku-4-5", max_tokens=2, messages=HELLO)

    assert provider.ledger.bill().of("sk-ant-other").tokens == Tokens(fresh_input=3, output=2)
    assert "sk-ant" not in repr(provider.ledger.calls)


def test_what_the_api_would_not_accept_is_refused_and_not_billed(provider: FakeProvider) -> None:
    with pytest.raises(anthropic.BadRequestError, match="at least one message"):
        claude(provider).messages.create(model="claude-haiku-4-5", max_tokens=64, messages=[])
    with pytest.raises(openai.BadRequestError, match="unknown directive 'dealy=1'"):
        gpt(provider).chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hi [[dealy=1]]"}]
        )

    assert provider.ledger.calls == ()
    assert [entry.status for entry in provider.ledger.bill().entries] == [400, 400]
