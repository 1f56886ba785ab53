"""Words that many traces have, in SQLite: the newest are found without gathering all, and none is left out or twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everyspan.store import sqlite_traces
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import SpanRow
from everyspan.store.sqlite import SqliteStore
from everyspan.store.store import Store, open_store
from tests.store_rows import NOON_NS, call, span_id, trace_id

TRACES = 400
SECOND_NS = 10**9


def trace(number: int, place: int) -> list[SpanRow]:
    """A trace of two spans, of which the second has the words that only some have."""
    words = ["apple", *(["pear"] if number % 2 else []), *(["plum"] if number % 40 == 0 else [])]
    start_ns = NOON_NS + place * SECOND_NS
    root: dict[str, Any] = {"trace_id": trace_id(number), "start_ns": start_ns, "end_ns": start_ns + 5}
    user = f"user {number % 50}"
    return [
        call(2 * number, user=user, input="apple", **root),
        call(2 * number + 1, parent_id=span_id(2 * number), output=" ".join(words), **root),
    ]


@pytest.fixture(scope="module", params=["in order", "in any order", "all at once"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Traces that arrive in the order of their start, in another one, or that start in the same instant."""
    places = list(range(TRACES))
    if request.param == "in any order":
        random.Random(4).shuffle(places)
    rows = [
        row
        for number, place in enumerate(places)
        for row in trace(number, 0 if request.param == "all at once" else place)
    ]
    with closing(open_store(tmp_path_factory.mktemp("words") / "spans.db")) as store:
        store.insert(rows)
        yield store


@pytest.mark.parametrize(
    "wanted",
    [
        TraceFilter(text="apple"),
        TraceFilter(text="apple pear"),
        TraceFilter(text="pear", user="user 3"),
        TraceFilter(text="apple", user="user 4"),
        TraceFilter(text="plum", with_errors=True),
        TraceFilter(text="plum"),
        TraceFilter(text="apple", since_ns=NOON_NS + 5 * SECOND_NS, until_ns=NOON_NS + 300 * SECOND_NS),
        TraceFilter(text="pear", project="default", min_duration_ns=6),
    ],
    ids=lambda wanted: f"{wanted.text} {wanted.user} {wanted.since_ns}",
)
@pytest.mark.parametrize(("apart", "one_by_one"), [(50, 100), (1, 100), (1, 1)])
def test_pages_of_common_words_are_those_that_gathering_them_all_gives(
    filled: Store, wanted: TraceFilter, apart: int, one_by_one: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered = [each.trace_id for each in filled.list_traces(replace(wanted, limit=1000))]
    totals = filled.trace_totals(wanted)

    monkeypatch.setattr(sqlite_traces, "_FEW_HITS", 5)
    monkeypatch.setattr(sqlite_traces, "_APART", apart)
    monkeypatch.setattr(sqlite_traces, "_ONE_BY_ONE", one_by_one)

    assert _walked(filled, wanted) == gathered
    assert filled.trace_totals(wanted) == totals
    assert totals.traces == len(gathered)


def test_the_newest_with_common_words_are_found_without_gathering_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_traces, "_FEW_HITS", 5)
    asked: list[str] = []
    with closing(SqliteStore(tmp_path / "spans.db")) as store:
        store.insert([row for number in range(TRACES) for row in trace(number, number)])
        with store.reading() as connection:
            connection.sql.set_trace_callback(asked.append)
            found = sqlite_traces.list_traces(connection.sql, TraceFilter(text="apple pear", limit=10))
            connection.sql.set_trace_callback(None)

    assert [each.trace_id for each in found] == [trace_id(TRACES - 1 - 2 * number) for number in range(11)]
    # One look whether there are many, then at the stretch of the newest; none joined to the whole list.
    searches = [sql for sql in asked if "MATCH" in sql]
    assert [sql.startswith("SELECT DISTINCT rowid >> 24 FROM texts") for sql in searches] == [True] * 3
    assert ["LIMIT" in sql or "BETWEEN" in sql for sql in searches] == [True] * 3


def _walked(store: Store, wanted: TraceFilter) -> list[str]:
    found: list[str] = []
    before = ""
    while True:
        page = store.list_traces(replace(wanted, limit=7, before=before))
        found += [each.trace_id for each in page[:7]]
        if len(page) <= 7:
            return found
        before = page[6].cursor
