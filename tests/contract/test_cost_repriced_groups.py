"""Sums of users, sessions, tags and the like at the newest costs: as if they had been right from the start."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from everyspan.model.money import CostState
from everyspan.query.groups import list_groups
from everyspan.store.groups import GroupFilter, GroupOrder, TraceBy
from everyspan.store.reads import Prices
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store, open_store
from tests.repriced import TWICE, recorded, run
from tests.store_rows import trace_id


@pytest.mark.parametrize(
    "wanted", [*(GroupFilter(order=order) for order in GroupOrder), GroupFilter(project="default", limit=4)]
)
def test_groups_agree_with_a_store_that_had_the_right_costs_from_the_start(
    store: Store, tmp_path: Path, wanted: GroupFilter
) -> None:
    def rows(wrong: str | None) -> list[SpanRow]:
        return [
            recorded(1, wrong, tags=("a", "b"), user="u1", session="s", environment="test", service="web"),
            recorded(2, "0.0035", trace_id=trace_id(1), parent_id=None, tags=("b",), provider="azure"),
            recorded(3, wrong and "0.007", user="u2", session="s", usage=TWICE),
            recorded(4, wrong, user="u1", tags=("a",), project="other"),
            recorded(5, None, user="u3", model="no-such-model", provider="nobody"),
            recorded(6, "9", user="u3", unbilled="twice"),
            recorded(7, "0.004", user="u4", cost_state=CostState.STATED),
        ]

    store.insert(rows(None))
    run(store)
    with closing(open_store(tmp_path / "right.db")) as right:
        right.insert(rows("0.0035"))

        for by in TraceBy:
            expected = list_groups(right, by, wanted)

            assert expected.groups
            assert list_groups(store, by, replace(wanted, prices=Prices.LATEST)) == expected
            assert list_groups(store, by, wanted) != expected


def test_the_order_of_groups_by_cost_is_that_of_the_costs_that_are_shown(store: Store) -> None:
    store.insert([recorded(1, "1", user="was dear"), recorded(2, "0.002", user="is dear", usage=TWICE)])
    run(store)

    def users(prices: Prices) -> list[tuple[str, Decimal | None]]:
        wanted = GroupFilter(order=GroupOrder.DEAREST, prices=prices)
        return [(each.value, each.totals.cost) for each in store.trace_groups(TraceBy.USER, wanted)]

    assert users(Prices.RECORDED) == [("was dear", Decimal(1)), ("is dear", Decimal("0.002"))]
    assert users(Prices.LATEST) == [("is dear", Decimal("0.007")), ("was dear", Decimal("0.0035"))]
