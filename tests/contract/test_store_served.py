"""A collector keeps its spans in whatever store it is told to, and answers from it."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path

from everyspan.server import running
from everyspan.store.reads import TraceFilter
from everyspan.store.store import open_store
from tests.collector_requests import TRACE_ID, body, generation, get, post, settled


def test_a_collector_stores_and_answers_from_the_store_that_it_is_given(
    store_url: str, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"

    with running(data_dir, store=store_url) as server:
        answers = [post(f"{server.url}/v1/traces", body(generation())) for _ in range(2)]
        settled(server.url)
        trace = get(f"{server.url}/api/v1/traces/{TRACE_ID}").json
        costs = get(f"{server.url}/api/v1/costs?by=model").json

    assert [answer.status for answer in answers] == [200, 200]
    assert [Decimal(span["cost"]) for span in trace["spans"]] == [Decimal("0.0035")]
    assert costs["total"]["calls"] == 1
    assert not (data_dir / "spans.db").exists()
    with closing(open_store(store_url)) as store:
        assert store.trace_totals(TraceFilter()).spans == 1
