"""Usage as Google, Bedrock and Cohere report it, by hand and against the libraries' own shapes."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace

import genai_prices
import pytest

from everyspan.cost.price import Purchase, price
from everyspan.cost.usage import usage_from, usage_from_attributes
from everyspan.model.money import CostState
from everyspan.model.usage import Usage

NOW = 1_795_000_000 * 10**9  # 2026-11-18

GEMINI = {
    "promptTokenCount": 1_000,
    "cachedContentTokenCount": 600,
    "toolUsePromptTokenCount": 40,
    "candidatesTokenCount": 100,
    "thoughtsTokenCount": 300,
    "totalTokenCount": 1_440,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 500},
        {"modality": "AUDIO", "tokenCount": 300},
        {"modality": "IMAGE", "tokenCount": 80},
        {"modality": "DOCUMENT", "tokenCount": 20},
        {"modality": "VIDEO", "tokenCount": 100},
    ],
    "cacheTokensDetails": [
        {"modality": "TEXT", "tokenCount": 350},
        {"modality": "AUDIO", "tokenCount": 250},
    ],
    "candidatesTokensDetails": [
        {"modality": "TEXT", "tokenCount": 60},
        {"modality": "AUDIO", "tokenCount": 40},
    ],
}
GEMINI_USAGE = Usage(
    input_tokens=1_040,
    output_tokens=400,
    cache_read_tokens=600,
    reasoning_tokens=300,
    input_audio_tokens=300,
    output_audio_tokens=40,
    cache_read_audio_tokens=250,
    input_image_tokens=100,
    input_video_tokens=100,
)
CONVERSE = {
    "inputTokens": 10,
    "outputTokens": 5,
    "totalTokens": 1_115,
    "cacheReadInputTokens": 1_000,
    "cacheWriteInputTokens": 100,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 60}, {"ttl": "1h", "inputTokens": 40}],
}


class Modality(Enum):
    AUDIO = "AUDIO"


def test_gemini_counts_thoughts_and_tool_prompts_beside_its_totals() -> None:
    assert usage_from(GEMINI) == GEMINI_USAGE
    assert usage_from({"usageMetadata": GEMINI, "candidates": []}) == GEMINI_USAGE


def test_googles_sdk_says_the_same_in_its_own_spelling() -> None:
    said = SimpleNamespace(
        prompt_token_count=1_000,
        candidates_token_count=10,
        thoughts_token_count=None,
        prompt_tokens_details=[SimpleNamespace(modality=Modality.AUDIO, token_count=300)],
        traffic_type="ON_DEMAND_PRIORITY",
    )

    usage = usage_from(SimpleNamespace(usage_metadata=said))

    assert usage == Usage(
        input_tokens=1_000, output_tokens=10, input_audio_tokens=300, service_tier="priority"
    )


def test_a_gemini_answer_costs_what_genai_prices_makes_of_it() -> None:
    provider, reference = "google", "gemini-2.5-flash"
    extracted = genai_prices.extract_usage(
        {"modelVersion": reference, "usageMetadata": GEMINI}, provider_id=provider
    )

    cost = price(Purchase(usage=usage_from(GEMINI), model=reference, provider=provider, at_ns=NOW))

    expected = genai_prices.calc_price(extracted.usage, reference, provider_id=provider)
    assert (cost.state, cost.total) == (CostState.COMPUTED, expected.total_price)


def test_converse_counts_caches_beside_the_input_with_their_lifetimes() -> None:
    expected = Usage(
        input_tokens=1_110,
        output_tokens=5,
        cache_read_tokens=1_000,
        cache_write_tokens=100,
        cache_write_1h_tokens=40,
    )

    assert usage_from(CONVERSE) == expected
    assert usage_from({"output": {}, "usage": CONVERSE}) == expected


@pytest.mark.parametrize(
    ("raw", "inputs", "outputs"),
    [
        ({"inputTokenCount": 7, "outputTokenCount": 3, "invocationLatency": 9}, 7, 3),
        ({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 3}}, 7, 3),
        ({"generation": "", "prompt_token_count": 7, "generation_token_count": 3}, 7, 3),
        ({"inputTextTokenCount": 7, "results": [{"tokenCount": 1}, {"tokenCount": 2}]}, 7, 3),
        ({"meta": {"billed_units": {"input_tokens": 7, "output_tokens": 3}}}, 7, 3),
        ({"usage": {"billed_units": {"input_tokens": 7}, "tokens": {"output_tokens": 3}}}, 7, 3),
    ],
)  # fmt: skip
def test_the_bodies_that_models_on_bedrock_and_cohere_return_are_counted(
    raw: object, inputs: int, outputs: int
) -> None:
    assert usage_from(raw) == Usage(input_tokens=inputs, output_tokens=outputs)


def test_a_whole_answer_names_its_tier_beside_the_usage() -> None:
    answer = {"id": "r1", "service_tier": "Flex", "usage": {"input_tokens": 7, "output_tokens": 3}}

    usage = usage_from(answer)

    assert usage == Usage(input_tokens=7, output_tokens=3, service_tier="flex")


def test_more_cached_than_read_is_flagged_and_not_priced_in_every_shape() -> None:
    shapes: list[dict[str, object]] = [
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}},
        {"input_tokens": 10, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 11}},
        {"promptTokenCount": 10, "candidatesTokenCount": 1, "cachedContentTokenCount": 11},
    ]

    costs = [price(Purchase(usage=usage_from(raw), model="gpt-4o", at_ns=NOW)) for raw in shapes]

    assert {cost.state for cost in costs} == {CostState.UNPRICED}
    assert all("is more than input_tokens (10)" in cost.unpriced[0] for cost in costs)


def test_anthropics_data_residency_is_part_of_what_was_bought() -> None:
    raw = {"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 0}

    regions = [usage_from({**raw, "inference_geo": geo}) for geo in ("US", "global", "not_available", None)]

    assert [usage and usage.region for usage in regions] == ["us", None, None, None]


def test_a_tier_that_was_only_asked_for_counts_when_nobody_said_what_it_became() -> None:
    counts: dict[str, object] = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3}
    asked = {**counts, "openai.request.service_tier": "flex"}
    told = {**asked, "openai.response.service_tier": "default"}

    found = [usage_from_attributes(attributes) for attributes in (asked, told)]

    assert [usage and usage.service_tier for usage in found] == ["flex", "default"]
