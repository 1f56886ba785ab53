"""What a call costs, in sums that were made by hand, and what happens where there is no price."""

from __future__ import annotations

import decimal
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everyspan.cost.price import Purchase, price
from everyspan.cost.table import Table
from everyspan.model.money import CostState
from everyspan.model.usage import Usage


def at(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


NOW = at("2026-11-22 12:00")


def test_a_call_costs_its_tokens_times_the_rates() -> None:
    usage = Usage(input_tokens=17, output_tokens=3)

    cost = price(Purchase(usage=usage, model="gpt-4o", provider="openai", at_ns=NOW))

    assert cost.state is CostState.COMPUTED
    assert cost.total == Decimal("0.0000725")
    assert (cost.input, cost.output) == (Decimal("0.0000425"), Decimal("0.00003"))
    assert [(line.kind, line.tokens, line.rate) for line in cost.lines] == [
        ("input_tokens", 17, Decimal("0.0000025")),
        ("output_tokens", 3, Decimal("0.00001")),
    ]
    assert cost.model == "openai/gpt-4o"
    assert cost.table == f"genai-prices {Table.load().sources['genai-prices']}"
    assert cost.unpriced == ()


@pytest.mark.parametrize(
    ("model", "usage", "total"),
    [
        # A threshold moves every token to the higher rate, and only beyond it.
        ("gemini-2.5-pro", Usage(input_tokens=200_000, output_tokens=1_000), "0.26"),
        ("gemini-2.5-pro", Usage(input_tokens=200_001, output_tokens=1_000), "0.5150025"),
        # Cached tokens are part of the 150,000: they do not push the call over the threshold.
        ("gemini-2.5-pro", Usage(input_tokens=150_000, cache_read_tokens=60_000, output_tokens=0), "0.12"),
        ("gemini-2.5-flash", Usage(input_tokens=100_000, input_audio_tokens=40_000, output_tokens=10_000), "0.083"),
        ("claude-haiku-4-5", Usage(input_tokens=100_000, output_tokens=10_000), "0.15"),
        ("claude-haiku-4-5", Usage(input_tokens=100_000, cache_read_tokens=80_000, output_tokens=10_000), "0.078"),
        ("claude-haiku-4-5", Usage(input_tokens=100_000, cache_write_tokens=60_000, output_tokens=10_000), "0.165"),
        (
            "claude-haiku-4-5",
            Usage(
                input_tokens=100_000, cache_write_tokens=60_000, cache_write_1h_tokens=60_000, output_tokens=10_000
            ),
            "0.21",
        ),
        # Reasoning has no rate of its own: it is output, neither free nor paid twice.
        ("claude-sonnet-4-5", Usage(input_tokens=1_000, output_tokens=10_000, reasoning_tokens=9_000), "0.153"),
        ("gpt-audio", Usage(input_tokens=100_000, input_audio_tokens=40_000, output_tokens=10_000,
                            output_audio_tokens=6_000), "1.854"),
        ("gpt-5-mini", Usage(input_tokens=100_000, output_tokens=10_000, service_tier="flex"), "0.0225"),
        ("gpt-5-mini", Usage(input_tokens=100_000, output_tokens=10_000, service_tier="Priority"), "0.081"),
        ("claude-haiku-4-5", Usage(input_tokens=100_000, output_tokens=10_000, batch=True), "0.075"),
    ],
)  # fmt: skip
def test_hand_made_sums_come_out_to_the_last_digit(model: str, usage: Usage, total: str) -> None:
    cost = price(Purchase(usage=usage, model=model, at_ns=NOW))

    assert cost.state is CostState.COMPUTED
    assert cost.total == Decimal(total)


def test_a_call_is_billed_at_the_rates_of_its_own_day() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0)

    before = price(Purchase(usage=usage, model="o3", provider="openai", at_ns=at("2025-06-09 23:59")))
    after = price(Purchase(usage=usage, model="o3", provider="openai", at_ns=at("2025-06-10")))

    assert (before.total, after.total) == (Decimal(10), Decimal(2))


def test_a_batch_before_the_table_knows_batch_prices_is_partial_and_says_so() -> None:
    usage = Usage(input_tokens=100_000, output_tokens=10_000, batch=True)

    cost = price(Purchase(usage=usage, model="claude-haiku-4-5", at_ns=at("2026-06-01")))

    assert cost.state is CostState.PARTIAL
    assert cost.unpriced == ("batch",)
    assert cost.total == Decimal("0.15")


def test_a_tier_that_a_reseller_does_not_list_is_partial_and_named() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100, service_tier="priority")

    cost = price(Purchase(usage=usage, model="azure/gpt-4o", provider="azure", at_ns=NOW))

    assert cost.model == "azure/gpt-4o"
    assert cost.state is CostState.PARTIAL
    assert cost.unpriced == ("service_tier=priority",)


@pytest.mark.parametrize("tier", ["default", "standard", "auto", "on_demand", ""])
def test_the_standard_tier_by_any_name_is_no_variant(tier: str) -> None:
    usage = Usage(input_tokens=17, output_tokens=3, service_tier=tier)

    cost = price(Purchase(usage=usage, model="claude-haiku-4-5", at_ns=NOW))

    assert cost.state is CostState.COMPUTED


def test_a_kind_without_any_price_is_named_beside_the_amount_of_the_others() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0, web_searches=2)

    cost = price(Purchase(usage=usage, model="text-embedding-3-small", provider="openai", at_ns=NOW))

    assert cost.state is CostState.PARTIAL
    assert cost.unpriced == ("web_searches",)
    assert cost.total == Decimal("0.02")


def test_a_total_that_was_not_reported_makes_the_cost_partial() -> None:
    cost = price(Purchase(usage=Usage(input_tokens=17), model="gpt-4o", at_ns=NOW))

    assert cost.state is CostState.PARTIAL
    assert cost.unpriced == ("output_tokens",)


def test_an_embedding_has_no_output_to_miss() -> None:
    cost = price(
        Purchase(usage=Usage(input_tokens=1_000_000), model="openai/text-embedding-3-small", at_ns=NOW)
    )

    assert cost.state is CostState.COMPUTED
    assert cost.total == Decimal("0.02")


def test_audio_that_may_also_be_cached_is_partial_when_nobody_said_how_much() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=10, cache_read_tokens=400, input_audio_tokens=300)

    cost = price(Purchase(usage=usage, model="gemini-2.5-flash", at_ns=NOW))

    assert cost.state is CostState.PARTIAL
    assert cost.unpriced == ("cache_read_audio_tokens",)
    assert {line.kind: line.tokens for line in cost.lines if line.tokens > 10} == {
        "cache_read_tokens": 400,
        "input_audio_tokens": 300,
        "input_tokens": 300,
    }


@pytest.mark.parametrize(
    ("usage", "model", "reason"),
    [
        (None, "gpt-4o", "no usage was reported"),
        (Usage(), "gpt-4o", "the reported usage counts nothing"),
        (Usage(input_tokens=0, output_tokens=0), "gpt-4o", "the reported usage counts nothing"),
        (Usage(input_tokens=1, output_tokens=1), "no-such-model", "the price table does not know this model"),
        (Usage(input_tokens=1, output_tokens=1), "", "the price table does not know this model"),
        (Usage(input_tokens=1, output_tokens=1), "m" * 5_000, "the price table does not know this model"),
        (Usage(input_tokens=1, output_tokens=1), "openai/whisper-1", "input_tokens"),
        (Usage(input_tokens=-1, output_tokens=1), "gpt-4o", "input_tokens is negative (-1)"),
        (
            Usage(input_tokens=10, cache_read_tokens=11, output_tokens=1),
            "gpt-4o",
            "cache_read_tokens + cache_write_tokens (11) is more than input_tokens (10)",
        ),
        (
            Usage(input_tokens=10**30, output_tokens=1),
            "gpt-4o",
            f"{10**30} tokens of one kind are more than anyone counts",
        ),
    ],
)
def test_without_a_price_there_is_a_reason_and_no_amount(
    usage: Usage | None, model: str, reason: str
) -> None:
    cost = price(Purchase(usage=usage, model=model, at_ns=NOW))

    assert cost.state is CostState.UNPRICED
    assert (cost.total, cost.input, cost.output, cost.lines) == (None, None, None, ())
    assert cost.unpriced[0] == reason


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        # litellm 1.106.2 answers $0.00 for each of these.
        ("gemini/gemini-exp-1206", "gemini"),
        ("gemini/gemma-3-27b-it", "gemini"),
        ("codestral/codestral-2405", "codestral"),
        ("ollama/deepseek-v3.1:671b-cloud", "ollama"),
        ("sagemaker/meta-textgeneration-llama-2-7b", "sagemaker"),
        ("gigachat/GigaChat-2", "gigachat"),
        ("glm-4-7-251222", "volcengine"),
    ],
)
def test_a_model_that_others_call_free_for_want_of_a_price_never_costs_nothing(
    model: str, provider: str
) -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100)

    cost = price(Purchase(usage=usage, model=model, provider=provider, at_ns=NOW))

    assert cost.total != 0
    assert (cost.total is None) is (cost.state is CostState.UNPRICED)


def test_what_the_provider_says_it_charged_wins() -> None:
    usage = Usage(input_tokens=17, output_tokens=3)

    cost = price(Purchase(usage=usage, model="gpt-4o", at_ns=NOW, stated=Decimal("0.5")))

    assert (cost.state, cost.total) == (CostState.STATED, Decimal("0.5"))


@pytest.mark.parametrize("stated", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(-1)])
def test_an_impossible_statement_is_not_believed(stated: Decimal) -> None:
    cost = price(
        Purchase(usage=Usage(input_tokens=17, output_tokens=3), model="gpt-4o", at_ns=NOW, stated=stated)
    )

    assert (cost.state, cost.total) == (CostState.COMPUTED, Decimal("0.0000725"))


def test_a_cache_hit_costs_nothing_even_if_the_stored_answer_states_a_cost() -> None:
    usage = Usage(input_tokens=17, output_tokens=3)

    cost = price(Purchase(usage=usage, model="gpt-4o", at_ns=NOW, cache_hit=True, stated=Decimal("0.5")))

    assert cost.state is CostState.COMPUTED
    assert [cost.total, cost.input, cost.output] == [Decimal(0)] * 3
    assert (cost.lines, cost.unpriced, cost.model) == ((), (), "openai/gpt-4o")


def test_estimated_usage_gives_an_estimated_cost_that_still_names_what_is_missing() -> None:
    cost = price(Purchase(usage=Usage(input_tokens=17), model="gpt-4o", at_ns=NOW, estimated=True))

    assert (cost.state, cost.total, cost.unpriced) == (
        CostState.ESTIMATED,
        Decimal("0.0000425"),
        ("output_tokens",),
    )


def test_a_program_that_changed_its_decimal_context_gets_the_same_cost() -> None:
    usage = Usage(input_tokens=123_456_789, output_tokens=3)

    with decimal.localcontext() as context:
        context.prec = 3
        context.traps[decimal.Inexact] = True
        cost = price(Purchase(usage=usage, model="gpt-4o-2024-11-20", at_ns=at("2026-01-01")))

    assert cost.total == Decimal("308.6420025")


names = st.one_of(
    st.sampled_from(
        ["gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash", "azure/gpt-4o", "deepseek-chat", "whisper-1"]
    ),
    st.text(max_size=40),
)
counts = st.one_of(st.none(), st.integers(-2, 400_000), st.integers(), st.floats(), st.text(max_size=3))


@settings(max_examples=500, deadline=None)
@given(
    kinds=st.dictionaries(
        st.sampled_from(
            [name for name in Usage.__dataclass_fields__ if name not in ("batch", "service_tier")]
        ),
        counts,
    ),
    service_tier=st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["flex", "batch", "fast"])),
    model=st.one_of(names, st.none(), st.lists(st.integers(), max_size=1)),
    provider=st.one_of(st.just(""), names, st.sampled_from(["openai", "google", "litellm", "aws"])),
    at_ns=st.integers(),
    stated=st.one_of(st.none(), st.decimals(), st.floats()),
)
def test_pricing_never_raises_and_never_calls_the_unknown_free(
    kinds: dict[str, object],
    service_tier: str | None,
    model: object,
    provider: str,
    at_ns: int,
    stated: object,
) -> None:
    usage = Usage(**kinds, service_tier=service_tier)  # type: ignore[arg-type]

    cost = price(Purchase(usage=usage, model=model, provider=provider, at_ns=at_ns, stated=stated))  # type: ignore[arg-type]

    assert (cost.total is None) is (cost.state is CostState.UNPRICED)
    if cost.total is None:
        assert cost.unpriced
    if cost.state in (CostState.COMPUTED, CostState.PARTIAL):
        assert cost.lines
        assert cost.total == sum(line.amount for line in cost.lines)
        assert all(line.tokens > 0 for line in cost.lines)
    if cost.state is CostState.PARTIAL:
        assert cost.unpriced
