"""Whatever arrives twice, late, in parts or in any order: each span is there once and counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.errors import StoreError
from everyspan.model.ids import WriterId
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.store.reads import CostBy, CostFilter, TraceFilter, WriterFilter
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.store import Inserted, Store
from tests.store_rows import (
    NOON_NS,
    call,
    dropped,
    everything,
    exact_sum,
    few,
    numbers,
    sighting,
    span,
    span_id,
    stamped,
    trace_id,
)

OTHER = WriterId("0000043-bbbbbbbbbbbb")

SPANS: tuple[SpanRow, ...] = (
    stamped(1, 2, trace_id=trace_id(1), service="shop", tags=("b", "a")),
    stamped(2, 4, trace_id=trace_id(1), parent_id=span_id(1), user="ann", session="s1"),
    stamped(3, 5, trace_id=trace_id(1), parent_id=span_id(1), user="bob", end="interrupted", status="error"),
    stamped(4, 2, writer=OTHER, trace_id=trace_id(2), cost=None, service="shop"),
    stamped(5, 7, trace_id=trace_id(2), parent_id=span_id(99), unbilled="seen twice", service="web"),
    call(6, "0.000000000000000000000000000001", trace_id=trace_id(2), parent_id=span_id(4), model="tiny"),
    call(6, "0.1", key="h:6 of another run", trace_id=trace_id(2), trace_name="named by a child"),
    call(7, "12.5", project="another", trace_id=trace_id(1), cost_state=CostState.STATED),
    span(8, trace_id=trace_id(2), environment="prod", end="interrupted"),
)
NUMBERS: tuple[Numbers, ...] = (
    *(numbers(1), numbers(3), numbers(5), numbers(6), numbers(1, writer=OTHER)),
    *(dropped(9, 12), dropped(11, 14), dropped(9, 9, "too large")),
)
SIGHTINGS: tuple[Sighting, ...] = (
    sighting(7, seen_ns=NOON_NS + 3, about='{"pid": 42}'),
    sighting(14, closed=True, seen_ns=NOON_NS + 5),
    sighting(2, writer=OTHER),
)
Item = SpanRow | Numbers | Sighting
ITEMS: tuple[Item, ...] = SPANS + NUMBERS + SIGHTINGS


def insert(store: Store, items: Sequence[Item]) -> Inserted:
    return store.insert(
        [item for item in items if isinstance(item, SpanRow)],
        [item for item in items if isinstance(item, Numbers)],
        [item for item in items if isinstance(item, Sighting)],
    )


def test_a_batch_that_is_handed_in_again_changes_nothing_anywhere(store: Store) -> None:
    first = insert(store, ITEMS)
    before = everything(store)

    again = [insert(store, ITEMS), insert(store, ITEMS[::-1]), insert(store, ITEMS[3:6])]

    assert (first.new, first.known) == (len(SPANS), 0)
    assert [(done.new, done.known) for done in again] == [(0, len(SPANS)), (0, len(SPANS)), (0, 3)]
    assert everything(store) == before


@settings(max_examples=few(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(ITEMS),
    repeated=st.lists(st.sampled_from(ITEMS), max_size=6),
    cuts=st.lists(st.integers(0, len(ITEMS)), max_size=4),
)
def test_spans_come_to_the_same_in_any_order_however_cut_and_repeated(
    fresh_store: Callable[[], Store], order: list[Item], repeated: list[Item], cuts: list[int]
) -> None:
    orderly, disorderly = fresh_store(), fresh_store()
    insert(orderly, ITEMS)

    edges = [0, *sorted(cuts), len(ITEMS)]
    for start, end in pairwise(edges):
        insert(disorderly, [*order[start:end], *repeated])

    assert everything(disorderly) == everything(orderly)


def test_a_span_that_is_twice_in_one_batch_is_counted_once(store: Store) -> None:
    row = stamped(1, 2)

    done = store.insert([row, row])

    (group,) = store.cost_groups(CostBy.MODEL, CostFilter())
    assert (done.new, done.known) == (1, 1)
    assert (group.calls, group.cost) == (1, Decimal("0.25"))


def test_a_batch_that_fails_half_way_leaves_nothing_behind(store: Store) -> None:
    store.insert([stamped(1, 2)])
    before = everything(store)
    broken = stamped(3, 6, usage=Usage(service_tier=cast(str, b"no text")))

    with pytest.raises(TypeError):
        store.insert([stamped(2, 4), broken], [numbers(1)], [sighting(9)])

    assert everything(store) == before
    assert store.insert([stamped(2, 4)]).new == 1


def test_threads_that_deliver_the_same_batches_at_once_count_each_span_once(store: Store) -> None:
    seqs = range(1, 61)
    rows = [stamped(seq, seq, trace_id=trace_id(seq % 10)) for seq in seqs]
    batches = [rows[start : start + 10] for start in range(0, 60, 10)]

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(store.insert, batches * 4))

    (writer,) = store.writers(WriterFilter())
    (group,) = store.cost_groups(CostBy.MODEL, CostFilter())
    assert sum(done.new for done in outcomes) == 60
    assert sum(done.known for done in outcomes) == 180
    assert (writer.spans, writer.received) == (60, ((1, 60),))
    assert (group.calls, group.cost) == (60, Decimal(15))


def test_two_projects_never_mix_even_with_the_same_keys_ids_and_writers(store: Store) -> None:
    ours, theirs = stamped(1, 2, user="ann"), stamped(1, 2, user="eve", project="theirs")

    done = store.insert(
        [ours, theirs], [numbers(1), numbers(1, project="theirs")], [sighting(9, project="theirs")]
    )

    assert done.new == 2
    assert store.read_trace(trace_id(1), project="default") == (
        store.list_traces(TraceFilter(user="ann"))[0],
        [ours],
    )
    assert store.projects_of(trace_id(1)) == ["default", "theirs"]
    assert [group.calls for group in store.cost_groups(CostBy.PROJECT, CostFilter())] == [1, 1]
    assert store.cost_groups(CostBy.USER, CostFilter(project="default", user="eve")) == []
    assert [state.spooled_to for state in store.writers(WriterFilter())] == [0, 9]


def test_spans_with_the_same_ids_and_different_keys_are_both_kept(store: Store) -> None:
    first_run = call(1, "0.1", key="h:first run")
    second_run = call(1, "0.2", key="h:second run")

    store.insert([first_run])
    store.insert([second_run])

    found = store.read_trace(trace_id(1), project="default")
    assert found is not None
    assert found[1] == [first_run, second_run]
    assert found[0].cost == Decimal("0.3")


amounts = st.decimals(min_value=Decimal("-1000"), max_value=Decimal("999999999999"), places=30)


@settings(max_examples=few(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amounts=st.lists(amounts | st.decimals(0, 1, places=12), min_size=1, max_size=12))
def test_money_is_summed_to_the_last_digit(fresh_store: Callable[[], Store], amounts: list[Decimal]) -> None:
    store = fresh_store()
    for number, amount in enumerate(amounts):
        store.insert([call(number, cost=str(amount), trace_id=trace_id(1), user=f"user {number % 3}")])

    (by_model,) = store.cost_groups(CostBy.MODEL, CostFilter())
    single_calls = store.cost_groups(CostBy.USER, CostFilter(since_ns=NOON_NS, until_ns=NOON_NS * 2))
    (summary,) = store.list_traces(TraceFilter())

    assert by_model.cost == summary.cost == exact_sum(amounts)
    assert exact_sum(group.cost for group in single_calls if group.cost is not None) == exact_sum(amounts)


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()

    with pytest.raises(StoreError, match="closed"):
        store.insert([span(1)])
    with pytest.raises(StoreError, match="closed"):
        store.list_traces(TraceFilter())


END, UNENDED = stamped(1, 7, end="complete", cost="0.5"), stamped(1, 6, end="interrupted", status="error")
BESIDE = stamped(2, 9, trace_id=trace_id(1), cost="0.125")


@pytest.mark.parametrize(
    "batches",
    [
        ([END], [UNENDED]),
        ([UNENDED], [END]),
        ([UNENDED, END],),
        ([END], [UNENDED], [END, UNENDED], [UNENDED]),
        ([UNENDED], [UNENDED], [END], [END], [UNENDED]),
    ],
)
def test_a_call_that_its_successor_told_as_interrupted_counts_once_when_its_end_is_known(
    fresh_store: Callable[[], Store], batches: tuple[list[SpanRow], ...]
) -> None:
    only_the_end, both = fresh_store(), fresh_store()
    only_the_end.insert([BESIDE, END], [numbers(6)], [sighting(9, closed=True)])

    both.insert([BESIDE], [], [sighting(9, closed=True)])
    for batch in batches:
        both.insert(batch)

    assert everything(both) == everything(only_the_end)


@pytest.mark.parametrize(
    "other",
    [
        stamped(1, 5, end="complete"),  # its number is lower: it ended before this call began
        stamped(1, 7, end="complete", writer=OTHER),
        stamped(1, 7, end="interrupted"),
        call(1, key="h:no stamp", end="complete", start_ns=UNENDED.start_ns + 1),
    ],
)
def test_two_calls_that_share_their_ids_stay_two(store: Store, other: SpanRow) -> None:
    store.insert([other])
    store.insert([UNENDED])
    store.insert([other])

    found = store.read_trace(trace_id(1), project="default")

    assert found is not None
    assert sorted(row.key for row in found[1]) == sorted([other.key, UNENDED.key])
