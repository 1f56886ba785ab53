"""What a call cost by bucket and side, as Langfuse's API shows it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from everyspan.web.langfuse.paid import cost_details, side
from everyspan.web.langfuse.shapes import legacy_observation, observation, own_attributes
from tests.collector_requests import generation, row_of


def details(**attributes: Any) -> dict[str, Decimal]:
    row = row_of(generation(1, **attributes))
    return cost_details(row, own_attributes(row))


def stated(**parts: Any) -> dict[str, Any]:
    return {"langfuse.observation.cost_details": json.dumps(parts)}


def test_a_priced_call_has_the_factors_of_its_sum() -> None:
    assert details() == {"input": Decimal("0.0025"), "output": Decimal("0.001"), "total": Decimal("0.0035")}
    assert details(**{"gen_ai.usage.cache_read.input_tokens": 400}) == {
        "input": Decimal("0.0015"),
        "input_cached_tokens": Decimal("0.0005"),
        "output": Decimal("0.001"),
        "total": Decimal("0.003"),
    }


@pytest.mark.parametrize(
    ("attributes", "inputs", "outputs"),
    [
        ({}, "0.0025", "0.001"),
        ({"gen_ai.usage.cache_read.input_tokens": 400}, "0.002", "0.001"),
        (stated(input=0.1, output=0.2, total=0.3), "0.1", "0.2"),
        # Whatever its name, as long as it tells its side.
        (stated(cache_read_input_tokens=0.1, input=0.2, total=0.3), "0.3", "0"),
        # The other half of the total may be anything.
        (stated(input=0.1, total=0.3), "0.1", None),
        (stated(total=0.3), None, None),
        ({"llm.cost.total": 0.3, "llm.cost.prompt": 0.1, "llm.cost.completion": 0.2}, "0.1", "0.2"),
        ({"gen_ai.usage.cost": 0.3}, None, None),
        ({"gen_ai.request.model": "nobody's", "gen_ai.response.model": "nobody's"}, None, None),
        (stated(input=-1, output="much", total=0.3), None, None),
        (stated(input=float("inf"), output=True, total=0.3), None, None),
    ],
    ids=str,
)
def test_a_side_is_told_only_where_it_is_known(
    attributes: dict[str, Any], inputs: str | None, outputs: str | None
) -> None:
    found = details(**attributes)

    assert side(found, "input") == (None if inputs is None else Decimal(inputs))
    assert side(found, "output") == (None if outputs is None else Decimal(outputs))


def test_observations_show_their_parts_and_older_ones_their_sides() -> None:
    row = row_of(generation())

    shown, legacy = observation(row), legacy_observation(row)

    assert shown["costDetails"] == {"input": 0.0025, "output": 0.001, "total": 0.0035}
    assert [legacy[f"calculated{part}Cost"] for part in ("Input", "Output", "Total")] == [
        0.0025,
        0.001,
        0.0035,
    ]
    assert [legacy["usage"][f"{part}Cost"] for part in ("input", "output", "total")] == [
        0.0025,
        0.001,
        0.0035,
    ]
