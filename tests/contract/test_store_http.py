"""The ClickHouse store over its real HTTP client: the same answers, and what becomes of a network that fails.

Runs where the embedded engine is, behind a small server that speaks ClickHouse's HTTP; see test_store_chdb.py.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from everyspan.errors import StoreError
from everyspan.store import clickhouse_address
from everyspan.store.reads import TraceFilter, WriterFilter
from everyspan.store.store import open_store
from tests.store_rows import call, everything, numbers, sighting, span, span_id, stamped, trace_id

pytestmark = pytest.mark.skipif(
    os.environ.get("EVERYSPAN_TEST_CLICKHOUSE") != "chdb",
    reason="needs the embedded engine in its own process",
)

ROWS = (
    stamped(1, 2, user="ann", input="apple \ud800", tags=("a", "b")),
    stamped(2, 4, trace_id=trace_id(1), parent_id=span_id(1), cost="0.000000000000000000000000000001"),
    stamped(3, 6, end="interrupted", status="error"),
    call(4, None, project="other", output="pear"),
    span(5, name="it's \\ a \n \x00 name"),
)
NUMBERS, SIGHTINGS = (numbers(1), numbers(3)), (sighting(9, about='{"pid": 1}'),)
_names = itertools.count(1)


@pytest.fixture
def server(clickhouse: Callable[[str], str]) -> Iterator[object]:
    from tests.clickhouse_front import front

    with front(Path(urlsplit(clickhouse("x")).path[1:])) as running:
        yield running


def over_http(server: object) -> str:
    return f"{server.address}/http_{os.getpid()}_{next(_names)}"  # type: ignore[attr-defined]


def expected(clickhouse: Callable[[str], str]) -> object:
    with closing(open_store(clickhouse(f"direct_{next(_names)}"))) as store:
        store.insert(ROWS, NUMBERS, SIGHTINGS)
        return everything(store)


def test_over_http_every_answer_is_the_same(server: object, clickhouse: Callable[[str], str]) -> None:
    with closing(open_store(over_http(server))) as store:
        done = store.insert(ROWS, NUMBERS, SIGHTINGS)

        assert done.new == len(ROWS)
        assert everything(store) == expected(clickhouse)


FAULTS = [("cut", 0), ("garble", 0), *itertools.product(["refuse", "lose"], (4, 10)), ("hang", 1)]
"""What goes wrong, and how many requests of the insert go well before it."""


@pytest.mark.parametrize(("fault", "well"), FAULTS)
def test_an_insert_that_fails_anywhere_is_complete_after_it_is_repeated(
    server: object, monkeypatch: pytest.MonkeyPatch, fault: str, well: int
) -> None:
    monkeypatch.setattr(clickhouse_address, "_ANSWER_S", 1)
    said = []
    with closing(open_store(over_http(server))) as store:
        server.faults.extend([*[""] * well, fault])  # type: ignore[attr-defined]
        for _ in range(3):
            try:
                store.insert(ROWS, NUMBERS, SIGHTINGS)
            except StoreError as error:
                said.append(str(error))
                server.released.set()  # type: ignore[attr-defined]
        server.faults.clear()  # type: ignore[attr-defined]

        (writer,) = store.writers(WriterFilter())
        assert store.insert(ROWS, NUMBERS, SIGHTINGS).new == 0
        assert store.trace_totals(TraceFilter()).spans == len(ROWS)
        assert {each.trace_id: each.spans for each in store.list_traces(TraceFilter())} == {
            trace_id(1): 2,
            trace_id(3): 1,
            trace_id(4): 1,
            trace_id(5): 1,
        }
        assert (writer.received, writer.begun, writer.spans) == (((1, 4), (6, 6)), 3, 3)
        assert [each for each in said if "secret-word" in each] == []


@pytest.mark.parametrize("fault", ["refuse", "cut"])
def test_a_question_without_a_whole_answer_is_an_error_and_the_next_one_is_answered(
    server: object, fault: str
) -> None:
    with closing(open_store(over_http(server))) as store:
        store.insert(ROWS)
        server.faults.append(fault)  # type: ignore[attr-defined]

        with pytest.raises(StoreError, match="could not read"):
            store.list_traces(TraceFilter())

        assert len(store.list_traces(TraceFilter())) == 4


def test_rows_are_added_so_that_they_are_written_when_the_answer_comes(server: object) -> None:
    with closing(open_store(over_http(server))) as store:
        store.insert(ROWS)

    added = [
        said
        for said in server.requests  # type: ignore[attr-defined]
        if said["statement"].startswith("INSERT INTO") and "insert_deduplication_token" in said
    ]
    # Places, spans, the summaries of two projects, the accounts of writers.
    assert [(said["async_insert"], said["wait_for_async_insert"]) for said in added] == [("1", "1")] * 5
    assert len({said["insert_deduplication_token"] for said in added}) == 5


def test_a_server_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:9/spans") as caught:
        open_store("clickhouse://someone:secret-word@127.0.0.1:9/spans")

    assert "secret-word" not in str(caught.value)
