"""`everyspan cost explain` against a collector: every sum is redone from what is stored with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.cli.commands import dispatch
from everyspan.server import Server, running
from tests.collector_requests import TRACE_ID, generation, row_of

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as opened:
        yield opened


@pytest.fixture
def explain(server: Server, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        exit_code = dispatch(["cost", "explain", TRACE_ID, *words, "--url", server.url])
        said = capsys.readouterr()
        return exit_code, said.out + said.err

    return run


def keep(server: Server, *sent: Any) -> None:
    server.store.insert([row_of(each) for each in sent])


def test_a_call_that_the_collector_priced_is_added_up_again(server: Server, explain: Run) -> None:
    keep(server, generation(**{"gen_ai.usage.cache_read.input_tokens": 600}))

    exit_code, said = explain()

    assert exit_code == 0
    assert "input_tokens 1,000, output_tokens 100, cache_read_tokens 600" in said
    assert "priced: as openai/gpt-4o, from genai-prices " in said
    assert "600 cache_read_tokens        x $0.00000125 = $0.00075000" in said
    assert "400 input_tokens             x $0.0000025 = $0.0010000" in said
    assert "= $0.0027500" in said


def test_the_lines_that_a_recorder_wrote_are_the_ones_that_are_shown(server: Server, explain: Run) -> None:
    recorded = {
        "everyspan.cost.state": "partial",
        "everyspan.cost.total": "0.002",
        "everyspan.cost.table": "a table of then",
        "everyspan.cost.unpriced": ["batch"],
        "everyspan.cost.lines": '[["input_tokens",1000,"0.000002","0.002"]]',
    }
    keep(server, generation(**recorded))

    exit_code, said = explain()

    assert exit_code == 0
    assert "from a table of then" in said
    assert "1,000 input_tokens             x $0.000002 = $0.002" in said
    assert "= $0.002  partial (less than what the call costs" in said
    assert "not priced: batch" in said


def test_lines_that_do_not_make_the_amount_are_called_wrong(server: Server, explain: Run) -> None:
    row = row_of(generation())
    server.store.insert([replace(row, cost=Decimal("0.0036"))])

    exit_code, said = explain()

    assert exit_code == 1
    assert "WRONG: the lines make $0.0035000, and $0.0036 is stored" in said


def test_what_has_no_amount_or_no_lines_says_why(server: Server, explain: Run) -> None:
    keep(
        server,
        generation(1, **{"gen_ai.request.model": "no-such-model"}),
        generation(2, **{"gen_ai.usage.cost": 0.07}),
        generation(3, **{"everyspan.cache_hit": True}),
        generation(4, **{"everyspan.unbilled": "an inner call reported the same usage"}),
    )

    exit_code, said = explain()

    assert exit_code == 0
    assert "= no amount  unpriced (no amount is known; that is not 0)" in said
    assert "not priced: the price table does not know this model" in said
    assert "stated: in gen_ai.usage.cost" in said
    assert "= $0  computed\n" in said
    assert "unbilled, so in no sum: an inner call reported the same usage" in said


def test_json_holds_the_same_and_one_span_can_be_chosen(server: Server, explain: Run) -> None:
    keep(server, generation(1), generation(2))

    exit_code, said = explain("--span", f"{2:016x}", "--json")

    (call,) = json.loads(said)
    assert exit_code == 0
    assert call["span_id"] == f"{2:016x}"
    assert call["lines"][0] == {
        "kind": "input_tokens",
        "tokens": 1000,
        "rate": "0.0000025",
        "amount": "0.0025000",
    }
    assert call["adds_up"] is True


def test_a_trace_without_the_call_is_an_error(server: Server, explain: Run) -> None:
    keep(server, generation(1))

    exit_code, said = explain("--span", "f" * 16)

    assert exit_code == 2
    assert "no model call with this id is in trace" in said
