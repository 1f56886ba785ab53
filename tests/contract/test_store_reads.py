"""What was put in comes out again, found by every filter that names it and by no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.store.reads import CostBy, CostFilter, TraceFilter, Unnumbered, WriterFilter
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store
from tests.store_rows import (
    DAY_NS,
    NOON_NS,
    WRITER,
    call,
    exact_sum,
    few,
    numbers,
    sighting,
    span,
    span_id,
    stamped,
    trace_id,
)

any_text = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=40)


@settings(max_examples=few(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=any_text, attributes=any_text, short=st.text(max_size=20), tokens=st.none() | st.integers(0, 10**9)
)
def test_a_span_comes_back_as_it_was_put_in(
    fresh_store: Callable[[], Store], body: str, attributes: str, short: str, tokens: int | None
) -> None:
    bodies = ("input", "output", "trace_input", "trace_output", "cost_note", "status_message")
    columns = ("name", "service", "scope", "model", "user", "session", "environment", "response_id")
    texts: dict[str, Any] = dict.fromkeys(bodies, body) | dict.fromkeys(columns, short)
    row = stamped(
        1,
        7,
        **texts,
        attributes=attributes,
        tags=(short, "b"),
        first_token_ns=5,
        usage=Usage(input_tokens=tokens, web_searches=3, batch=True, service_tier="flex"),
        cost=Decimal("0.100"),
        cost_state=CostState.PARTIAL,
    )
    store = fresh_store()

    store.insert([row])

    found = store.read_trace(trace_id(1), project="default")
    assert found is not None
    assert found[1] == [row]
    assert store.read_span(row.trace_id, row.key, project=row.project) == row
    assert store.read_span(row.trace_id, "w:nobody:1", project=row.project) is None
    assert store.read_span(row.trace_id, row.key, project="other") is None


def test_a_trace_without_bodies_is_the_same_trace_with_empty_texts(store: Store) -> None:
    said = call(
        1, tags=("a",), input="hello", output="you", attributes='{"a":1}', cost_note="{}", status_message="no"
    )
    store.insert([said, span(2, trace_id=said.trace_id)])

    found = store.read_trace(said.trace_id, project="default", bodies=False)

    bare = replace(said, input="", output="", attributes="{}", cost_note="", status_message="")
    assert found is not None
    assert [row for row in found[1] if row.key == said.key] == [bare]
    assert found[0].spans == 2


def test_the_outline_of_a_trace_says_what_its_rows_say(store: Store) -> None:
    whole = call(1, "0.125", status="error", end="timeout", service="shop", first_token_ns=7)
    shared = {"trace_id": whole.trace_id, "parent_id": whole.span_id}
    store.insert([span(3, **shared), call(2, None, unbilled="a copy", usage=Usage(), **shared), whole])

    found = store.read_outline(whole.trace_id, project="default")

    rows = store.read_trace(whole.trace_id, project="default")
    assert found is not None
    assert rows is not None
    assert found[0] == rows[0]
    assert [(one.key, one.parent_id, one.start_ns, one.end_ns, one.name, one.kind) for one in found[1]] == [
        (row.key, row.parent_id, row.start_ns, row.end_ns, row.name, row.kind) for row in rows[1]
    ]
    first, second, third = found[1]
    assert (first.cost, first.cost_state, first.status, first.end) == (
        "0.125",
        "computed",
        "error",
        "timeout",
    )
    assert (first.model, first.provider, first.service, first.first_token_ns) == (
        "gpt-5",
        "openai",
        "shop",
        7,
    )
    assert (first.input_tokens, first.output_tokens) == (100, 10)
    assert (second.cost, second.cost_state, second.unbilled) == (None, "unpriced", "a copy")
    assert (second.input_tokens, third.cost_state) == (None, "")
    assert store.read_outline(whole.trace_id, project="other") is None


def test_text_that_is_not_unicode_is_repaired_and_blocks_nothing(store: Store) -> None:
    done = store.insert([span(1, name="half \ud83d", tags=("\udc00",)), span(2)])

    (second, first) = store.list_traces(TraceFilter())
    assert (done.new, done.refused) == (2, ())
    assert first.name.startswith("half \ufffd")
    assert second.name == "span 2"


FITTING = stamped(1, 2, name="checkout", service="shop", user="ann", session="s1", status="error")


@pytest.mark.parametrize(
    "wanted",
    [
        TraceFilter(project="default"),
        TraceFilter(service="shop"),
        TraceFilter(name="checkout"),
        TraceFilter(model="gpt-5"),
        TraceFilter(user="ann"),
        TraceFilter(session="s1"),
        TraceFilter(with_errors=True),
        TraceFilter(since_ns=FITTING.start_ns, until_ns=FITTING.start_ns + 1),
        TraceFilter(project="default", service="shop", model="gpt-5", user="ann", with_errors=True),
    ],
    ids=str,
)
def test_each_filter_finds_the_one_trace_that_fits(store: Store, wanted: TraceFilter) -> None:
    store.insert([FITTING, *(span(number, project="other", name=f"n{number}") for number in range(2, 9))])

    found = store.list_traces(wanted)

    assert [summary.trace_id for summary in found] == [trace_id(1)]


def test_a_trace_is_found_by_the_model_and_service_of_any_of_its_spans(store: Store) -> None:
    child = call(2, trace_id=trace_id(1), parent_id=span_id(1), model="rare", service="backend")
    store.insert([call(1, model="common", service="frontend"), child])

    by_model = store.list_traces(TraceFilter(model="rare"))
    by_service = store.list_traces(TraceFilter(service="backend"))

    assert [one.models for one in by_model] == [("common", "rare")]
    assert [one.services for one in by_service] == [("backend", "frontend")]


def test_the_value_of_the_later_start_wins_although_children_arrive_first(store: Store) -> None:
    root = span(1, user="root", session="kept", name="the root", tags=("b",), environment="first")
    early = span(2, trace_id=trace_id(1), parent_id=span_id(1), user="early", start_ns=root.start_ns + 1)
    late = replace(early, key="h:late", user="late", start_ns=root.start_ns + 2, tags=("a",), environment="x")

    for row in (late, early, root):
        store.insert([row])

    (summary,) = store.list_traces(TraceFilter())
    assert (summary.name, summary.user, summary.session) == ("the root", "late", "kept")
    assert (summary.tags, summary.environment) == (("a", "b"), "first")


def test_a_trace_without_its_root_is_called_after_its_earliest_span_until_the_root_comes(
    store: Store,
) -> None:
    children = [span(n, trace_id=trace_id(1), parent_id=span_id(1)) for n in (3, 2)]
    store.insert(children)
    (before,) = store.list_traces(TraceFilter())

    store.insert([span(1, name="root")])

    (after,) = store.list_traces(TraceFilter(name="root"))
    assert (before.name, after.name, after.spans) == ("span 2", "root", 3)
    assert store.list_traces(TraceFilter(name="span 2")) == []


def test_calls_without_a_price_are_counted_and_are_not_zero_dollars(store: Store) -> None:
    store.insert([call(1, None, model="new"), call(2, "0"), call(3, None), call(4, "9", unbilled="a copy")])

    priced, unpriced = store.cost_groups(CostBy.MODEL, CostFilter())

    assert (priced.value, priced.calls, priced.cost, priced.unbilled) == ("gpt-5", 2, Decimal(0), 1)
    assert priced.states == {CostState.COMPUTED: 1, CostState.UNPRICED: 1}
    assert (unpriced.value, unpriced.calls, unpriced.cost) == ("new", 1, None)
    assert store.list_traces(TraceFilter(model="new"))[0].cost is None


@pytest.mark.parametrize("by", list(CostBy))
def test_costs_can_be_grouped_by_everything_they_promise(store: Store, by: CostBy) -> None:
    known: dict[str, Any] = {"service": "shop", "user": "ann", "session": "s1", "environment": "prod"}
    known["key_id"] = "pk-es-1"
    store.insert([call(1, tags=("b", "a"), **known), call(2, None, service="shop")])

    groups = store.cost_groups(by, CostFilter())

    values = {
        CostBy.DAY: ["2024-10-04"],
        CostBy.HOUR: ["2024-10-04T12:00Z"],
        CostBy.PROJECT: ["default"],
        CostBy.SERVICE: ["shop"],
        CostBy.MODEL: ["gpt-5"],
        CostBy.PROVIDER: ["openai"],
        CostBy.USER: ["", "ann"],
        CostBy.SESSION: ["", "s1"],
        CostBy.ENVIRONMENT: ["", "prod"],
        CostBy.TAG: ["", "a", "b"],
        CostBy.KEY_ID: ["", "pk-es-1"],
        CostBy.STATE: ["computed", "unpriced"],
        CostBy.TIER: ["standard"],
    }
    assert [group.value for group in groups] == values[by]
    # The one with two tags is in two groups.
    assert sum(group.calls for group in groups) == (3 if by is CostBy.TAG else 2)


times = st.integers(NOON_NS - 3 * DAY_NS, NOON_NS + 3 * DAY_NS) | st.integers(-3, 3).map(
    lambda day: NOON_NS + DAY_NS // 2 + day * DAY_NS
)


@settings(max_examples=few(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(since=st.none() | times, until=st.none() | times)
def test_a_cost_report_covers_its_period_to_the_nanosecond(
    fresh_store: Callable[[], Store], since: int | None, until: int | None
) -> None:
    edges = [edge + delta for edge in (since, until) if edge is not None for delta in (-1, 0, 1)]
    starts = [*edges, *(NOON_NS + day * DAY_NS for day in range(-4, 5))]
    rows = [call(n, f"0.{n + 1}", start_ns=start, end_ns=start) for n, start in enumerate(starts)]
    store = fresh_store()
    store.insert(rows)

    groups = store.cost_groups(CostBy.DAY, CostFilter(since_ns=since, until_ns=until))

    inside = [
        row.cost
        for row in rows
        if row.cost is not None
        and (since is None or row.start_ns >= since)
        and (until is None or row.start_ns < until)
    ]
    assert sum(group.calls for group in groups) == len(inside)
    assert exact_sum(group.cost for group in groups if group.cost is not None) == exact_sum(inside)


@pytest.mark.parametrize(
    ("impossible", "why"),
    [
        (stamped(1, 2, start_ns=-1), "time"),
        (stamped(1, 2, end_ns=1 << 63), "time"),
        (stamped(1, 2, cost="NaN"), "cost"),
        (stamped(1, 2, cost="1E-31"), "cost"),
        (stamped(1, 2, cost="1E+400"), "cost"),
        (stamped(1, 2, usage=Usage(input_tokens=1 << 62)), "token"),
    ],
)
def test_an_impossible_span_is_refused_alone_and_stands_in_the_audit_as_dropped(
    store: Store, impossible: SpanRow, why: str
) -> None:
    good = stamped(2, 4, trace_id=trace_id(2))

    done = store.insert([impossible, good])

    (writer,) = store.writers(WriterFilter())
    assert (done.new, [refused.key for refused in done.refused]) == (1, [impossible.key])
    assert [(drop.first, drop.last) for drop in writer.dropped] == [(2, 2)]
    assert why in writer.dropped[0].reason
    assert writer.received == ((4, 4),)


def test_a_writer_without_gaps_is_one_range_and_the_last_word_about_it_is_kept(store: Store) -> None:
    for seq in (5, 1, 3):
        store.insert([], [numbers(seq)], [sighting(seq, seen_ns=NOON_NS + seq, about=f'{{"pid": {seq}}}')])
    store.insert([stamped(1, 2), stamped(2, 6), stamped(3, 4, service="shop")], [], [sighting(2, seen_ns=1)])

    (writer,) = store.writers(WriterFilter(service="shop", writer=WRITER))

    assert (writer.received, writer.begun, writer.spans, writer.spooled_to) == (((1, 6),), 3, 3, 5)
    assert (writer.about, writer.closed) == ('{"pid": 5}', False)
    assert writer.seen_ns == stamped(1, 2).received_ns
    assert store.writers(WriterFilter(service="web")) == []


def test_an_interrupted_span_counts_as_begun_whether_its_begin_arrived_or_not(store: Store) -> None:
    known, unknown = stamped(1, 1, end="interrupted"), stamped(2, 2, end="interrupted")

    store.insert([known, unknown], [numbers(1)])
    store.insert([], [numbers(1)])

    (writer,) = store.writers(WriterFilter())
    assert (writer.begun, writer.spans, writer.interrupted) == (2, 2, 2)


def test_spans_without_a_stamp_are_counted_by_service(store: Store) -> None:
    store.insert(
        [span(1, service="a"), span(2, service="a", end="interrupted"), span(3, service="b"), stamped(4, 2)]
    )

    assert store.unnumbered(WriterFilter()) == [
        Unnumbered(project="default", service="a", spans=2, interrupted=1),
        Unnumbered(project="default", service="b", spans=1),
    ]
