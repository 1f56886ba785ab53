"""A page leads to the next one, and a trace is a tree whatever its parents say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyspan.errors import NotFoundError, SettingsError
from everyspan.query.traces import TraceFilter, in_tree_order, list_traces, trace
from everyspan.store.store import Store, open_store
from tests.store_rows import NOON_NS, call, span, span_id, trace_id


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with closing(open_store(tmp_path / "spans.db")) as opened:
        yield opened


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8])
def test_pages_show_every_trace_once_newest_first(store: Store, limit: int) -> None:
    # Equal starts, also across projects: only the whole position tells them apart.
    rows = [span(number, project=f"p{number % 2}", start_ns=NOON_NS + number // 3) for number in range(7)]
    store.insert(rows)

    seen, cursor, pages = [], "", 0
    while pages == 0 or cursor:
        page = list_traces(store, TraceFilter(limit=limit, before=cursor))
        seen += [(one.started_ns, one.project, one.trace_id) for one in page.traces]
        cursor = page.next_cursor
        pages += 1

    assert seen == sorted(((row.start_ns, row.project, row.trace_id) for row in rows), reverse=True)
    assert pages == -(-7 // limit)


def test_a_trace_that_arrives_between_two_pages_moves_nothing(store: Store) -> None:
    store.insert([span(number) for number in range(4)])
    first = list_traces(store, TraceFilter(limit=2))

    store.insert([span(9)])
    second = list_traces(store, TraceFilter(limit=2, before=first.next_cursor))

    assert [one.name for one in second.traces] == ["span 1", "span 0"]
    assert second.next_cursor == ""


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (TraceFilter(limit=0), "limit is 0"),
        (TraceFilter(limit=1001), "1 to 1000"),
        (TraceFilter(before="yesterday"), "'yesterday' is no cursor"),
        (TraceFilter(before="-1.x.y"), "no cursor"),
    ],
)
def test_a_page_that_can_not_be_is_refused_with_the_reason(
    store: Store, wanted: TraceFilter, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        list_traces(store, wanted)


def test_a_trace_is_shown_with_its_children_below_their_parents(store: Store) -> None:
    names = {1: None, 2: 1, 3: 2, 4: 1, 5: 77}
    rows = [
        call(n, trace_id=trace_id(1), parent_id=parent and span_id(parent), response_id=f"chatcmpl-{n:016}")
        for n, parent in names.items()
    ]
    store.insert(rows[::-1])

    shown = trace(store, trace_id(1))

    assert [(one.row.name, one.depth, one.parent_missing) for one in shown.spans] == [
        ("span 1", 0, False),
        ("span 2", 1, False),
        ("span 3", 2, False),
        ("span 4", 1, False),
        ("span 5", 0, True),
    ]
    assert (shown.summary.calls, str(shown.summary.cost)) == (5, "1.25")


def test_a_trace_has_the_input_of_its_root_unless_a_later_span_says_otherwise(store: Store) -> None:
    root = span(1, input="question", output="root's answer")
    child = span(2, trace_id=trace_id(1), parent_id=span_id(1), input="own", trace_output="final answer")
    store.insert([child, root])

    shown = trace(store, trace_id(1))

    assert (shown.input, shown.output) == ("question", "final answer")


def test_a_trace_in_two_projects_is_only_shown_for_one_of_them(store: Store) -> None:
    store.insert([span(1, project="ours", input="secret"), span(1, project="theirs")])

    with pytest.raises(SettingsError, match="ours, theirs"):
        trace(store, trace_id(1))
    with pytest.raises(NotFoundError, match="'nobody'"):
        trace(store, trace_id(1), project="nobody")

    assert trace(store, trace_id(1), project="theirs").input == ""


def test_a_trace_that_never_arrived_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match=trace_id(5)):
        trace(store, trace_id(5))


@given(
    parents=st.lists(st.none() | st.integers(0, 12), max_size=12),
    ids=st.lists(st.integers(0, 9), min_size=12),
)
def test_every_span_is_shown_exactly_once_whatever_their_parents(
    parents: list[int | None], ids: list[int]
) -> None:
    rows = [
        span(n, span_id=span_id(own), parent_id=None if parent is None else span_id(parent))
        for n, (own, parent) in enumerate(zip(ids, parents, strict=False))
    ]

    shown = list(in_tree_order(rows))

    present = {row.span_id for row in rows}
    assert sorted(one.row.key for one in shown) == sorted(row.key for row in rows)
    for before, one in zip([None, *shown], shown, strict=False):
        assert one.depth <= (before.depth + 1 if before else 0)
        assert one.parent_missing == (one.row.parent_id is not None and one.row.parent_id not in present)


def test_a_chain_deeper_than_the_stack_of_python_is_shown() -> None:
    rows = [span(n, span_id=span_id(n), parent_id=span_id(n - 1) if n else None) for n in range(5_000)]

    shown = list(in_tree_order(rows))

    assert shown[-1].depth == 4_999


def test_a_ring_of_parents_is_cut_open_at_its_earliest_span() -> None:
    ring = [span(n, span_id=span_id(n), parent_id=span_id((n + 1) % 3)) for n in range(3)]

    shown = list(in_tree_order(ring))

    assert [(one.row.name, one.depth) for one in shown] == [("span 0", 0), ("span 2", 1), ("span 1", 2)]
