"""What other tables and tools get wrong, with amounts that were added up by hand: right here, or flagged.

100,000 tokens in and 10,000 out unless a case says otherwise, on 2026-11-22.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everyspan.collector.bill import bill_of
from everyspan.cost.price import Purchase, price
from everyspan.cost.usage import LANGFUSE_USAGE, langfuse_usage_details, usage_from_attributes
from everyspan.model.money import Cost, CostState
from everyspan.model.usage import Usage


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


NOW = at("2026-11-22 12:00")


def cost_of(model: str, provider: str = "", day: str = "2026-11-22 12:00", **usage: Any) -> Cost:
    counts = {"input_tokens": 100_000, "output_tokens": 10_000} | usage
    return price(Purchase(usage=Usage(**counts), model=model, provider=provider, at_ns=at(day)))


@pytest.mark.parametrize(
    ("model", "provider", "usage", "total"),
    [
        # 100k x 1 + 10k x 5 dollars a million; then 80k cached at 0.1; 60k written at 1.25, for an hour at 2
        ("claude-haiku-4-5", "", {}, "0.15"),
        ("claude-haiku-4-5", "", {"cache_read_tokens": 80_000}, "0.078"),
        ("claude-haiku-4-5", "", {"cache_write_tokens": 60_000}, "0.165"),
        ("claude-haiku-4-5", "", {"cache_write_tokens": 60_000, "cache_write_1h_tokens": 60_000}, "0.21"),
        # Batch is half of each; Langfuse bills it in full.
        ("claude-haiku-4-5", "", {"batch": True}, "0.075"),
        ("claude-haiku-4-5", "", {"batch": True, "cache_read_tokens": 80_000}, "0.039"),
        # The price for more than 200k ended with the 1M context on 2026-04-30.
        ("claude-sonnet-4-5", "", {"input_tokens": 250_000}, "0.9"),
        ("claude-opus-5", "", {}, "0.75"),
        # Done in the US, at 1.1 of everything
        ("claude-opus-5", "", {"region": "us"}, "0.825"),
        ("gpt-4o", "", {"batch": True, "cache_read_tokens": 80_000}, "0.175"),
        # A tier in any case: genai-prices takes "Priority" for the standard one.
        ("gpt-4o", "", {"service_tier": "Priority"}, "0.595"),
        ("gpt-5-mini", "", {"service_tier": "flex"}, "0.0225"),
        ("gpt-5-mini", "", {"service_tier": "priority"}, "0.081"),
        # 50k at 10 and 250k cached at 1 beyond 272k, 10k out at 45
        ("gpt-5.5", "", {"input_tokens": 300_000, "cache_read_tokens": 250_000}, "1.2"),
        ("gpt-audio", "", {"input_audio_tokens": 40_000, "output_audio_tokens": 6_000}, "1.854"),
        ("gpt-realtime", "", {"input_audio_tokens": 40_000, "output_audio_tokens": 6_000}, "1.968"),
        # 250k at 2.5 and 10k at 15: beyond 200k the higher rate holds for all; tokencost never heard of it.
        ("gemini-2.5-pro", "", {"input_tokens": 250_000}, "0.775"),
        # Tiers that genai-prices lacks, from litellm's map
        ("gemini-2.5-pro", "gemini", {"service_tier": "priority"}, "0.405"),
        ("gemini-2.5-pro", "gemini", {"service_tier": "flex"}, "0.1125"),
        ("gemini-2.5-flash", "", {"input_audio_tokens": 40_000}, "0.083"),
        ("gemini-3.7-flash", "gemini", {"batch": True}, "0.05625"),
        # genai-prices has DeepSeek's prices of 2025 and an alias of Mistral's that moved on.
        ("deepseek-chat", "deepseek", {}, "0.0322"),
        ("mistral-large-latest", "mistral", {}, "0.065"),
        # litellm knows neither; 100k at 3 and 10k at 15
        ("grok-4", "xai", {}, "0.45"),
        ("llama-3.3-70b-versatile", "groq", {}, "0.0669"),
        # A data zone in the id: a tenth more
        ("eu/gpt-4o-2024-11-20", "azure", {}, "0.385"),
    ],
)  # fmt: skip
def test_what_others_disagree_about_comes_out_as_added_up_by_hand(
    model: str, provider: str, usage: dict[str, Any], total: str
) -> None:
    cost = cost_of(model, provider, **usage)

    assert (cost.total, cost.state, cost.unpriced) == (Decimal(total), CostState.COMPUTED, ())


def test_a_batch_of_the_past_is_flagged_where_nobody_dates_its_price() -> None:
    cost = cost_of("claude-haiku-4-5", day="2026-06-01", batch=True)

    assert (cost.state, cost.unpriced, cost.total) == (CostState.PARTIAL, ("batch",), Decimal("0.15"))


@pytest.mark.parametrize("model", ["claude-opus-4-20250514", "o1-preview", "a-name-somebody-invented"])
def test_models_that_litellm_calls_free_have_a_price_or_none(model: str) -> None:
    cost = cost_of(model)

    assert cost.total is None or cost.total > 0
    assert (cost.total is None) is (cost.state is CostState.UNPRICED)


def bill(**attributes: Any) -> Any:
    said = {name.replace("__", "."): value for name, value in attributes.items()}
    return bill_of(said, kind="generation", model="claude-sonnet-4-5", provider="anthropic", at_ns=NOW)


def test_thinking_is_paid_as_output_and_not_at_12_per_cent() -> None:
    found = bill(
        gen_ai__usage__input_tokens=1_000,
        gen_ai__usage__output_tokens=10_000,
        gen_ai__usage__reasoning__output_tokens=9_000,
    )

    assert found.total == Decimal("0.153")


def test_two_names_of_one_count_are_billed_once() -> None:
    said = {"input": 100, "prompt_token_count": 100, "input_tokens": 100, "output": 0}

    found = bill(**{LANGFUSE_USAGE: json.dumps(said)})

    assert found.usage.input_tokens == 100


def test_cost_details_without_a_total_are_added_up_and_not_0() -> None:
    details = {"input": 0.1, "output": 0.2, "cache_read_input_tokens": 0.01}

    found = bill(langfuse__observation__cost_details=json.dumps(details))

    assert (found.state, found.total) == (CostState.STATED, Decimal("0.31"))


def test_cache_writes_that_litellm_leaves_in_the_input_are_counted_once() -> None:
    said = {"input": 110, "cache_creation_input_tokens": 100, "output": 5, "total": 115}

    usage = usage_from_attributes({LANGFUSE_USAGE: json.dumps(said)})

    assert usage == Usage(input_tokens=110, output_tokens=5, cache_write_tokens=100)


def test_an_error_without_usage_is_not_charged() -> None:
    found = bill(error__type="RateLimitError")

    assert (found.state, found.total) == (CostState.UNPRICED, None)


# One kind on top of another usage: what it costs must be there, and never less than nothing.
kinds = st.sampled_from(["input_tokens", "output_tokens", "web_searches"])
models = st.sampled_from(
    [
        "claude-haiku-4-5",
        "gpt-4o",
        "gemini-2.5-pro",
        "gemini-2.5-flash",
        "deepseek-chat",
        "gpt-5.5",
        "gpt-audio",
    ]
)
counts = st.integers(1, 90_000)


@settings(deadline=None, max_examples=150)
@given(model=models, first=counts, second=counts, out=counts, cached=st.integers(0, 40_000))
def test_below_a_threshold_cost_is_additive(
    model: str, first: int, second: int, out: int, cached: int
) -> None:
    cached = min(cached, first)

    one = cost_of(model, input_tokens=first, output_tokens=out, cache_read_tokens=cached)
    two = cost_of(model, input_tokens=second, output_tokens=out, cache_read_tokens=0)
    both = cost_of(model, input_tokens=first + second, output_tokens=2 * out, cache_read_tokens=cached)

    assert one.total is not None
    assert two.total is not None
    assert both.total == one.total + two.total


@settings(deadline=None, max_examples=150)
@given(model=models, kind=kinds, base=counts, more=counts)
def test_more_of_anything_never_costs_less(model: str, kind: str, base: int, more: int) -> None:
    usage: dict[str, Any] = {"input_tokens": base, "output_tokens": base, "web_searches": base}

    before = cost_of(model, **usage)
    after = cost_of(model, **{**usage, kind: base + more})

    assert before.total is not None
    assert after.total is not None
    assert after.total >= before.total


@settings(deadline=None, max_examples=100)
@given(
    model=models,
    inputs=counts,
    outputs=counts,
    cached=st.integers(0, 90_000),
    reasoning=st.integers(0, 90_000),
)
def test_a_cost_survives_the_way_through_langfuses_buckets(
    model: str, inputs: int, outputs: int, cached: int, reasoning: int
) -> None:
    usage = Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=min(cached, inputs),
        reasoning_tokens=min(reasoning, outputs),
    )
    through = usage_from_attributes({LANGFUSE_USAGE: json.dumps(langfuse_usage_details(usage))})

    direct = price(Purchase(usage=usage, model=model, at_ns=NOW))

    assert price(Purchase(usage=through, model=model, at_ns=NOW)).total == direct.total


def test_every_line_of_a_cost_is_tokens_times_rate() -> None:
    cost = cost_of("gpt-audio", input_audio_tokens=40_000, output_audio_tokens=6_000, web_searches=2)

    assert all(line.amount == line.rate * line.tokens for line in cost.lines)
    assert Counter(line.kind for line in cost.lines).most_common(1)[0][1] == 1
