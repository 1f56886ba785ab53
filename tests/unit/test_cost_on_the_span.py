"""A cost as span attributes: exact for us, a float for others, and nothing that is counted twice."""

from __future__ import annotations

import json
from decimal import Decimal

from everyspan.cost.price import Purchase, price
from everyspan.instrument.answers import Answered, read_tier, read_usage
from everyspan.instrument.cost_attributes import cost_attributes, langfuse_cost_details
from everyspan.model.money import Cost, CostState
from everyspan.model.usage import Usage

NOW = 1_795_000_000 * 10**9  # 2026-11-18
COST = price(
    Purchase(usage=Usage(input_tokens=17, output_tokens=3), model="gpt-4o", provider="openai", at_ns=NOW)
)
UNKNOWN = Cost(CostState.UNPRICED, unpriced=("why",))


def test_the_exact_amount_is_text_and_the_one_for_others_a_float() -> None:
    found = cost_attributes(COST)

    assert found["everyspan.cost.total"] == "0.0000725"
    assert found["gen_ai.usage.cost"] == 0.0000725
    assert json.loads(str(found["everyspan.cost.lines"]))[0] == ["input_tokens", 17, "0.0000025", "0.0000425"]


def test_an_unbilled_span_has_no_amount_that_others_would_add_up() -> None:
    found = cost_attributes(COST, unbilled=True)

    assert "gen_ai.usage.cost" not in found
    assert found["everyspan.cost.total"] == "0.0000725"
    assert json.loads(langfuse_cost_details(COST, unbilled=True)) == {"total": 0}


def test_langfuse_always_gets_a_numeric_total_where_there_is_an_amount() -> None:
    details = json.loads(langfuse_cost_details(COST), parse_float=Decimal)

    assert details == {
        "input": Decimal("0.0000425"),
        "output": Decimal("0.00003"),
        "total": Decimal("0.0000725"),
    }
    assert langfuse_cost_details(UNKNOWN) == ""
    assert "gen_ai.usage.cost" not in cost_attributes(UNKNOWN)


def test_the_tier_that_was_billed_is_read_beside_the_usage() -> None:
    answered = Answered()

    read_usage(answered, {"prompt_tokens": 17, "completion_tokens": 3})
    read_tier(answered, {"service_tier": "Flex"})

    assert answered.usage == Usage(input_tokens=17, output_tokens=3, service_tier="flex")
