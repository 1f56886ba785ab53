"""Conditions on single spans, and sums over the spans that fit: the same answers from every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from everyspan.model.usage import Usage
from everyspan.store.conditions import Condition, Is, Measured, Period, SpanField, SpanGroup
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import WHOLE_TRACE
from everyspan.store.scores import Score, SpanFilter
from everyspan.store.store import Store, open_store
from tests.store_rows import DAY_NS, NOON_NS, call, span, span_id, trace_id

F = SpanField
SPANS = [
    call(
        1,
        "0.1",
        user="Ann",
        tags=("a", "b", "a"),
        environment="test",
        start_ns=NOON_NS,
        end_ns=NOON_NS + 1000,
    ),
    call(2, "0.000000000000000000000000000002", user="annika", tags=("b",), first_token_ns=50, model="o3"),
    call(3, None, trace_id=trace_id(1), parent_id=span_id(1), usage=Usage(output_tokens=7), status="error"),
    call(
        4,
        "9",
        unbilled="a copy",
        tags=("c",),
        start_ns=NOON_NS + 40 * DAY_NS,
        end_ns=NOON_NS + 40 * DAY_NS + 3000,
    ),
    span(5, kind="tool", name="50% it's _ ü", trace_name="checkout"),
    call(6, "1", project="other", user="Ann"),
]


@pytest.fixture(scope="module")
def filled(module_store_url: str) -> Iterator[Store]:
    with closing(open_store(module_store_url)) as opened:
        opened.insert(SPANS)
        yield opened


def condition(field: SpanField, how: Is, *texts: str, number: int | Decimal = 0) -> Condition:
    return Condition(field=field, how=how, texts=texts, number=number)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (condition(F.USER, Is.ANY_OF, "Ann", "nobody"), [1]),
        (condition(F.USER, Is.NONE_OF, "Ann"), [2, 3, 4, 5]),
        (condition(F.USER, Is.MISSING), [3, 4, 5]),
        (condition(F.USER, Is.PRESENT), [1, 2]),
        (condition(F.USER, Is.CONTAINING, "nn"), [1, 2]),
        (condition(F.USER, Is.NOT_CONTAINING, "nik"), [1, 3, 4, 5]),
        (condition(F.USER, Is.BEGINNING, "Ann"), [1]),
        (condition(F.USER, Is.ENDING, "ka"), [2]),
        (condition(F.NAME, Is.CONTAINING, "% it's _ ü"), [5]),
        (condition(F.NAME, Is.ENDING, "longer than every name of a span"), []),
        (condition(F.PARENT_ID, Is.MISSING), [1, 2, 4, 5]),
        (condition(F.TRACE_ID, Is.ANY_OF, trace_id(1)), [1, 3]),
        (condition(F.TRACE_NAME, Is.ANY_OF, "checkout"), [5]),
        # A root without a word about its trace gives it its own name, another span does not.
        (condition(F.TRACE_NAME, Is.ANY_OF, "span 1", "span 3", "span 5"), [1]),
        (condition(F.TRACE_NAME, Is.MISSING), [3]),
        (condition(F.STATUS, Is.ANY_OF, "error"), [3]),
        (condition(F.TAGS, Is.ANY_OF, "a", "c"), [1, 4]),
        (condition(F.TAGS, Is.NONE_OF, "a", "c"), [2, 3, 5]),
        (condition(F.TAGS, Is.ALL_OF, "a", "b"), [1]),
        (condition(F.TAGS, Is.MISSING), [3, 5]),
        (condition(F.TAGS, Is.PRESENT), [1, 2, 4]),
        (condition(F.COST, Is.EQUAL, number=Decimal("0.1")), [1]),
        (condition(F.COST, Is.MORE, number=Decimal("0.000000000000000000000000000001")), [1, 2]),
        (condition(F.COST, Is.MISSING), [3, 4, 5]),
        (condition(F.OUTPUT_TOKENS, Is.LESS, number=8), [3]),
        (condition(F.INPUT_TOKENS, Is.PRESENT), [1, 2]),
        (condition(F.TOTAL_TOKENS, Is.AT_LEAST, number=7), [1, 2, 3]),
        (condition(F.TOTAL_TOKENS, Is.AT_MOST, number=1 << 80), [1, 2, 3]),
        (condition(F.DURATION, Is.AT_MOST, number=1000), [1]),
        (condition(F.FIRST_TOKEN, Is.PRESENT), [2]),
        (condition(F.START, Is.MORE, number=NOON_NS + DAY_NS), [4]),
    ],
    ids=str,
)
def test_spans_are_found_by_any_of_their_parts(filled: Store, asked: Condition, expected: list[int]) -> None:
    found = filled.list_spans(SpanFilter(project="default", conditions=(asked,)))

    assert sorted(row.key for row in found) == [f"h:{number}" for number in expected]


def test_all_conditions_have_to_hold(filled: Store) -> None:
    both = (condition(F.USER, Is.PRESENT), condition(F.TAGS, Is.ANY_OF, "a"))

    assert filled.count_spans(SpanFilter(project="default", conditions=both)) == 1


def groups(store: Store, *by: SpanField, **more: Any) -> list[SpanGroup]:
    return store.span_groups(by, SpanFilter(project="default"), **more)


def test_sums_are_exact_and_of_what_is_billed(filled: Store) -> None:
    (all_of_them,) = groups(filled, measures=(F.COST, F.TOTAL_TOKENS))

    assert all_of_them.spans == 5
    assert all_of_them.measured == {
        F.COST: Measured(
            count=2,
            total=Decimal("0.100000000000000000000000000002"),
            least=Decimal("0.000000000000000000000000000002"),
            most=Decimal("0.1"),
        ),
        F.TOTAL_TOKENS: Measured(count=3, total=Decimal(227), least=Decimal(7), most=Decimal(110)),
    }


def test_spans_are_gathered_by_several_parts_at_once(filled: Store) -> None:
    found = groups(filled, F.KIND, F.MODEL, F.TAGS)

    assert [(group.values, group.spans) for group in found] == [
        (("generation", "gpt-5", ""), 1),
        (("generation", "gpt-5", "a"), 1),
        (("generation", "gpt-5", "b"), 1),
        (("generation", "gpt-5", "c"), 1),
        (("generation", "o3", "b"), 1),
        (("tool", "", ""), 1),
    ]


@pytest.mark.parametrize(
    ("each", "starts"),
    [
        (Period.MINUTE, ["2024-10-04T12:00", "2024-11-13T12:00"]),
        (Period.HOUR, ["2024-10-04T12:00", "2024-11-13T12:00"]),
        (Period.DAY, ["2024-10-04", "2024-11-13"]),
        (Period.WEEK, ["2024-09-30", "2024-11-11"]),
        (Period.MONTH, ["2024-10-01", "2024-11-01"]),
    ],
)
def test_sums_are_divided_by_time(filled: Store, each: Period, starts: list[str]) -> None:
    found = groups(filled, each=each)

    expected = [int(datetime.fromisoformat(start).replace(tzinfo=UTC).timestamp()) for start in starts]
    assert [(group.period_s, group.spans) for group in found] == list(zip(expected, (4, 1), strict=True))


def test_lengths_of_time_have_quantiles(filled: Store) -> None:
    (group,) = groups(filled, measures=(F.DURATION, F.FIRST_TOKEN))

    duration = group.measured[F.DURATION]
    assert (duration.count, duration.least, duration.most) == (5, Decimal(1000), Decimal(500_000))
    assert duration.quantiles[50] == pytest.approx(500_000, rel=0.016)
    assert duration.quantiles[75] == pytest.approx(500_000, rel=0.016)
    assert group.measured[F.FIRST_TOKEN].quantiles == dict.fromkeys((50, 75, 90, 95, 99), 50)


def test_a_length_that_nobody_said_takes_nothing_from_the_next_measure(filled: Store) -> None:
    (tool,) = [
        group
        for group in groups(filled, F.KIND, measures=(F.FIRST_TOKEN, F.DURATION))
        if group.values == ("tool",)
    ]

    assert tool.measured[F.FIRST_TOKEN] == Measured()
    assert (tool.measured[F.DURATION].count, tool.measured[F.DURATION].total) == (1, Decimal(500_000))


def test_what_stands_for_a_whole_trace_is_no_observation(store: Store) -> None:
    store.insert([span(1, key=f"{WHOLE_TRACE}1"), call(2, trace_id=trace_id(1), parent_id=span_id(1))])

    every = SpanFilter(project="default")
    observed = SpanFilter(project="default", only_observations=True)

    assert [store.count_spans(wanted) for wanted in (every, observed)] == [2, 1]
    assert [row.key for row in store.list_spans(observed)] == ["h:2"]
    assert [group.spans for group in store.span_groups((), observed)] == [1]


def test_without_spans_there_are_no_sums(filled: Store) -> None:
    nothing = SpanFilter(project="nobody")

    assert filled.span_groups((F.USER,), nothing, measures=(F.COST,)) == []


def judged(number: int, *, of: int, trace: int | None = None, **changes: Any) -> Score:
    values: dict[str, Any] = {
        "project": "default",
        "id": f"score {number}",
        "name": "tone",
        "data_type": "NUMERIC",
        "value": 1.0,
        "trace_id": trace_id(of if trace is None else trace),
        "span_id": span_id(of),
        "at_ns": NOON_NS,
        "created_ns": NOON_NS,
    }
    return Score(**(values | changes))


@pytest.fixture(scope="module")
def timed(module_store_url: str) -> Iterator[Store]:
    """A store of calls whose stream was timed, and of what was said of them."""
    spans = [
        call(1, user="ann", session="s", end_ns=NOON_NS + 1_000_000 + 4 * 10**9, first_token_ns=2 * 10**9),
        call(2, user="ann", end_ns=NOON_NS + 2_000_000 + 10**9, first_token_ns=10**9, tags=("a", "b")),
        call(3, None, usage=Usage(output_tokens=7), trace_id=trace_id(1), end_ns=NOON_NS + 3_000_000),
        call(4, unbilled="a copy", user="bob", end_ns=NOON_NS + 4_000_000 + 10**9, tags=("b",)),
        call(5, project="other", user="eve"),
    ]
    scores = [
        judged(1, of=1),
        judged(2, of=1),
        judged(3, of=2),
        judged(4, of=2, trace=9),  # the same id in another trace is another span
        judged(5, of=1, span_id=""),  # of the whole trace
        judged(6, of=2, project="other"),
    ]
    with closing(open_store(f"{module_store_url}_timed")) as opened:
        opened.insert(spans)
        opened.put_scores(scores)
        yield opened


def test_streams_and_their_speed_are_measured(timed: Store) -> None:
    (group,) = groups(timed, measures=(F.STREAMING, F.TOKENS_PER_SECOND, F.OUTPUT_TOKENS_PER_SECOND))

    streaming = group.measured[F.STREAMING]
    assert (streaming.count, streaming.total, streaming.least) == (2, Decimal(2 * 10**9), Decimal(0))
    assert streaming.quantiles[99] == pytest.approx(2 * 10**9, rel=0.016)
    # The third took no time that could be told, and the fourth is a copy of a call that is counted already.
    speed = group.measured[F.TOKENS_PER_SECOND]
    assert (speed.count, float(speed.least), float(speed.most)) == (2, 27.5, 110)
    assert group.measured[F.OUTPUT_TOKENS_PER_SECOND] == Measured(
        count=1, total=Decimal(5), least=Decimal(5), most=Decimal(5)
    )


def test_scores_of_a_span_are_counted(timed: Store) -> None:
    (whole,) = groups(timed, measures=(F.SCORES,))
    by_tag = groups(timed, F.TAGS, measures=(F.SCORES, F.COST))

    assert whole.measured[F.SCORES] == Measured(count=4, total=Decimal(3), least=Decimal(0), most=Decimal(2))
    assert {group.values[0]: int(group.measured[F.SCORES].total) for group in by_tag} == {
        "": 2,
        "a": 1,
        "b": 1,
    }
    assert {group.values[0]: group.measured[F.COST].count for group in by_tag} == {"": 1, "a": 1, "b": 1}


def test_different_values_are_counted(timed: Store) -> None:
    asked = (F.USER, F.SESSION, F.TRACE_ID)

    assert [group.distinct for group in groups(timed, distinct=asked)] == [
        {F.USER: 2, F.SESSION: 1, F.TRACE_ID: 3}
    ]
    assert {group.values[0]: group.distinct[F.USER] for group in groups(timed, F.TAGS, distinct=asked)} == {
        "": 1,
        "a": 1,
        "b": 2,
    }


def test_whole_traces_are_summed_as_spans_are(filled: Store) -> None:
    def found(*by: SpanField, **more: Any) -> list[SpanGroup]:
        return filled.trace_sums(by, TraceFilter(project="default", **more.pop("filter", {})), **more)

    (whole,) = found(measures=(F.COST, F.TOTAL_TOKENS, F.DURATION), distinct=(F.USER, F.TRACE_ID))
    by_tag = found(F.TAGS, distinct=(F.USER,))

    assert (whole.spans, whole.distinct) == (4, {F.USER: 2, F.TRACE_ID: 4})
    cost, tokens, length = (whole.measured[field] for field in (F.COST, F.TOTAL_TOKENS, F.DURATION))
    assert (cost.count, cost.total) == (2, Decimal("0.100000000000000000000000000002"))
    assert (tokens.count, tokens.total, tokens.most) == (4, Decimal(227), Decimal(117))
    # From the first start to the last end: the third call belongs to the first trace.
    assert (length.count, length.least, length.most) == (4, Decimal(3000), Decimal(3_500_000))
    assert length.quantiles[99] == pytest.approx(3_500_000, rel=0.016)
    assert [(group.values, group.spans, group.distinct[F.USER]) for group in by_tag] == [
        (("",), 1, 0),
        (("a",), 1, 1),
        (("b",), 2, 2),
        (("c",), 1, 0),
    ]
    assert [group.values for group in found(F.TRACE_NAME, F.ENVIRONMENT, filter={"user": "Ann"})] == [
        ("span 1", "test")
    ]
    assert [group.spans for group in found(each=Period.MONTH)] == [3, 1]
    assert found(filter={"name": "nobody's"}) == []
