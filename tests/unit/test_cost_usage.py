"""Usage out of the shapes of providers and of the words of other tracers, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from anthropic.types import Usage as AnthropicUsage
from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from everyspan.cost.price import Purchase, price
from everyspan.cost.shapes import UsageDialect, dialect_of
from everyspan.cost.usage import (
    LANGFUSE_USAGE,
    langfuse_usage_details,
    usage_from,
    usage_from_attributes,
)
from everyspan.model.usage import Usage
from tests.usages import without_extras

CHAT = {
    "prompt_tokens": 1_000,
    "completion_tokens": 200,
    "total_tokens": 1_200,
    "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 50},
    "completion_tokens_details": {"reasoning_tokens": 120, "audio_tokens": 10},
}
RESPONSES = {
    "input_tokens": 1_000,
    "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
    "output_tokens": 200,
    "output_tokens_details": {"reasoning_tokens": 120},
    "total_tokens": 1_200,
}
ANTHROPIC = {
    "input_tokens": 10,
    "output_tokens": 5,
    "cache_read_input_tokens": 1_000,
    "cache_creation_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    "service_tier": "standard",
}
# What litellm 1.106.2 makes of the object above (AnthropicConfig.calculate_usage, model_dump).
LITELLM = {
    "prompt_tokens": 1_110,
    "completion_tokens": 5,
    "total_tokens": 1_115,
    "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 5, "audio_tokens": None},
    "prompt_tokens_details": {
        "audio_tokens": None,
        "cached_tokens": 1_000,
        "cache_write_tokens": 100,
        "cache_creation_tokens": 100,
        "cache_creation_token_details": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "text_tokens": 10,
    },
    "server_tool_use": {"web_search_requests": 2, "tool_search_requests": None},
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 1_000,
    "service_tier": "standard",
    "speed": None,
}
FROM_ANTHROPIC = Usage(
    input_tokens=1_110,
    output_tokens=5,
    cache_read_tokens=1_000,
    cache_write_tokens=100,
    cache_write_1h_tokens=40,
    web_searches=2,
    service_tier="standard",
)


def test_chat_completions_count_caches_inside_the_prompt() -> None:
    expected = Usage(
        input_tokens=1_000,
        output_tokens=200,
        cache_read_tokens=600,
        reasoning_tokens=120,
        input_audio_tokens=50,
        output_audio_tokens=10,
    )

    assert usage_from(CHAT) == expected
    assert usage_from(CompletionUsage.model_validate(CHAT)) == expected


def test_responses_count_caches_inside_the_input() -> None:
    expected = Usage(
        input_tokens=1_000,
        output_tokens=200,
        cache_read_tokens=600,
        cache_write_tokens=100,
        reasoning_tokens=120,
    )

    assert usage_from(RESPONSES) == expected
    assert usage_from(ResponseUsage.model_validate(RESPONSES)) == expected


def test_anthropic_counts_caches_beside_the_input_so_they_are_added() -> None:
    assert usage_from(ANTHROPIC) == FROM_ANTHROPIC
    assert usage_from(AnthropicUsage.model_validate(ANTHROPIC)) == FROM_ANTHROPIC


def test_litellm_has_added_anthropics_caches_already() -> None:
    found = usage_from(LITELLM, provider="anthropic")

    assert found is not None
    assert found.reasoning_tokens == 0
    assert replace(found, reasoning_tokens=None) == FROM_ANTHROPIC


def test_one_call_costs_the_same_told_by_anthropic_and_by_litellm() -> None:
    by_hand = (
        Decimal("0.00001")
        + Decimal("0.0001")
        + Decimal("0.000075")
        + Decimal("0.00008")
        + Decimal("0.000025")
    )

    costs = {
        price(Purchase(usage=usage_from(raw), model="claude-haiku-4-5", at_ns=1_795_000_000 * 10**9)).total
        for raw in (ANTHROPIC, LITELLM)
    }

    assert costs == {by_hand + 2 * Decimal("0.01")}


def test_anthropics_iterations_are_the_bill() -> None:
    step = {"input_tokens": 100, "output_tokens": 10, "cache_read_input_tokens": 1_000}

    found = usage_from(
        {**ANTHROPIC, "cache_creation": None, "iterations": [step, {**step, "type": "compaction"}]}
    )

    assert found is not None
    assert (found.input_tokens, found.output_tokens, found.cache_read_tokens) == (2_200, 20, 2_000)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"service_tier": "batch"}, (None, True)),
        ({"service_tier": "Flex"}, ("flex", False)),
        ({"service_tier": "standard", "speed": "fast"}, ("fast", False)),
        ({"service_tier": None}, (None, False)),
    ],
)
def test_the_billed_tier_is_read_with_batch_and_speed_told_apart(
    raw: dict[str, Any], expected: tuple[str, bool]
) -> None:
    found = usage_from({"input_tokens": 1, "output_tokens": 1, **raw})

    assert found is not None
    assert (found.service_tier, found.batch) == expected


def test_reasoning_beside_the_completion_is_output_too() -> None:
    xai = {
        "prompt_tokens": 32,
        "completion_tokens": 9,
        "completion_tokens_details": {"reasoning_tokens": 200},
        "total_tokens": 241,
    }

    by_total = usage_from(xai)
    by_name = usage_from({**xai, "total_tokens": None}, provider="xai")
    included = usage_from({**xai, "completion_tokens": 209}, provider="xai")

    assert [found and found.output_tokens for found in (by_total, by_name, included)] == [209, 209, 209]


@pytest.mark.parametrize(
    ("raw", "provider", "dialect"),
    [
        (CHAT, "", UsageDialect.CHAT),
        (LITELLM, "anthropic", UsageDialect.CHAT),
        (RESPONSES, "", UsageDialect.RESPONSES),
        (ANTHROPIC, "", UsageDialect.ANTHROPIC),
        ({"input_tokens": 1, "output_tokens": 1}, "anthropic", UsageDialect.ANTHROPIC),
        ({"input_tokens": 1, "output_tokens": 1}, "", UsageDialect.RESPONSES),
        ({"seconds": 12}, "openai", None),
        ("usage", "", None),
    ],
)
def test_the_keys_tell_who_wrote_a_usage_object(
    raw: object, provider: str, dialect: UsageDialect | None
) -> None:
    assert dialect_of(raw, provider=provider) is dialect


def test_a_dialect_that_is_known_is_not_guessed() -> None:
    found = usage_from({"input_tokens": 10, "cache_read_input_tokens": 5}, dialect=UsageDialect.RESPONSES)

    assert found is not None
    assert found.input_tokens == 10


@pytest.mark.parametrize(
    "raw", [None, {}, "17", 17, [], {"prompt_tokens": None}, {"prompt_tokens": "many"}, object()]
)
def test_what_counts_nothing_is_no_usage(raw: object) -> None:
    assert usage_from(raw) is None


def test_counts_that_a_gateway_wrote_as_floats_or_strings_are_whole_numbers() -> None:
    raw = SimpleNamespace(
        prompt_tokens=17.0, completion_tokens="3", prompt_tokens_details={"cached_tokens": 1.5}
    )

    assert usage_from(raw) == Usage(input_tokens=17, output_tokens=3)


@pytest.mark.parametrize(
    "attributes",
    [
        {  # OpenTelemetry GenAI
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read.input_tokens": 80,
            "gen_ai.usage.cache_write.input_tokens": 5,
            "gen_ai.usage.reasoning.output_tokens": 20,
        },
        {  # its older names
            "gen_ai.usage.prompt_tokens": 100,
            "gen_ai.usage.completion_tokens": 50,
            "gen_ai.usage.cache_read_input_tokens": 80,
            "gen_ai.usage.cache_creation_input_tokens": 5,
            "gen_ai.usage.details.reasoning_tokens": 20,
        },
        {  # OpenInference
            "llm.token_count.prompt": 100,
            "llm.token_count.completion": 50,
            "llm.token_count.total": 150,
            "llm.token_count.prompt_details.cache_read": 80,
            "llm.token_count.prompt_details.cache_write": 5,
            "llm.token_count.completion_details.reasoning": 20,
        },
        {  # OpenLLMetry
            "gen_ai.usage.prompt_tokens": "100",
            "gen_ai.usage.completion_tokens": "50",
            "llm.usage.total_tokens": 150,
            "gen_ai.usage.cache_read_input_tokens": 80,
            "gen_ai.usage.cache_creation_input_tokens": 5,
            "llm.usage.reasoning_tokens": 20,
        },
        {  # a writer that leaves the caches out of the input, as the counts themselves prove
            "gen_ai.usage.input_tokens": 15,
            "gen_ai.usage.output_tokens": 50,
            "gen_ai.usage.cache_read_input_tokens": 80,
            "gen_ai.usage.cache_creation_input_tokens": 5,
            "gen_ai.usage.reasoning_tokens": 20,
        },
        {
            LANGFUSE_USAGE: json.dumps(
                {
                    "input": 15,
                    "output": 30,
                    "total": 150,
                    "input_cached_tokens": 80,
                    "input_cache_creation": 5,
                    "output_reasoning_tokens": 20,
                }
            )
        },
        {  # inclusive totals in Langfuse's buckets: the total proves it
            LANGFUSE_USAGE: '{"input":100,"output":50,"total":150,"input_cached_tokens":80,"input_cache_creation":5,'
            '"output_reasoning_tokens":20}',
        },
    ],
)
def test_every_convention_says_the_same(attributes: dict[str, object]) -> None:
    found = usage_from_attributes(attributes)

    assert found == Usage(
        input_tokens=100, output_tokens=50, cache_read_tokens=80, cache_write_tokens=5, reasoning_tokens=20
    )


def test_langfuses_usage_wins_as_it_does_on_its_own_server() -> None:
    attributes = {LANGFUSE_USAGE: '{"input":1,"output":2}', "gen_ai.usage.input_tokens": 100}

    assert usage_from_attributes(attributes) == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize("said", ["", "{", "[]", "null", '{"input":"many"}', "[" * 100_000, 7])
def test_langfuse_usage_that_says_nothing_leaves_the_word_to_the_other_attributes(said: object) -> None:
    attributes = {LANGFUSE_USAGE: said, "gen_ai.usage.input_tokens": 100}

    assert usage_from_attributes(attributes) == Usage(input_tokens=100)


def test_cache_writes_that_litellm_sends_twice_to_langfuse_count_once() -> None:
    # litellm 1.106.2: input = prompt_tokens - cache_read, although prompt_tokens holds the cache writes too.
    sent = {
        "input": 110,
        "output": 5,
        "total": 1_115,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1_000,
    }

    found = usage_from_attributes({LANGFUSE_USAGE: json.dumps(sent)})

    assert found == Usage(
        input_tokens=1_110, output_tokens=5, cache_read_tokens=1_000, cache_write_tokens=100
    )


@pytest.mark.parametrize("raw", [CHAT, RESPONSES, ANTHROPIC])
def test_a_provider_shape_inside_langfuses_attribute_is_understood(raw: dict[str, object]) -> None:
    assert usage_from_attributes({LANGFUSE_USAGE: json.dumps(raw)}) == without_extras(usage_from(raw))


def test_a_span_without_any_usage_has_none() -> None:
    assert usage_from_attributes({"gen_ai.request.model": "gpt-4o", "llm.usage.total_tokens": 5}) is None


def test_langfuse_gets_buckets_that_do_not_overlap() -> None:
    usage = Usage(
        input_tokens=1_110,
        output_tokens=50,
        cache_read_tokens=1_000,
        cache_write_tokens=100,
        cache_write_1h_tokens=40,
        reasoning_tokens=20,
    )

    assert langfuse_usage_details(usage) == {
        "input": 10,
        "input_cached_tokens": 1_000,
        "input_cache_creation": 60,
        "input_cache_creation_1h": 40,
        "output": 30,
        "output_reasoning_tokens": 20,
        "total": 1_160,
    }
