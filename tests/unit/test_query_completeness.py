"""The audit names every number that is not here, and says complete only when none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyspan.model.ids import Seq, WriterId
from everyspan.query.completeness import Audit, Verdict, WriterAudit, WriterFilter, account, audit
from everyspan.store.ranges import merge
from everyspan.store.reads import Dropped, WriterState
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.store import Store, open_store
from tests.store_rows import WRITER, dropped, numbers, sighting, span, stamped

ALL_HERE: tuple[list[SpanRow], list[Numbers]] = ([stamped(1, 2), stamped(2, 4)], [numbers(1), numbers(3)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with closing(open_store(tmp_path / "spans.db")) as opened:
        yield opened


def only_writer(report: Audit) -> WriterAudit:
    (one,) = report.writers
    return one


def test_a_finished_writer_whose_numbers_are_all_here_is_complete(store: Store) -> None:
    store.insert(*ALL_HERE, [sighting(4, closed=True)])

    report = audit(store)

    assert (report.verdict, only_writer(report).verdict) == (Verdict.COMPLETE, Verdict.COMPLETE)
    assert (report.spans, report.received, report.missing) == (2, 4, 0)
    assert report.sentence == "complete: 2 spans of 1 writer stored"


@pytest.mark.parametrize("said_by", [sighting(4, closed=True), numbers(4, reason="close")])
def test_either_way_of_saying_so_closes_a_writer(store: Store, said_by: Sighting | Numbers) -> None:
    spans, begins = ALL_HERE
    more = [said_by] if isinstance(said_by, Numbers) else []
    seen = [said_by] if isinstance(said_by, Sighting) else []

    store.insert(spans, begins + more, seen)

    assert audit(store).verdict is Verdict.COMPLETE


def test_a_writer_that_lives_is_open_although_all_is_here(store: Store) -> None:
    store.insert(*ALL_HERE, [sighting(4)])

    assert audit(store).verdict is Verdict.OPEN


def test_a_begun_call_without_an_end_is_open_also_when_its_writer_is_finished(store: Store) -> None:
    store.insert([stamped(1, 3)], [numbers(1), numbers(2)], [sighting(3, closed=True)])

    report = audit(store)

    assert (report.verdict, report.open_calls) == (Verdict.OPEN, 1)
    assert "1 call without an end" in report.sentence


def test_a_gap_is_missing_with_its_exact_numbers(store: Store) -> None:
    store.insert([stamped(1, 2), stamped(2, 9)], [numbers(5)], [sighting(12, closed=True)])

    report = audit(store)

    assert report.verdict is Verdict.MISSING
    assert only_writer(report).missing == ((1, 1), (3, 4), (6, 8))
    assert only_writer(report).pending == ((10, 12),)
    assert (report.missing, report.pending) == (6, 3)


def test_a_gap_that_fills_later_is_forgotten(store: Store) -> None:
    store.insert([stamped(2, 4)], [numbers(1)], [sighting(4, closed=True)])
    before = audit(store).verdict

    store.insert([stamped(1, 2)], [numbers(3)])

    assert (before, audit(store).verdict) == (Verdict.MISSING, Verdict.COMPLETE)


def test_what_the_writer_has_spooled_and_not_sent_is_pending(store: Store) -> None:
    store.insert(*ALL_HERE, [sighting(10)])

    report = audit(store)

    assert (report.verdict, only_writer(report).pending) == (Verdict.PENDING, ((5, 10),))


def test_a_request_in_the_inbox_is_pending_although_every_writer_is_complete(store: Store) -> None:
    store.insert(*ALL_HERE, [sighting(4, closed=True)])

    report = audit(store, inbox_pending=2)

    assert (report.verdict, only_writer(report).verdict) == (Verdict.PENDING, Verdict.COMPLETE)
    assert "2 requests in the inbox" in report.sentence


def test_dropped_spans_are_explained_and_never_complete(store: Store) -> None:
    spans, begins = ALL_HERE
    # The writer tells of 3 to 6, but 3 and 4 arrived after all.
    store.insert(spans, [*begins, dropped(3, 6), dropped(5, 5, "too large")], [sighting(6, closed=True)])

    report = audit(store)

    assert report.verdict is Verdict.DROPPED
    assert only_writer(report).dropped == (Dropped(reason="the disk is full", first=Seq(5), last=Seq(6)),)
    assert (report.dropped, report.missing, report.open_calls) == (2, 0, 0)


def test_an_interrupted_span_stands_for_begin_and_end_of_its_call(store: Store) -> None:
    spans, begins = ALL_HERE
    store.insert(
        [*spans, stamped(3, 5, end="interrupted")], [*begins, numbers(5)], [sighting(5, closed=True)]
    )

    report = audit(store)

    assert (report.verdict, report.interrupted, report.open_calls) == (Verdict.COMPLETE, 1, 0)


def test_spans_without_a_stamp_can_not_be_proven_and_are_counted(store: Store) -> None:
    store.insert([span(1), span(2, end="interrupted")])

    report = audit(store)

    assert (report.verdict, report.unproven, report.interrupted) == (Verdict.UNPROVEN, 2, 1)
    assert "nothing can prove" in report.sentence


def test_the_worst_writer_decides_and_a_filter_asks_about_one(store: Store) -> None:
    other = WriterId("0000043-bbbbbbbbbbbb")
    store.insert([stamped(5, 7, writer=other, service="web")], [], [sighting(7, writer=other, closed=True)])
    store.insert([*ALL_HERE[0], span(9)], ALL_HERE[1], [sighting(4, closed=True)])

    assert audit(store).verdict is Verdict.MISSING
    assert audit(store, WriterFilter(service="web")).verdict is Verdict.MISSING
    assert audit(store, WriterFilter(writer=WRITER)).verdict is Verdict.COMPLETE
    assert audit(store, WriterFilter(writer=WRITER)).unnumbered == ()
    assert audit(store, WriterFilter(project="empty")).verdict is Verdict.UNPROVEN


few = st.sets(st.integers(1, 25), max_size=25)


@given(received=few, lost=few, spooled_to=st.integers(0, 30), closed=st.booleans())
def test_every_number_given_out_has_exactly_one_fate(
    received: set[int], lost: set[int], spooled_to: int, closed: bool
) -> None:
    state = WriterState(
        project="default",
        writer=WRITER,
        received=tuple(merge((n, n) for n in received)),
        dropped=tuple(Dropped(reason=f"reason {n % 2}", first=Seq(n), last=Seq(n)) for n in sorted(lost)),
        spooled_to=spooled_to,
        closed=closed,
    )

    found = account(state)

    fates = [
        *received,
        *(n for one in found.dropped for n in range(one.first, one.last + 1)),
        *(
            n
            for ranges in (found.missing, found.pending)
            for first, last in ranges
            for n in range(first, last + 1)
        ),
    ]
    assert sorted(fates) == list(range(1, max([spooled_to, *received, *lost]) + 1))
    assert (found.verdict is Verdict.COMPLETE) == (closed and set(fates) == received)
