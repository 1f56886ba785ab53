"""One call, one bill, in the store: whichever of its recordings arrive, in whatever order, however often."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.model.usage import Usage
from everyspan.store.reads import CostBy, CostFilter
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite import SqliteStore
from everyspan.store.store import Store
from tests.store_rows import WRITER, call, everything, span, span_id, stamped, trace_id

ID = "chatcmpl-0123456789abcdef"


def below(number: int, parent: int, cost: str | None = "0.25", **changes: Any) -> SpanRow:
    """A call of trace 1, in the time of its parent."""
    return call(number, cost, trace_id=trace_id(1), parent_id=span_id(parent), **changes)


def bill(store: Store) -> tuple[Decimal | None, int, int]:
    """What is owed, and the calls that are and are not billed; all roll-ups have to agree."""
    groups = store.cost_groups(CostBy.PROJECT, CostFilter())
    total = sum((group.cost for group in groups if group.cost is not None), Decimal(0))
    fine = store.cost_groups(CostBy.SESSION, CostFilter())
    assert sum((group.cost for group in fine if group.cost is not None), Decimal(0)) == total
    return total, sum(group.calls for group in groups), sum(group.unbilled for group in groups)


def reasons(store: Store) -> dict[str, str]:
    """Why spans of trace 1 are not billed, by the last two digits of their ids."""
    found = store.read_trace(trace_id(1), project="default")
    assert found is not None
    return {row.span_id[-2:]: row.unbilled for row in found[1] if row.unbilled}


CASES: dict[str, tuple[list[SpanRow], dict[str, str]]] = {
    "a wrapper and the client's span below it report the same": (
        [call(1), below(2, 1)],
        {"01": f"the same call as span {span_id(2)}"},
    ),
    "something stands between them": (
        [call(1), span(2, trace_id=trace_id(1), parent_id=span_id(1)), below(3, 2)],
        {"01": f"the same call as span {span_id(3)}"},
    ),
    "three recordings, one in the other": (
        [call(1), below(2, 1), below(3, 2)],
        {"01": f"the same call as span {span_id(3)}", "02": f"the same call as span {span_id(3)}"},
    ),
    "only the outer one can be priced": (
        [call(1), below(2, 1, None)],
        {"02": f"the same call as span {span_id(1)}"},
    ),
    "only the inner one can be priced": (
        [call(1, None), below(2, 1)],
        {"01": f"the same call as span {span_id(2)}"},
    ),
    "a wrapper that reports nothing": (
        [call(1, None, usage=Usage()), below(2, 1)],
        {"01": f"the same call as span {span_id(2)}"},
    ),
    "a wrapper around several calls reports their sum": (
        [call(1, "0.50", usage=Usage(input_tokens=200, output_tokens=20)), below(2, 1), below(3, 1)],
        {"01": f"the same call as span {span_id(3)}"},
    ),
    "two instrumentations side by side, with one response id": (
        [span(1), below(2, 1, response_id=ID), below(3, 1, response_id=ID)],
        {"02": f"the same call as span {span_id(3)}"},
    ),
    "ours is believed where two instrumentations say the same": (
        [
            span(1),
            stamped(2, 7, trace_id=trace_id(1), parent_id=span_id(1), response_id=ID),
            below(3, 1, response_id=ID),
        ],
        {"03": f"the same call as span {span_id(2)}"},
    ),
    "calls with answers of their own, one inside the other": (
        [call(1, response_id=ID), below(2, 1, response_id=ID[::-1])],
        {},
    ),
    "calls side by side": ([span(1), below(2, 1), below(3, 1)], {}),
    "an outer call that reports more than the inner one": (
        [call(1, "0.75", usage=Usage(input_tokens=300, output_tokens=30)), below(2, 1)],
        {},
    ),
    "ids that local servers give out again": (
        [span(1), below(2, 1, response_id="chatcmpl-17"), below(3, 1, response_id="chatcmpl-17")],
        {},
    ),
    "a span that says itself that it is not billed is nobody's twin": (
        [call(1, unbilled="a copy"), below(2, 1)],
        {"01": "a copy"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_recording_of_a_call_is_billed_and_the_others_say_why_not(store: Store, name: str) -> None:
    rows, expected = CASES[name]

    store.insert(rows)

    billed = [row for row in rows if row.span_id[-2:] not in expected and row.cost_state is not None]
    owed = sum((row.cost for row in billed if row.cost is not None), Decimal(0))
    assert reasons(store) == expected
    assert bill(store) == (owed, len(billed), len(expected))


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_arrival_changes_nothing(tmp_path: Path, name: str) -> None:
    rows, _ = CASES[name]
    answers = []

    for index, order in enumerate(itertools.permutations(rows)):
        store = SqliteStore(tmp_path / f"{index}.db")
        for row in order:
            store.insert([row])
        answers.append(everything(store))
        store.close()

    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("repeated_id", [False, True])
def test_hundreds_of_spans_of_a_trace_come_to_the_same_in_any_order(
    fresh_store: Callable[[], Store], repeated_id: bool
) -> None:
    rows = [span(1, trace_id=trace_id(1))]
    for first in range(10, 1000, 10):
        sums_up = first % 40 == 0
        spent: dict[str, Any] = (
            {"cost": "0.50", "usage": Usage(input_tokens=200, output_tokens=20)} if sums_up else {}
        )
        rows += [
            below(first, 1, response_id=f"{ID}-{first}" if first % 20 else "", **spent),
            span(first + 1, trace_id=trace_id(1), parent_id=span_id(first)),
            below(first + 2, first + 1, None if first % 30 and not sums_up else "0.25"),
            call(first + 3, trace_id=trace_id(first), response_id=f"{ID}-{first}"),
        ]
        if sums_up:
            rows.append(below(first + 4, first))
    if repeated_id:
        rows.append(below(10, 500, key="h:of another life"))
    shuffled = random.Random(1).sample(rows, len(rows))
    at_once, bit_by_bit = fresh_store(), fresh_store()

    at_once.insert(rows)
    for start in range(0, len(rows), 7):
        bit_by_bit.insert(shuffled[start : start + 7])

    assert len(reasons(at_once)) >= 50
    assert everything(bit_by_bit) == everything(at_once)


def test_recordings_in_traces_of_their_own_are_one_call_too(store: Store) -> None:
    store.insert([call(1, response_id=ID)])
    store.insert([call(2, response_id=ID), call(3, response_id=ID[::-1])])

    assert bill(store) == (Decimal("0.50"), 2, 1)
    assert reasons(store) == {"01": f"the same call as span {span_id(2)} in trace {trace_id(2)}"}


def test_a_stored_answer_that_is_handed_out_again_and_again_is_billed_once(
    fresh_store: Callable[[], Store],
) -> None:
    rows = [call(number, response_id=ID) for number in range(1, 400)]
    at_once, piecemeal = fresh_store(), fresh_store()

    at_once.insert(rows)
    for first in range(0, 399, 7):
        piecemeal.insert(rows[first : first + 7][::-1])

    assert bill(at_once) == bill(piecemeal) == (Decimal("0.25"), 1, 398)
    assert everything(at_once) == everything(piecemeal)


def test_projects_have_bills_of_their_own(store: Store) -> None:
    store.insert([call(1, response_id=ID), call(2, response_id=ID, project="other")])

    assert bill(store) == (Decimal("0.50"), 2, 0)


def test_parents_that_form_a_ring_are_no_reason_to_bill_nothing(store: Store) -> None:
    store.insert([below(1, 2), below(2, 1)])

    assert bill(store)[1:] == (1, 1)


def test_a_finished_call_takes_the_place_of_its_interrupted_twin_and_the_bill_follows(store: Store) -> None:
    interrupted = call(1, "0.10", end="interrupted", usage=Usage(input_tokens=40, output_tokens=4))
    store.insert([interrupted, below(2, 1)])
    before = bill(store)

    store.insert([call(1, key="h:finished")])

    assert before == (Decimal("0.35"), 2, 0)
    assert bill(store) == (Decimal("0.25"), 1, 1)


@st.composite
def families(draw: st.DrawFn) -> list[SpanRow]:
    """Spans of two traces, each below an earlier one or a root, many of them recordings of one another."""
    rows = []
    for number in range(1, draw(st.integers(2, 7)) + 1):
        changes: dict[str, Any] = {
            "trace_id": trace_id(draw(st.integers(1, 2))),
            "parent_id": draw(st.sampled_from([None, *map(span_id, range(1, 8))])),
            "response_id": draw(st.sampled_from(["", "", ID, ID[::-1], "short"])),
            "usage": draw(st.sampled_from([Usage(), Usage(input_tokens=100, output_tokens=10)])),
        }
        if draw(st.booleans()):
            changes |= {"key": f"w:{WRITER}:{number:016x}", "writer": WRITER, "seq": number}
        rows.append(call(number, draw(st.sampled_from(["0.25", "0.50", None])), **changes))
    return rows


def in_batches(rows: Sequence[SpanRow], sizes: Sequence[int]) -> Iterator[Sequence[SpanRow]]:
    at = 0
    for size in sizes:
        yield rows[at : at + size]
        at += size
    yield rows[at:]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(families(), st.data())
def test_any_order_any_batches_and_redelivery_give_one_answer(
    tmp_path_factory: pytest.TempPathFactory, rows: list[SpanRow], data: st.DataObject
) -> None:
    at_once = SqliteStore(tmp_path_factory.mktemp("one") / "spans.db")
    piecemeal = SqliteStore(tmp_path_factory.mktemp("two") / "spans.db")
    again = data.draw(st.lists(st.sampled_from(rows), max_size=4))
    shuffled = data.draw(st.permutations([*rows, *again]))
    sizes = data.draw(st.lists(st.integers(1, 3), max_size=4))

    at_once.insert(rows)
    for batch in in_batches(shuffled, sizes):
        piecemeal.insert(batch)

    assert everything(piecemeal) == everything(at_once)
    assert bill(at_once)[1] + bill(at_once)[2] == len(rows)
    at_once.close()
    piecemeal.close()
