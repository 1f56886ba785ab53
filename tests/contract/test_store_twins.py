"""A finished span and the interrupted one made of its begin are one call: the finished one stays, in any order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.model.usage import Usage
from everyspan.store.reads import CostBy, CostFilter, TraceFilter, WriterFilter
from everyspan.store.rows import INTERRUPTED, SpanRow
from everyspan.store.store import Store
from tests.store_rows import call, everything, few, numbers, span_id, stamped, trace_id

LOST: dict[str, Any] = {
    "end": INTERRUPTED,
    "status": "error",
    "cost": "0.5",
    "user": "ann",
    "tags": ("lost",),
}
INTERRUPTED_TWIN = stamped(1, 1, input="apple", **LOST)
FINISHED_TWIN = stamped(1, 2, input="apple", output="pear", user="bob")
# Of another size than its parent: it is a call of its own and not the same one recorded twice.
CHILD = stamped(2, 4, trace_id=trace_id(1), parent_id=span_id(1), usage=Usage(input_tokens=50))
UNSTAMPED = (call(3, **LOST), call(3, key="h:3 finished", trace_name="later"))
ROWS = (INTERRUPTED_TWIN, FINISHED_TWIN, CHILD, *UNSTAMPED)


@pytest.mark.parametrize("order", list(permutations((INTERRUPTED_TWIN, FINISHED_TWIN, CHILD))))
def test_only_the_finished_span_is_left_however_the_two_arrive(
    store: Store, order: tuple[SpanRow, ...]
) -> None:
    for row in order:
        store.insert([row], [numbers(1)])

    found = store.read_trace(trace_id(1), project="default")
    (group,) = store.cost_groups(CostBy.MODEL, CostFilter())
    (writer,) = store.writers(WriterFilter())
    assert found is not None
    assert found[1] == [FINISHED_TWIN, CHILD]
    assert (found[0].user, found[0].errors, found[0].tags) == ("bob", 0, ())
    assert (group.calls, group.cost) == (2, FINISHED_TWIN.cost and FINISHED_TWIN.cost * 2)
    # Its number arrived all the same: the audit finds no gap and no call without an end.
    assert (writer.received, writer.begun, writer.spans, writer.interrupted) == (((1, 2), (4, 4)), 1, 2, 0)
    assert store.list_traces(TraceFilter(tag="lost")) == []


@settings(max_examples=few(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(ROWS * 2), st.integers(1, 10))
def test_twins_come_to_the_same_in_any_order_and_repeated(
    fresh_store: Callable[[], Store], order: list[SpanRow], size: int
) -> None:
    orderly, disorderly = fresh_store(), fresh_store()
    orderly.insert(ROWS)

    for start in range(0, len(order), size):
        disorderly.insert(order[start : start + size])

    assert everything(disorderly) == everything(orderly)


def test_an_interrupted_span_stays_until_its_end_arrives_and_does_not_come_back(store: Store) -> None:
    first = store.insert([INTERRUPTED_TWIN])
    alone = store.list_traces(TraceFilter())

    second = store.insert([FINISHED_TWIN])
    third = store.insert([INTERRUPTED_TWIN])

    assert (first.new, second.new, third.new, third.known) == (1, 1, 0, 1)
    assert [(one.errors, one.user) for one in alone] == [(1, "ann")]
    assert [(one.errors, one.user) for one in store.list_traces(TraceFilter())] == [(0, "bob")]


def test_the_same_ids_at_another_time_are_another_span(store: Store) -> None:
    # As `random.seed()` has it, which repeats the ids of the run before.
    earlier = stamped(1, 1, start_ns=INTERRUPTED_TWIN.start_ns - 1, **LOST)

    store.insert([earlier, FINISHED_TWIN])

    found = store.read_trace(trace_id(1), project="default")
    assert found is not None
    assert found[1] == [earlier, FINISHED_TWIN]
