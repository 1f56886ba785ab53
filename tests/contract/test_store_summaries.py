"""What a trace comes to follows its spans: when they come late, move, go, or were there before summaries were kept."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from decimal import Decimal

import clickhouse_connect
import pytest

from everyspan.store import clickhouse_traces
from everyspan.store.clickhouse_address import Address
from everyspan.store.reads import TraceFilter
from everyspan.store.store import Store, open_store
from everyspan.store.upkeep import Deletion
from tests.contract.conftest import CLICKHOUSE
from tests.store_rows import NOON_NS, call, everything, span, span_id, trace_id

HOUR_NS = 3600 * 10**9


def traces(store: Store, **wanted: object) -> list[tuple[str, int, int, Decimal | None]]:
    return [
        (each.name, each.started_ns, each.spans, each.cost)
        for each in store.list_traces(TraceFilter(project="default", **wanted))  # type: ignore[arg-type]
    ]


def test_a_trace_whose_first_span_comes_last_stands_in_the_list_once_where_it_begins(store: Store) -> None:
    late = call(2, trace_id=trace_id(1), parent_id=span_id(1), name="answer")
    early = span(1, start_ns=late.start_ns - 5 * HOUR_NS, name="root")
    between = span(3, start_ns=late.start_ns - 2 * HOUR_NS)

    store.insert([late])
    store.insert([between])
    store.insert([early])

    assert traces(store) == [
        ("span 3", between.start_ns, 1, None),
        ("root", early.start_ns, 2, Decimal("0.25")),
    ]
    assert traces(store, since_ns=early.start_ns + 1) == [("span 3", between.start_ns, 1, None)]
    assert traces(store, until_ns=early.start_ns + 1) == [("root", early.start_ns, 2, Decimal("0.25"))]


def test_a_trace_over_many_days_is_read_whole_from_any_of_its_spans(store: Store) -> None:
    days = [
        call(n, trace_id=trace_id(1), start_ns=NOON_NS + n * 24 * HOUR_NS, input="apple") for n in range(5)
    ]
    for row in (days[3], days[0], days[4], days[1], days[2]):
        store.insert([row])

    found = store.read_trace(trace_id(1), project="default")

    assert found is not None
    assert (found[0].spans, found[0].cost) == (5, Decimal("1.25"))
    assert found[1] == days
    assert store.list_traces(TraceFilter(text="apple")) == [found[0]]


def test_a_call_that_turns_out_to_be_a_copy_changes_what_its_trace_comes_to(store: Store) -> None:
    answer = "chatcmpl-the-same-answer-of-the-provider"
    outer = call(2, response_id=answer, span_id=span_id(2))
    inner = call(1, response_id=answer, trace_id=trace_id(9), parent_id=span_id(2), key="h:inner")
    store.insert([outer])
    before = traces(store)

    store.insert([inner])

    listed = store.list_traces(TraceFilter())
    assert before == [("span 2", outer.start_ns, 1, Decimal("0.25"))]
    assert sorted(str(dict(each.states)) for each in listed) == ["{'computed': 1}", "{'unbilled': 1}"]
    for each in listed:
        found = store.read_trace(each.trace_id, project="default")
        assert found is not None
        assert found[0] == each


def test_a_deleted_trace_leaves_nothing_in_lists_and_may_come_again(store: Store) -> None:
    rows = [call(1), call(2, trace_id=trace_id(1), start_ns=NOON_NS + 3 * HOUR_NS), call(3)]
    store.insert(rows)

    gone = store.delete(Deletion(project="default", trace_id=trace_id(1)))

    assert (gone.traces, gone.spans) == (1, 2)
    assert [each.trace_id for each in store.list_traces(TraceFilter())] == [trace_id(3)]
    store.insert(rows[1:])
    assert traces(store) == [
        ("span 2", NOON_NS + 3 * HOUR_NS, 1, Decimal("0.25")),
        ("span 3", rows[2].start_ns, 1, Decimal("0.25")),
    ]


@pytest.mark.skipif(not CLICKHOUSE, reason="only there a list looks through its traces in stretches")
def test_a_list_in_several_stretches_has_the_same_pages(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        span(n, start_ns=NOON_NS + n % 7 * HOUR_NS, user="ann" if n % 5 == 0 else "", input=f"word{n % 3}")
        for n in range(60)
    ]
    store.insert(rows)

    def pages(**narrow: str) -> list[str]:
        seen, before = [], ""
        while True:
            found = store.list_traces(TraceFilter(limit=4, before=before, **narrow))  # type: ignore[arg-type]
            seen += [each.trace_id for each in found[:4]]
            if len(found) < 5:
                return seen
            before = found[3].cursor

    asked: tuple[dict[str, str], ...] = ({}, {"user": "ann"}, {"text": "word1"}, {"user": "bob"})
    whole = [pages(**narrow) for narrow in asked]
    monkeypatch.setattr(clickhouse_traces, "_FIRST_LOOK", 3)

    assert [pages(**narrow) for narrow in asked] == whole
    assert [len(found) for found in whole] == [60, 12, 20, 0]


@pytest.mark.skipif(CLICKHOUSE != "chdb", reason="takes tables away from under a store")
def test_a_store_from_before_summaries_is_brought_up_with_all_it_holds(store_url: str) -> None:
    rows = [
        call(1, user="ann", tags=("b", "a"), input="apple"),
        call(2, trace_id=trace_id(1), start_ns=NOON_NS + 2 * HOUR_NS, response_id="resp_0123456789abcdef"),
        call(3, None, project="other", key="h:3"),
        span(4, trace_name="named", status="error", session="s"),
    ]
    url = f"{store_url}_old"
    with closing(open_store(url)) as store:
        store.insert(rows)
        expected = everything(store)
    address = Address.of(url)
    with closing(
        clickhouse_connect.get_client(**address.connection(), database=address.layout.database)
    ) as old:
        for statement in (
            "DROP TABLE traces",
            "DROP TABLE places",
            "ALTER TABLE spans DROP INDEX spans_by_words",
            "ALTER TABLE schema_steps DELETE WHERE version > 5 SETTINGS mutations_sync = 2",
        ):
            old.command(statement)

    with closing(open_store(url)) as store:
        assert everything(store) == expected
        assert store.insert(rows).new == 0
        copy = replace(rows[1], key="h:copy", trace_id=trace_id(9), span_id=span_id(9))
        store.insert([copy])
        assert store.trace_totals(TraceFilter()).states["unbilled"] == 1
