"""Searches, totals, groups and latencies: what is found, what it comes to, and that nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.model.money import CostState
from everyspan.store.groups import (
    Each,
    GroupFilter,
    GroupOrder,
    LatencyBy,
    LatencyFilter,
    TraceBy,
    TraceTotals,
)
from everyspan.store.reads import CostBy, CostFilter, TraceFilter
from everyspan.store.store import Store
from tests.store_rows import DAY_NS, NOON_NS, call, span, span_id, stamped, trace_id

HOUR_NS = 3600 * 10**9
SECOND_NS = 10**9
FITTING = stamped(
    1,
    2,
    name="checkout",
    service="shop",
    environment="prod",
    user="ann",
    session="s1",
    tags=("vip", "beta"),
    status="error",
    provider="anthropic",
    model="claude",
    cost="0.75",
    input="What about Zürich?",
    end_ns=NOON_NS + 10 * SECOND_NS,
)
WANTED = [
    TraceFilter(tag="vip"),
    TraceFilter(environment="prod"),
    TraceFilter(provider="anthropic"),
    TraceFilter(min_cost=Decimal("0.75")),
    TraceFilter(min_cost=Decimal("0.75"), max_cost=Decimal("0.75")),
    TraceFilter(min_duration_ns=9 * SECOND_NS),
    TraceFilter(min_duration_ns=9 * SECOND_NS, max_duration_ns=FITTING.end_ns - FITTING.start_ns),
    TraceFilter(text="zurich"),
    TraceFilter(text="ZÜRICH about"),
    TraceFilter(tag="vip", environment="prod", provider="anthropic", model="claude", with_errors=True),
    TraceFilter(text="zurich", tag="beta", user="ann", since_ns=NOON_NS, until_ns=NOON_NS + SECOND_NS),
    TraceFilter(project="default", min_cost=Decimal("0.75"), session="s1", name="checkout", service="shop"),
]


def others() -> list[Any]:
    """Traces that fit no filter above; they differ in the very last place of the money."""
    texts = ["Zug", "zurichs", "about"]
    return [
        call(9, "0.7499999999999999999999999999", provider="openai", input="what about it?"),
        call(10, None),
        *(span(number, name=f"n{number}", tags=("v",), input=text) for number, text in enumerate(texts, 11)),
    ]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_each_search_finds_the_one_trace_that_fits_and_its_totals(store: Store, wanted: TraceFilter) -> None:
    store.insert([FITTING, *others()])

    found = store.list_traces(wanted)
    totals = store.trace_totals(wanted)

    assert [summary.trace_id for summary in found] == [trace_id(1)]
    assert totals == TraceTotals(
        traces=1,
        spans=1,
        calls=1,
        errors=1,
        cost=Decimal("0.75"),
        states={"computed": 1},
        input_tokens=100,
        output_tokens=10,
    )


@pytest.mark.parametrize(
    "wanted",
    [
        TraceFilter(tag="nobody"),
        TraceFilter(text="nowhere"),
        TraceFilter(text="?"),
        TraceFilter(text="zurich nowhere"),
        TraceFilter(text='"zurich" OR'),
        TraceFilter(project="other", tag="vip"),
        TraceFilter(max_cost=Decimal("0.7")),
        TraceFilter(min_cost=Decimal("0.7500000000000000000000000001")),
        TraceFilter(min_cost=Decimal("1E+300")),
        TraceFilter(min_duration_ns=10**30),
        TraceFilter(max_duration_ns=9 * SECOND_NS),
        TraceFilter(tag="vip", user="bob"),
    ],
    ids=str,
)
def test_what_fits_nothing_finds_nothing(store: Store, wanted: TraceFilter) -> None:
    store.insert([FITTING])

    assert store.list_traces(wanted) == []
    assert store.trace_totals(wanted) == TraceTotals()


def test_a_search_leads_from_page_to_page_and_misses_nothing(store: Store) -> None:
    rows = [call(n, tags=("all", f"t{n % 3}"), start_ns=NOON_NS + n // 4, input="apple") for n in range(30)]
    store.insert(rows)

    for wanted in (TraceFilter(tag="all"), TraceFilter(tag="t1"), TraceFilter(text="apple", tag="t2")):
        whole = [one.trace_id for one in store.list_traces(wanted)]
        seen: list[str] = []
        before = ""
        while page := store.list_traces(
            TraceFilter(tag=wanted.tag, text=wanted.text, limit=4, before=before)
        ):
            seen += [one.trace_id for one in page[:4]]
            before = page[:4][-1].cursor
        assert seen == whole
        assert len(whole) == len([row for row in rows if wanted.tag in row.tags])


@pytest.mark.parametrize(
    ("body", "word", "found"),
    [
        (json.dumps([{"role": "user", "content": "line one\nstrawberry"}]), "strawberry", True),
        (json.dumps({"text": "na\u00efve"}), "naive", True),
        (json.dumps([{"role": "user", "content": "hi"}]), "content", False),
        ("{not json at all: melon", "melon", True),
        ("x" * 300 + " quince", "quince", True),
        ('"\\ud800 fig"', "fig", True),
        (json.dumps({"deep": [[[["lychee"]]]]}), "lychee", True),
        ("snake_case", "snake", True),
    ],
)
def test_what_is_searched_are_the_words_of_texts_and_not_the_names_of_fields(
    store: Store, body: str, word: str, found: bool
) -> None:
    store.insert([span(1, output=body)])

    assert bool(store.list_traces(TraceFilter(text=word))) is found


def test_words_of_two_spans_do_not_make_a_hit(store: Store) -> None:
    store.insert([span(1, input="apple"), span(2, trace_id=trace_id(1), parent_id=span_id(1), output="pear")])

    assert len(store.list_traces(TraceFilter(text="pear"))) == 1
    assert store.list_traces(TraceFilter(text="apple pear")) == []


def test_users_and_sessions_are_listed_with_the_sums_of_their_traces(store: Store) -> None:
    store.insert(
        [
            call(1, "0.5", user="ann", session="s1"),
            call(2, "0.25", user="ann", session="s2", status="error"),
            call(3, "9", user="bob"),
            call(4, user="eve", project="other"),
            call(5, None, user="new"),
        ]
    )

    latest = store.trace_groups(TraceBy.USER, GroupFilter(project="default"))
    dearest = store.trace_groups(TraceBy.USER, GroupFilter(project="default", order=GroupOrder.DEAREST))
    (ann,) = store.trace_groups(TraceBy.USER, GroupFilter(value="ann"))
    sessions = store.trace_groups(TraceBy.SESSION, GroupFilter(order=GroupOrder.MOST))

    assert [group.value for group in latest] == ["new", "bob", "ann"]
    assert [group.value for group in dearest] == ["bob", "ann", "new"]
    assert (ann.first_ns, ann.last_ns) == (call(1).start_ns, call(2).start_ns)
    assert ann.totals == TraceTotals(
        traces=2,
        spans=2,
        calls=2,
        errors=1,
        cost=Decimal("0.75"),
        states={"computed": 2},
        input_tokens=200,
        output_tokens=20,
    )
    assert [group.value for group in sessions] == ["s1", "s2"]
    assert dearest[-1].totals.cost is None


def test_totals_and_groups_say_of_how_many_calls_the_cost_is_not_certain(store: Store) -> None:
    rows = [
        call(1, "0.5", user="ann"),
        call(2, None, user="ann"),
        call(3, "0.1", user="ann", cost_state=CostState.ESTIMATED),
        call(4, "0.1", user="bob", cost_state=CostState.PARTIAL),
        call(5, "0.5", user="bob", unbilled="a second recording"),
    ]
    store.insert(rows)

    kept = store.trace_totals(TraceFilter())
    added_up = store.trace_totals(TraceFilter(since_ns=0))
    groups = store.trace_groups(TraceBy.USER, GroupFilter())

    assert kept == added_up
    assert kept.states == {"computed": 1, "unpriced": 1, "estimated": 1, "partial": 1, "unbilled": 1}
    assert {group.value: group.totals.states for group in groups} == {
        "ann": {"computed": 1, "estimated": 1, "unpriced": 1},
        "bob": {"partial": 1, "unbilled": 1},
    }


def test_groups_can_be_searched_and_paged(store: Store) -> None:
    store.insert([call(n, user=f"User_{n}%") for n in range(12)])

    found = store.trace_groups(TraceBy.USER, GroupFilter(containing="ser_1"))
    page = store.trace_groups(TraceBy.USER, GroupFilter(containing="user_", limit=3, offset=6))
    recent = store.trace_groups(TraceBy.USER, GroupFilter(since_ns=call(10).start_ns))

    assert [group.value for group in found] == ["User_11%", "User_10%", "User_1%"]
    assert [group.value for group in page] == ["User_5%", "User_4%", "User_3%", "User_2%"]
    assert [group.value for group in recent] == ["User_11%", "User_10%"]
    assert store.trace_groups(TraceBy.USER, GroupFilter(containing="%_")) == []


def test_a_trace_that_gets_another_user_later_moves_with_all_its_sums(store: Store) -> None:
    store.insert([call(1, user="guest"), call(2, user="guest")])
    later = span(3, trace_id=trace_id(1), parent_id=span_id(1), user="ann")

    store.insert([later])

    groups = {group.value: group.totals for group in store.trace_groups(TraceBy.USER, GroupFilter())}
    assert {user: (sums.traces, sums.spans, sums.cost) for user, sums in groups.items()} == {
        "guest": (1, 1, Decimal("0.25")),
        "ann": (1, 2, Decimal("0.25")),
    }
    assert [one.trace_id for one in store.list_traces(TraceFilter(user="guest"))] == [trace_id(2)]


COST_FILTERS = [
    CostFilter(tag="b"),
    CostFilter(environment="prod"),
    CostFilter(tag="b", user="ann"),
    CostFilter(key_id="pk-2", user="ann"),
    CostFilter(tag="a", environment="prod", since_ns=NOON_NS, until_ns=NOON_NS + 2 * HOUR_NS),
    CostFilter(session="s", since_ns=NOON_NS + HOUR_NS // 2, until_ns=NOON_NS + 2 * DAY_NS + 1),
]


def many_calls() -> list[Any]:
    """Calls over three days that differ in everything costs are asked by."""
    return [
        call(
            n,
            f"0.{n + 1}",
            start_ns=NOON_NS + n * HOUR_NS // 2,
            end_ns=NOON_NS + n * HOUR_NS // 2 + (n + 1) * SECOND_NS,
            user=("ann", "bob")[n % 2],
            session="s" if n % 3 else "",
            key_id=("", "pk-1", "pk-2")[n // 5 % 3],
            environment=("prod", "")[n % 4 == 0],
            tags=((), ("a",), ("a", "b"))[n % 3],
            status=("ok", "error")[n % 5 == 0],
            first_token_ns=n * 1000 if n % 2 else None,
            unbilled="a copy" if n == 7 else "",
        )
        for n in range(140)
    ]


@pytest.mark.parametrize("by", list(CostBy))
@pytest.mark.parametrize("wanted", COST_FILTERS, ids=str)
def test_costs_are_those_of_the_calls_that_fit_whichever_way_they_are_grouped(
    store: Store, by: CostBy, wanted: CostFilter
) -> None:
    rows = many_calls()
    store.insert(rows)

    groups = store.cost_groups(by, wanted, each=Each.HOUR)

    fitting = [row for row in rows if fits(row, wanted) and not row.unbilled]
    # Grouped by tag, a call counts once for each of its tags that is asked for.
    times = {
        row.key: (1 if by is not CostBy.TAG or wanted.tag else len(row.tags or ("",))) for row in fitting
    }
    assert sum(group.calls for group in groups) == sum(times.values())
    assert sum(group.cost or 0 for group in groups) == sum(row.cost * times[row.key] for row in fitting)
    assert {group.period for group in groups if group.calls} == {hour_of(row.start_ns) for row in fitting}
    assert [(group.value, group.period) for group in groups] == sorted((g.value, g.period) for g in groups)


def fits(row: Any, wanted: CostFilter) -> bool:
    names = [name for name in ("user", "session", "environment", "key_id") if getattr(wanted, name)]
    since, until = wanted.since_ns or 0, wanted.until_ns or 1 << 62
    tagged = not wanted.tag or wanted.tag in row.tags
    alike = all(getattr(row, name) == getattr(wanted, name) for name in names)
    return since <= row.start_ns < until and tagged and alike


def hour_of(start_ns: int) -> str:
    day, rest = divmod(start_ns - NOON_NS + DAY_NS // 2, DAY_NS)
    return f"2024-10-{4 + day:02}T{rest // HOUR_NS:02}:00Z"


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(0, 10**13), min_size=1, max_size=40))
def test_a_quantile_is_within_two_percent_of_the_one_that_sorting_gives(
    fresh_store: Callable[[], Store], lengths: list[int]
) -> None:
    store = fresh_store()
    store.insert(
        [
            call(n, start_ns=NOON_NS, end_ns=NOON_NS + length, first_token_ns=length // 2)
            for n, length in enumerate(lengths)
        ]
    )

    (group,) = store.latency_groups(LatencyBy.MODEL, LatencyFilter())

    ordered = sorted(lengths)
    for percent, found in (
        (50, group.duration.p50_ns),
        (90, group.duration.p90_ns),
        (99, group.duration.p99_ns),
    ):
        exact = ordered[-(-len(ordered) * percent // 100) - 1]
        assert found is not None
        assert abs(found - exact) <= exact * 0.016
    assert group.duration.count == group.first_token.count == len(lengths)


def test_latencies_are_divided_by_hour_and_cover_their_period_to_the_nanosecond(store: Store) -> None:
    rows = many_calls()
    store.insert(rows)
    since, until = rows[3].start_ns + 1, rows[100].start_ns + 1

    hours = store.latency_groups(
        LatencyBy.MODEL, LatencyFilter(since_ns=since, until_ns=until), each=Each.HOUR
    )
    (whole,) = store.latency_groups(LatencyBy.PROVIDER, LatencyFilter(since_ns=since, until_ns=until))

    fitting = [row for row in rows[4:101] if not row.unbilled]
    assert whole.calls == sum(group.calls for group in hours) == len(fitting)
    assert whole.errors == sum(group.errors for group in hours) == sum(r.status == "error" for r in fitting)
    assert whole.first_token.count == sum(row.first_token_ns is not None for row in fitting)
    assert [group.period for group in hours] == sorted({hour_of(row.start_ns) for row in fitting})


def test_nobody_knows_how_long_an_interrupted_call_took(store: Store) -> None:
    store.insert([call(1, end="interrupted", status="error"), call(2)])

    (group,) = store.latency_groups(LatencyBy.MODEL, LatencyFilter(model="gpt-5"))

    assert (group.calls, group.errors, group.duration.count) == (2, 1, 1)
