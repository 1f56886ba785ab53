"""What is deleted is gone from everywhere and the rest is as it was; what is handed over is everything, once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from everyspan.errors import SettingsError
from everyspan.model.usage import Usage
from everyspan.store.copying import copy
from everyspan.store.groups import GroupFilter, TraceBy
from everyspan.store.reads import TraceFilter, WriterFilter
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter
from everyspan.store.store import Store, open_store
from everyspan.store.upkeep import Deleted, Deletion
from tests.store_rows import call, dropped, everything, numbers, sighting, span, span_id, stamped, trace_id

KEPT = (
    call(1, user="bob", input="apple", tags=("a",)),
    span(2, trace_id=trace_id(1), parent_id=span_id(1), input="pear"),
    call(3, project="other", user="ann", trace_id=trace_id(9), input="apple pear"),
)
ANN: dict[str, Any] = {"trace_id": trace_id(9), "input": "apple pear", "tags": ("a", "gone"), "session": "s"}
GONE = (
    call(10, "7.5", user="ann", status="error", first_token_ns=5, **ANN),
    call(11, parent_id=span_id(10), end="interrupted", **ANN),
    span(12, parent_id=span_id(10), user="bob", **ANN),
)


@pytest.mark.parametrize(
    "wanted",
    [
        Deletion(project="default", trace_id=trace_id(9)),
        Deletion(project="default", user="ann"),
        Deletion(project="default", user="bob"),
    ],
    ids=["trace", "user", "user of one of its spans"],
)
def test_what_is_deleted_was_never_there_as_far_as_anybody_can_ask(
    fresh_store: Callable[[], Store], wanted: Deletion
) -> None:
    kept = [row for row in KEPT if wanted.user != "bob" or row.trace_id != trace_id(1)]
    never, store = fresh_store(), fresh_store()
    never.insert(kept)
    store.insert([*KEPT, *GONE])

    done = store.delete(wanted)
    again = store.delete(wanted)

    assert done.spans == len(KEPT) + len(GONE) - len(kept)
    assert again == Deleted()
    assert everything(store) == everything(never)


def test_a_deleted_trace_can_come_again(store: Store) -> None:
    store.insert([*KEPT, *GONE])
    before = everything(store)
    store.delete(Deletion(project="default", trace_id=trace_id(9)))

    done = store.insert(GONE)

    assert done.new == len(GONE)
    assert everything(store) == before


def test_traces_that_ended_before_a_time_are_deleted_and_no_younger_ones(store: Store) -> None:
    rows = [call(number) for number in range(1, 8)]
    store.insert([*rows, call(1, project="other")])

    done = store.delete(Deletion(project="default", before_ns=rows[4].end_ns))

    assert done == Deleted(traces=4, spans=4)
    left = [one.trace_id for one in store.list_traces(TraceFilter(project="default"))]
    assert left == [trace_id(7), trace_id(6), trace_id(5)]
    assert len(store.list_traces(TraceFilter(project="other"))) == 1


def test_the_audit_still_knows_that_deleted_spans_arrived(store: Store) -> None:
    store.insert([stamped(1, 2), stamped(2, 4)], [numbers(1), numbers(3)], [sighting(4, closed=True)])

    store.delete(Deletion(project="default", trace_id=trace_id(1)))

    (writer,) = store.writers(WriterFilter())
    assert (writer.received, writer.spans, writer.begun, writer.closed) == (((1, 4),), 1, 1, True)


def test_a_project_goes_with_its_writers_and_no_other_project_does(store: Store) -> None:
    theirs = stamped(1, 2, project="theirs", user="ann")
    store.insert([stamped(1, 2), *KEPT, theirs], [numbers(1), numbers(1, project="theirs")])

    store.delete(Deletion(project="default", all_of_it=True))

    assert store.list_traces(TraceFilter(project="default")) == []
    assert {state.project for state in store.writers(WriterFilter())} == {"theirs"}
    assert {group.project for group in store.unnumbered(WriterFilter())} == {"other"}
    assert {group.project for group in store.trace_groups(TraceBy.USER, GroupFilter())} == {"other", "theirs"}


@pytest.mark.parametrize(
    "said",
    [{}, {"trace_id": "a", "user": "b"}, {"project": "", "user": "b"}, {"all_of_it": True, "before_ns": 0}],
)
def test_a_deletion_that_does_not_say_exactly_what_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="one of"):
        Deletion(**{"project": "default", **said})


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_hand_over_every_span_with_its_body_once(store: Store, limit: int) -> None:
    rows = [*KEPT, *(stamped(number, number, input=f"text {number}") for number in range(20, 26))]
    store.insert(rows)

    seen: list[SpanRow] = []
    after = ""
    while page := store.read_spans(after, limit=limit):
        seen += page.rows
        after = page.next
        if not after:
            break

    assert sorted(seen, key=lambda row: (row.project, row.key)) == sorted(
        rows, key=lambda row: (row.project, row.key)
    )
    assert [row.project for row in store.read_spans(project="other").rows] == ["other"]


def test_a_position_of_somebody_else_is_refused(store: Store) -> None:
    with pytest.raises(SettingsError, match="position"):
        store.read_spans("here")


def test_a_revised_row_replaces_the_one_before_it_everywhere(fresh_store: Callable[[], Store]) -> None:
    first = call(1, "0.5", key="l:1", input="apple", tags=("old",), user="ann")
    last = call(1, "0.75", key="l:1", input="pear", start_ns=first.start_ns - 2 * 3600 * 10**9)
    only_the_last, both, at_once = fresh_store(), fresh_store(), fresh_store()
    only_the_last.insert([last])

    both.insert([first])
    done = both.insert([last])
    again = both.insert([last])
    at_once.insert([first, last])

    assert (done.new, again.new, again.known) == (1, 0, 1)
    assert everything(both) == everything(at_once) == everything(only_the_last)


def test_everything_moves_into_another_kind_of_store_and_back_and_is_proven_the_same(
    store: Store, tmp_path: Path
) -> None:
    rows = [*KEPT, *GONE, stamped(30, 2, input="x \ud800", usage=Usage(input_tokens=3, batch=True))]
    rows += [stamped(31, 6, end="interrupted", cost="0.000000000000000000000000000001")]
    with closing(open_store(tmp_path / "from.db")) as first, closing(open_store(tmp_path / "to.db")) as last:
        first.insert(
            rows, [numbers(1), dropped(3, 4), numbers(7)], [sighting(9, closed=True, about='{"a": 1}')]
        )
        scores = [
            Score(project=project, id="s", name="good", data_type="NUMERIC", value=0.1, at_ns=5, created_ns=4)
            for project in ("default", "of which nothing else is kept")
        ]
        first.put_scores(scores)

        there = copy(first, store)
        back = copy(store, last)

        assert (there.differences, back.differences) == ([], [])
        assert (there.new, back.new) == (len(rows), len(rows))
        assert (there.scores, back.scores) == (2, 2)
        assert [last.list_scores(ScoreFilter(project=each.project)) for each in scores] == [
            [each] for each in scores
        ]
        assert everything(last) == everything(first)


def test_a_copy_names_what_is_not_the_same(store: Store, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "from.db")) as first:
        first.insert([call(1)], [numbers(1)])
        store.insert([call(2, "0.000000000000000000000000000001"), stamped(3, 2)])
        store.put_scores(
            [Score(project="p", id="s", name="n", data_type="NUMERIC", value=1, at_ns=5, created_ns=4)]
        )

        found = copy(first, store).differences

    assert len(found) == 7
    assert any("0 scores here and 1 there" in each for each in found)
    assert any("costs of a model" in each for each in found)
    assert any("writers" in each for each in found)
