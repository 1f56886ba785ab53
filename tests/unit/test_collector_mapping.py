"""Every vocabulary of the field ends in the same row."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everyspan.model.money import CostState
from everyspan.store.rows import SpanRow
from tests.collector_requests import START_NS, generation, key_values, row_of, span

DIALECTS: dict[str, dict[str, Any]] = {
    "OpenTelemetry GenAI": {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.input.messages": '[{"role":"user"}]',
        "gen_ai.output.messages": '[{"role":"assistant"}]',
        "session.id": "s-1",
        "user.id": "u-1",
    },
    "OpenTelemetry GenAI, old names": {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.prompt_tokens": 1000,
        "gen_ai.usage.completion_tokens": 100,
        "gen_ai.prompt": '[{"role":"user"}]',
        "gen_ai.completion": '[{"role":"assistant"}]',
        "gen_ai.conversation.id": "s-1",
        "user.id": "u-1",
    },
    "OpenInference": {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.model_name": "gpt-4o",
        "llm.response.id": "r-1",
        "llm.token_count.prompt": 1000,
        "llm.token_count.completion": 100,
        "input.value": '[{"role":"user"}]',
        "output.value": '[{"role":"assistant"}]',
        "session.id": "s-1",
        "user.id": "u-1",
    },
    "OpenLLMetry": {
        "llm.request.type": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.id": "r-1",
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.prompt.0.role": "user",
        "gen_ai.completion.0.role": "assistant",
        "traceloop.association.properties.session_id": "s-1",
        "traceloop.association.properties.user_id": "u-1",
    },
    "Langfuse": {
        "langfuse.observation.type": "generation",
        "gen_ai.system": "openai",
        "langfuse.observation.model.name": "gpt-4o",
        "gen_ai.response.id": "r-1",
        "langfuse.observation.usage_details": '{"input": 1000, "output": 100}',
        "langfuse.observation.input": '[{"role":"user"}]',
        "langfuse.observation.output": '[{"role":"assistant"}]',
        "langfuse.session.id": "s-1",
        "langfuse.user.id": "u-1",
    },
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_call_is_the_same_row_in_every_vocabulary(dialect: str) -> None:
    row = row_of(span(attributes=DIALECTS[dialect]))

    assert (row.kind, row.provider, row.model, row.response_id) == ("generation", "openai", "gpt-4o", "r-1")
    assert (row.usage.input_tokens, row.usage.output_tokens) == (1000, 100)
    assert (row.cost_state, row.cost) == (CostState.COMPUTED, Decimal("0.0035"))
    assert (row.session, row.user) == ("s-1", "u-1")
    assert (json.loads(row.input), json.loads(row.output)) == ([{"role": "user"}], [{"role": "assistant"}])


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"langfuse.observation.type": "tool", "gen_ai.operation.name": "chat"}, "tool"),
        ({"langfuse.observation.type": "GENERATION", "gen_ai.request.model": "m"}, "generation"),
        ({"openinference.span.kind": "RETRIEVER"}, "retriever"),
        ({"gen_ai.operation.name": "embeddings"}, "embedding"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "m"}, "agent"),
        ({"ai.operationId": "ai.streamText.doStream"}, "generation"),
        ({"traceloop.span.kind": "workflow"}, "chain"),
        ({"gen_ai.tool.name": "search"}, "tool"),
        ({"gen_ai.operation.name": "no such thing"}, "span"),
        ({}, "span"),
    ],
)
def test_the_kind_is_what_the_strongest_vocabulary_says(attributes: dict[str, Any], kind: str) -> None:
    assert row_of(span(attributes=attributes)).kind == kind


@pytest.mark.parametrize(
    ("attributes", "cost"),
    [
        ({"langfuse.observation.cost_details": '{"total": 0.25, "input": 1}'}, "0.25"),
        # Langfuse's own server makes this one 0: it has a third part and no total.
        ({"langfuse.observation.cost_details": '{"input": 0.1, "output": 0.2, "cache": 0.01}'}, "0.31"),
        ({"langfuse.observation.cost_details": '{"total": 1e-7}'}, "0.0000001"),
        ({"gen_ai.usage.cost": 0.07}, "0.07"),
        ({"operation.cost": 0.25}, "0.25"),
        ({"llm.cost.total": 0.1, "gen_ai.usage.cost": 0.2}, "0.2"),
    ],
)
def test_a_stated_cost_is_taken_to_the_last_digit(attributes: dict[str, Any], cost: str) -> None:
    row = row_of(generation(**attributes))

    assert (row.cost_state, row.cost) == (CostState.STATED, Decimal(cost))


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.usage.cost": -1.0},
        {"gen_ai.usage.cost": float("nan")},
        {"llm.cost.total": "a lot"},
        {"langfuse.observation.cost_details": "[]"},
        {"langfuse.observation.cost_details": '{"total": "inf"}'},
    ],
)
def test_what_is_no_amount_does_not_displace_the_price(attributes: dict[str, Any]) -> None:
    row = row_of(generation(**attributes))

    assert (row.cost_state, row.cost) == (CostState.COMPUTED, Decimal("0.0035"))


def test_a_cost_that_our_recorder_wrote_is_kept_with_its_state_and_provenance() -> None:
    written = {
        "everyspan.cost.total": "0.001230000000000001",
        "everyspan.cost.state": "partial",
        "everyspan.cost.table": "table 7",
        "everyspan.cost.model": "openai/gpt-4o",
        "everyspan.cost.unpriced": ["web_searches"],
        "gen_ai.usage.cost": 9.0,
    }

    row = row_of(generation(**written))

    assert (row.cost_state, row.cost) == (CostState.PARTIAL, Decimal("0.001230000000000001"))
    assert json.loads(row.cost_note) == {
        "table": "table 7",
        "model": "openai/gpt-4o",
        "unpriced": ["web_searches"],
    }


def test_a_call_without_usage_or_with_an_unknown_model_is_unpriced_and_never_free() -> None:
    silent = row_of(span(attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}))
    unknown = row_of(generation(**{"gen_ai.request.model": "house-model-1"}))

    assert (silent.cost_state, silent.cost) == (CostState.UNPRICED, None)
    assert (unknown.cost_state, unknown.cost) == (CostState.UNPRICED, None)


@pytest.mark.parametrize("operation", ["invoke_agent", "agent_step", "invoke_workflow"])
def test_a_parent_that_repeats_its_childrens_usage_is_not_billed(operation: str) -> None:
    said = {"gen_ai.operation.name": operation, "gen_ai.usage.cost": 3.0, "everyspan.cost.state": "computed"}

    row = row_of(generation(**said))

    assert (row.cost_state, row.cost, row.usage.input_tokens) == (None, None, None)
    assert row.unbilled
    assert json.loads(row.attributes)["attributes"]["gen_ai.usage.input_tokens"] == 1000


def test_a_chain_that_carries_its_calls_usage_is_no_call() -> None:
    said = {"openinference.span.kind": "CHAIN", "llm.token_count.prompt": 10, "llm.cost.total": 1.0}

    row = row_of(span(attributes=said))

    assert (row.kind, row.cost_state, row.cost, row.usage.input_tokens) == ("chain", None, None, None)


def test_an_unbilled_span_keeps_its_reason_and_litellms_raw_copy_gets_one() -> None:
    shadow = row_of(generation(**{"everyspan.unbilled": "recorded twice"}))
    raw = generation()
    raw.name = "raw_gen_ai_request"

    assert shadow.unbilled == "recorded twice"
    assert row_of(raw, scope="litellm").unbilled
    assert not row_of(raw, scope="mine").unbilled


@pytest.mark.parametrize(
    ("said", "asked", "answered"),
    [
        (
            {"request_data": '{"messages": []}', "response_data": '{"message": 1}'},
            '{"messages": []}',
            '{"message": 1}',
        ),
        ({"pydantic_ai.all_messages": "[1]", "final_result": "done"}, "[1]", "done"),
        ({"tool_arguments": '{"q": 1}', "tool_response": "found"}, '{"q": 1}', "found"),
    ],
)
def test_what_logfire_and_pydantic_ai_kept_of_a_call_is_its_input_and_output(
    said: dict[str, Any], asked: str, answered: str
) -> None:
    row = row_of(generation(1, **said))

    assert (row.input, row.output) == (asked, answered)
    assert said.keys().isdisjoint(json.loads(row.attributes)["attributes"])


def test_what_has_no_column_stays_readable_and_what_became_input_is_kept_once() -> None:
    sent = span(attributes={"input.value": "hello", "shop.cart": ["a", "b"], "raw": b"\xff"})
    sent.events.add(name="retry", time_unix_nano=START_NS).attributes.extend(key_values({"n": 2}))

    row = row_of(sent, resource={"service.name": "shop", "host.name": "h"})

    kept = json.loads(row.attributes)
    assert (row.input, row.service) == ("hello", "shop")
    assert kept["attributes"] == {"shop.cart": ["a", "b"], "raw": "/w=="}
    assert kept["resource"]["host.name"] == "h"
    assert kept["events"] == [{"name": "retry", "time_ns": START_NS, "attributes": {"n": 2}}]


@pytest.mark.parametrize(
    ("attributes", "nanoseconds"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, 250_000_000),
        # Langfuse's SDKs send the date in quotes of JSON: 08:26:40 UTC is START_NS.
        ({"langfuse.observation.completion_start_time": '"2025-11-22T08:26:40.500000Z"'}, 500_000_000),
        ({"langfuse.observation.completion_start_time": "2025-11-22T09:26:40+01:00"}, 0),
        ({"ai.response.msToFirstChunk": 12}, 12_000_000),
        ({"gen_ai.response.time_to_first_chunk": -1.0}, None),
        ({"langfuse.observation.completion_start_time": "soon"}, None),
    ],
)
def test_the_first_token_is_told_from_the_start_of_the_span(
    attributes: dict[str, Any], nanoseconds: int | None
) -> None:
    assert row_of(span(attributes=attributes)).first_token_ns == nanoseconds


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        (["a", "b", "a"], ("a", "b")),
        ('["a","b"]', ("a", "b")),
        ("a, b", ("a", "b")),
        ("one", ("one",)),
        ("", ()),
    ],
)
def test_tags_come_as_list_as_json_or_with_commas(said: Any, tags: tuple[str, ...]) -> None:
    assert row_of(span(attributes={"langfuse.trace.tags": said})).tags == tags


def test_level_status_environment_and_trace_fields_follow_langfuse() -> None:
    row = row_of(
        span(
            attributes={
                "langfuse.observation.level": "fatal",
                "langfuse.observation.status_message": "it broke",
                "langfuse.trace.name": "checkout",
                "langfuse.trace.input": "in",
                "langfuse.trace.output": "out",
            }
        ),
        resource={"deployment.environment.name": "Langfuse-Staging"},
    )

    assert (row.status, row.status_message, row.environment) == ("error", "it broke", "staging")
    assert (row.trace_name, row.trace_input, row.trace_output) == ("checkout", "in", "out")


def test_missing_and_impossible_times_do_not_cost_the_span() -> None:
    without_end = row_of(span(end_time_unix_nano=0))
    backwards = row_of(span(end_time_unix_nano=START_NS - 5))
    absurd = row_of(span(start_time_unix_nano=2**64 - 1))

    assert (without_end.start_ns, without_end.end_ns) == (START_NS, START_NS)
    assert (backwards.start_ns, backwards.end_ns) == (START_NS, START_NS)
    assert absurd.start_ns == absurd.end_ns == START_NS + 1_000_000_000


def test_the_same_ids_with_other_content_are_another_span() -> None:
    first, again, other = row_of(span()), row_of(span()), row_of(span(name="another"))

    assert first.key == again.key != other.key


ATTRIBUTE_NAMES = sorted(
    {name for dialect in DIALECTS.values() for name in dialect}
    | {
        "langfuse.trace.tags",
        "gen_ai.usage.cost",
        "llm.cost.total",
        "everyspan.cost.total",
        "everyspan.stamp",
    }
    | {
        "langfuse.observation.cost_details",
        "langfuse.environment",
        "everyspan.cost.state",
        "gen_ai.prompt.x.y",
    }
    | {"langfuse.observation.completion_start_time", "gen_ai.response.time_to_first_chunk", "everyspan.end"}
)
VALUES = st.one_of(
    st.text(max_size=30).filter(lambda text: "\x00" not in text),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.binary(max_size=10),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(["{}", "[]", "null", '{"total":"1e9999"}', '{"input":-1}', "[[[[", "NaN", "9" * 5000]),
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(ATTRIBUTE_NAMES), VALUES))
def test_no_value_of_any_attribute_can_keep_a_span_from_becoming_a_row(attributes: dict[str, Any]) -> None:
    row: SpanRow = row_of(span(attributes=attributes))

    assert json.loads(row.attributes)
    assert row.cost is None or (row.cost.is_finite() and row.cost >= 0)
    assert row.first_token_ns is None or 0 <= row.first_token_ns < 2**63
