"""What is written in one step is what the long way writes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Span, SpanLimits, TracerProvider
from opentelemetry.util.types import AttributeValue

from everyspan.cost.price import Purchase, price
from everyspan.model.usage import Usage
from everyspan.record.attributes import set_attributes
from everyspan.record.messages import genai_messages, messages_as_json

NOON_NS = 1_780_000_000 * 1_000_000_000
TEXT = st.text(max_size=60) | st.sampled_from(
    ["\ud800", 'quo"te', "line\nbreak", "\u2028", "\x7f", "x" * 2_000]
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool", "", 'a"b', None]),
        "content": TEXT
        | st.none()
        | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT})),
        "name": TEXT,
        "tool_call_id": TEXT,
    },
)
MIXED: dict[str, AttributeValue] = {
    "text": "answer",
    "count": 3,
    "share": 0.5,
    "yes": True,
    "reasons": ("stop", "length"),
    "list": ["a", "b"],
}


def begun(limits: SpanLimits | None = None) -> Span:
    span = TracerProvider(span_limits=limits).get_tracer("tests").start_span("call", attributes={"text": "?"})
    assert isinstance(span, Span)
    return span


@pytest.mark.parametrize("left_out", ["list", "reasons", "none"])
@pytest.mark.parametrize(
    "limits", [None, SpanLimits(max_span_attributes=3), SpanLimits(max_span_attribute_length=2)]
)
def test_attributes_set_at_once_are_those_that_the_sdk_would_hold(
    limits: SpanLimits | None, left_out: str
) -> None:
    found = {name: value for name, value in MIXED.items() if name != left_out}
    ours, theirs = begun(limits), begun(limits)

    set_attributes(ours, found)
    theirs.set_attributes(found)

    assert dict(ours.attributes or {}) == dict(theirs.attributes or {})
    assert ours.dropped_attributes == theirs.dropped_attributes


def test_a_span_that_has_ended_takes_no_attributes() -> None:
    span = begun()
    span.end()

    set_attributes(span, {"late": 1})

    assert dict(span.attributes or {}) == {"text": "?"}


@settings(max_examples=200, deadline=None)
@given(st.lists(MESSAGE, max_size=3) | TEXT | MESSAGE)
def test_messages_written_at_once_are_the_json_of_the_messages(messages: Any) -> None:
    written = messages_as_json(messages)

    assert json.loads(written) == genai_messages(messages)


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gemini-2.5-pro", "claude-haiku-4-5", "deepseek/deepseek-chat"]
)
@pytest.mark.parametrize("tokens", [(1, 1), (7, 0), (250_000, 3), (0, 9), (-1, 2), (2**63, 1)])
@pytest.mark.parametrize("tier", [None, "flex"])
@pytest.mark.parametrize("estimated", [False, True])
def test_two_totals_cost_what_the_general_way_makes_of_them(
    model: str, tokens: tuple[int, int], tier: str | None, estimated: bool
) -> None:
    read, wrote = tokens

    quick = price(Purchase(usage=Usage(input_tokens=read, output_tokens=wrote, service_tier=tier),
        model=model, at_ns=NOON_NS, estimated=estimated))  # fmt: skip
    # Who says how many requests there were is not "totals only".
    general = price(Purchase(usage=Usage(input_tokens=read, output_tokens=wrote, service_tier=tier, requests=1),
        model=model, at_ns=NOON_NS, estimated=estimated))  # fmt: skip

    assert quick == general
    assert quick.total is None or isinstance(quick.total, Decimal)
