"""What each day brought: the same answers from every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from everyspan.model.usage import Usage
from everyspan.store.daily import DailyFilter, Day, ModelOfDay
from everyspan.store.rows import WHOLE_TRACE
from everyspan.store.store import Store, open_store
from tests.store_rows import DAY_NS, NOON_NS, call, span, span_id, trace_id

FIRST, SECOND, FOURTH = date(2024, 10, 4), date(2024, 10, 5), date(2024, 10, 7)
SPANS = [
    # Two traces on the first day, of which one goes on after midnight.
    span(1, user="ann", tags=("a", "b"), trace_name="job"),
    call(2, "0.1", trace_id=trace_id(1), parent_id=span_id(1), usage=Usage(input_tokens=7)),
    call(3, "2", trace_id=trace_id(1), parent_id=span_id(1), start_ns=NOON_NS + DAY_NS),
    call(4, None, model="o3", environment="test", tags=("a",), trace_name="job"),
    call(5, "9", model="o3", unbilled="a copy", trace_id=trace_id(4), parent_id=span_id(4)),
    # And one three days later, as Langfuse 2 sends it: a row for the trace, and one for its observation.
    span(6, key=f"{WHOLE_TRACE}6", user="ann", start_ns=NOON_NS + 3 * DAY_NS, environment="prod"),
    call(7, "4", trace_id=trace_id(6), parent_id=span_id(6), start_ns=NOON_NS + 3 * DAY_NS + 1),
    call(8, "99", project="other"),
]


@pytest.fixture(scope="module")
def filled(module_store_url: str) -> Iterator[Store]:
    with closing(open_store(module_store_url)) as opened:
        opened.insert(SPANS)
        yield opened


def days(store: Store, **narrowed: Any) -> list[Day]:
    return store.daily(DailyFilter(project="default", **narrowed)).days


def counts(store: Store, **narrowed: Any) -> list[tuple[date, int, int]]:
    """Traces and observations of each day."""
    return [
        (day.at, day.traces, sum(model.observations for model in day.models))
        for day in days(store, **narrowed)
    ]


def model(name: str, cost: str | None, *sums: int) -> ModelOfDay:
    traces, observations, inputs, outputs = sums
    return ModelOfDay(
        model=name,
        traces=traces,
        observations=observations,
        input_tokens=inputs,
        output_tokens=outputs,
        cost=None if cost is None else Decimal(cost),
    )


def test_a_day_has_its_traces_and_what_its_observations_used(filled: Store) -> None:
    assert days(filled) == [
        Day(at=FOURTH, traces=1, models=(model("gpt-5", "4", 1, 1, 100, 10),)),
        Day(at=SECOND, traces=0, models=(model("gpt-5", "2", 1, 1, 100, 10),)),
        Day(
            at=FIRST,
            traces=2,
            models=(
                model("", None, 1, 1, 0, 0),
                model("gpt-5", "0.1", 1, 1, 7, 0),
                # The copy is an observation, and adds nothing to the bill.
                model("o3", None, 1, 2, 100, 10),
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({"user": "ann"}, [(FOURTH, 1, 1), (SECOND, 0, 1), (FIRST, 1, 2)]),
        ({"name": "job"}, [(SECOND, 0, 1), (FIRST, 2, 4)]),
        ({"tags": ("a",)}, [(SECOND, 0, 1), (FIRST, 2, 4)]),
        ({"tags": ("a", "b")}, [(SECOND, 0, 1), (FIRST, 1, 2)]),
        ({"tags": ("a", "none")}, []),
        ({"environments": ("test",)}, [(FIRST, 1, 2)]),
        ({"environments": ("test", "prod")}, [(FOURTH, 1, 1), (FIRST, 1, 2)]),
        ({"environments": ("default",)}, [(SECOND, 0, 1), (FIRST, 1, 2)]),
        ({"environments": ("default", "prod")}, [(FOURTH, 1, 1), (SECOND, 0, 1), (FIRST, 1, 2)]),
        ({"environments": ("prod",), "user": "ann", "tags": ("a",)}, []),
        ({"since_ns": NOON_NS + DAY_NS}, [(FOURTH, 1, 1)]),
        ({"until_ns": NOON_NS + DAY_NS}, [(SECOND, 0, 1), (FIRST, 2, 4)]),
        ({"until_ns": NOON_NS + 3_000_000}, [(SECOND, 0, 1), (FIRST, 1, 2)]),
        ({"user": "nobody"}, []),
    ],
    ids=str,
)
def test_each_field_of_the_filter_narrows_to_whole_traces(
    filled: Store, narrowed: dict[str, Any], expected: list[tuple[date, int, int]]
) -> None:
    assert counts(filled, **narrowed) == expected


@pytest.mark.parametrize("narrowed", [{}, {"environments": ("default", "prod", "test")}], ids=str)
def test_days_come_in_pages(filled: Store, narrowed: dict[str, Any]) -> None:
    whole = filled.daily(DailyFilter(project="default", **narrowed))
    pages = [
        filled.daily(DailyFilter(project="default", limit=1, skip=number, **narrowed)) for number in range(4)
    ]

    assert [page.days for page in pages] == [[day] for day in whole.days] + [[]]
    assert {page.total for page in pages} == {whole.total} == {3}


def test_a_project_without_traces_has_no_days(filled: Store) -> None:
    assert filled.daily(DailyFilter(project="nobody")) == ([], 0)
