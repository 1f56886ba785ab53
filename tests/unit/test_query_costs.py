"""The bill: dearest first, exact in sum, and silent about nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from everyspan.model.money import CostState
from everyspan.query.costs import CostBy, CostFilter, costs
from everyspan.store.store import Store, open_store
from tests.store_rows import DAY_NS, NOON_NS, call, span


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with closing(open_store(tmp_path / "spans.db")) as opened:
        yield opened


def test_the_dearest_model_comes_first_and_those_without_a_price_last(store: Store) -> None:
    store.insert(
        [
            *(call(1, "0.1", model="cheap"), call(2, "0.2", model="cheap"), call(3, "7", model="dear")),
            *(call(4, None, model="new"), call(5, None, model="newer"), call(6, None, model="newer")),
            *(call(7, "0", model="free"), call(8, "-2", model="refund")),
        ]
    )

    report = costs(store, by=CostBy.MODEL)

    assert [group.value for group in report.groups] == ["dear", "cheap", "free", "refund", "newer", "new"]
    assert [group.cost for group in report.groups][-2:] == [None, None]


def test_the_total_adds_up_every_column_and_keeps_the_states_apart(store: Store) -> None:
    store.insert(
        [
            call(1, "0.000000000001", model="a"),
            call(2, "1000000", model="b", cost_state=CostState.STATED),
            call(3, None, model="b"),
            call(4, "5", model="b", unbilled="the wrapper's record of the same call"),
            span(5),
        ]
    )

    total = costs(store, by=CostBy.MODEL).total

    assert (total.calls, total.unbilled, total.cost) == (3, 1, Decimal("1000000.000000000001"))
    assert total.states == {CostState.COMPUTED: 1, CostState.STATED: 1, CostState.UNPRICED: 1}
    assert (total.input_tokens, total.output_tokens) == (300, 30)


def test_days_are_in_order_and_a_filter_narrows_them(store: Store) -> None:
    store.insert([call(n, f"{4 - n}", start_ns=NOON_NS + n * DAY_NS, user=f"u{n % 2}") for n in range(3)])

    every_day = costs(store, by=CostBy.DAY)
    one_user = costs(store, by=CostBy.DAY, wanted=CostFilter(user="u0", until_ns=NOON_NS + DAY_NS))

    assert [group.value for group in every_day.groups] == ["2024-10-04", "2024-10-05", "2024-10-06"]
    assert [(group.value, group.cost) for group in one_user.groups] == [("2024-10-04", Decimal(4))]


def test_where_nothing_was_called_the_cost_is_unknown_not_zero(store: Store) -> None:
    report = costs(store)

    assert (report.groups, report.total.calls, report.total.cost) == ((), 0, None)


def test_a_call_with_two_tags_is_in_two_groups_and_once_in_the_total(store: Store) -> None:
    store.insert([call(1, "0.5", tags=("a", "b")), call(2, "0.25")])

    report = costs(store, by=CostBy.TAG)

    assert [(group.value, group.cost) for group in report.groups] == [
        ("a", Decimal("0.5")),
        ("b", Decimal("0.5")),
        ("", Decimal("0.25")),
    ]
    assert (report.total.calls, report.total.cost) == (2, Decimal("0.75"))
