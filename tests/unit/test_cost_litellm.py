"""Usage and prices against the installed litellm itself, whose shapes move with its versions."""

from __future__ import annotations

from typing import Any

import pytest

from everyspan.cost.price import Purchase, price
from everyspan.cost.usage import usage_from
from everyspan.model.money import CostState
from everyspan.model.usage import Usage

NOW = 1_795_000_000 * 10**9  # 2026-11-18


@pytest.fixture(scope="module")
def litellm() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        import litellm

        return litellm


def test_an_anthropic_answer_through_litellm_counts_what_anthropic_counted(litellm: Any) -> None:
    raw = {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 1_000,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "server_tool_use": {"web_search_requests": 2},
        "service_tier": "standard",
    }
    through_litellm = litellm.AnthropicConfig().calculate_usage(usage_object=raw, reasoning_content=None)

    found, direct = usage_from(through_litellm, provider="anthropic"), usage_from(raw)

    assert found is not None
    assert direct is not None
    assert found.reasoning_tokens == 0  # litellm says none where Anthropic says nothing
    assert {**as_dict(found), "reasoning_tokens": None} == as_dict(direct)


def test_a_plain_litellm_usage_has_nothing_that_was_not_reported(litellm: Any) -> None:
    found = usage_from(litellm.Usage(prompt_tokens=17, completion_tokens=3, total_tokens=20))

    assert found == Usage(input_tokens=17, output_tokens=3)


def test_what_litellm_calls_free_is_unpriced_or_has_a_real_price(litellm: Any) -> None:
    free = [
        (name, about["litellm_provider"])
        for name, about in litellm.model_cost.items()
        if about.get("mode") in ("chat", "responses") and about.get("input_cost_per_token") == 0
    ]

    costs = [
        price(
            Purchase(
                usage=Usage(input_tokens=1_000, output_tokens=100), model=name, provider=provider, at_ns=NOW
            )
        )
        for name, provider in free
    ]

    assert len(free) > 30
    assert [cost for cost in costs if cost.total == 0] == []
    assert {cost.state for cost in costs if cost.total is None} == {CostState.UNPRICED}


def as_dict(usage: Usage) -> dict[str, object]:
    return {name: getattr(usage, name) for name in Usage.__dataclass_fields__}
