"""Repricing: the recorded cost never changes, a new one stands beside it, and either can be asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from everyspan.cli.commands import dispatch
from everyspan.cost.price import shipped_table
from everyspan.cost.table import Table
from everyspan.errors import SettingsError
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.query.costs import CostBy, CostFilter, costs
from everyspan.query.repricing import reprice
from everyspan.query.sum import sum_of
from everyspan.query.traces import TraceFilter, list_traces, outline, span, totals, trace
from everyspan.reading.client import Client
from everyspan.server import running
from everyspan.store.copying import copy
from everyspan.store.reads import Prices
from everyspan.store.repricing import Repricer, repricer
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store, open_store
from everyspan.store.upkeep import Deletion
from tests.collector_requests import generation, get, row_of
from tests.repriced import recorded, run
from tests.store_rows import NOON_NS, trace_id

STANDARD = Usage(input_tokens=1_000, output_tokens=100, service_tier="default")
LATEST = CostFilter(prices=Prices.LATEST)
DAY_NS = 86_400 * 10**9


def amounts(store: Store, by: CostBy, wanted: CostFilter) -> dict[str, tuple[int, Decimal | None]]:
    return {each.value: (each.calls, each.cost) for each in costs(store, by=by, wanted=wanted).groups}


def test_a_dry_run_shows_the_difference_by_day_and_model_and_writes_nothing(store: Store) -> None:
    store.insert(
        [
            recorded(1, "0.003"),
            recorded(2, None),
            recorded(3, "0.0035"),
            recorded(4, "0.004", start_ns=NOON_NS + DAY_NS, end_ns=NOON_NS + DAY_NS),
        ]
    )

    outcome = run(store, write=False)

    first, second = outcome.differences
    assert (first.model, first.calls, first.newly_priced) == ("gpt-4o", 2, 1)
    assert (first.before, first.after, first.difference) == (
        Decimal("0.003"),
        Decimal("0.007"),
        Decimal("0.004"),
    )
    assert (second.calls, second.difference) == (1, Decimal("-0.0005"))
    assert (outcome.looked_at, outcome.unchanged, outcome.version) == (4, 1, None)
    assert amounts(store, CostBy.MODEL, LATEST) == amounts(store, CostBy.MODEL, CostFilter())


def test_new_costs_stand_beside_the_recorded_ones(store: Store) -> None:
    store.insert(
        [recorded(1, "0.003"), recorded(2, None), recorded(3, "0.0035"), recorded(4, "9", unbilled="twice")]
    )
    before = amounts(store, CostBy.MODEL, CostFilter())

    outcome = run(store)

    assert outcome.version == 1
    assert amounts(store, CostBy.MODEL, CostFilter()) == before == {"gpt-4o": (3, Decimal("0.0065"))}
    assert amounts(store, CostBy.MODEL, LATEST) == {"gpt-4o": (3, Decimal("0.0105"))}
    assert amounts(store, CostBy.STATE, CostFilter())["unpriced"] == (1, None)
    assert amounts(store, CostBy.STATE, LATEST) == {"computed": (3, Decimal("0.0105")), "unbilled": (0, None)}


@pytest.mark.parametrize("by", list(CostBy))
@pytest.mark.parametrize("since_ns", [None, NOON_NS + 2_500_000])
def test_every_question_agrees_with_a_store_that_had_the_right_costs_from_the_start(
    store: Store, tmp_path: Path, by: CostBy, since_ns: int | None
) -> None:
    def rows(wrong: str | None) -> list[SpanRow]:
        return [
            recorded(1, wrong, tags=("a", "b"), user="u1"),
            recorded(2, wrong or "0.0035", tags=("a",), session="s", usage=STANDARD),
            recorded(3, "0.0035", user="u2", environment="test"),
            recorded(4, wrong, start_ns=NOON_NS + DAY_NS, end_ns=NOON_NS + DAY_NS),
        ]

    store.insert(rows(None))
    run(store)
    with closing(open_store(tmp_path / "right.db")) as right:
        right.insert(rows("0.0035"))
        wanted = CostFilter(since_ns=since_ns, prices=Prices.LATEST)

        expected = costs(right, by=by, wanted=replace(wanted, prices=Prices.RECORDED))

        assert costs(store, by=by, wanted=wanted) == expected


def test_the_newest_of_several_versions_counts(store: Store) -> None:
    store.insert([recorded(1, "0.003")])
    cheaper = _Halved(repricer(store))

    reprice(cheaper, Table.load(), CostFilter(), write=True)
    halved = amounts(store, CostBy.MODEL, LATEST)
    run(store)

    assert halved == {"gpt-4o": (1, Decimal("0.00175"))}
    assert amounts(store, CostBy.MODEL, LATEST) == {"gpt-4o": (1, Decimal("0.0035"))}
    assert [(each.version, each.calls) for each in repricer(store).versions()] == [(1, 1), (2, 1)]


def test_repricing_twice_changes_nothing_more(store: Store) -> None:
    store.insert([recorded(1, "0.003")])

    run(store)
    again = run(store)

    assert (again.changed, again.unchanged, again.version) == (0, 1, None)


def test_what_was_stated_or_has_no_price_now_keeps_its_cost(store: Store) -> None:
    store.insert(
        [
            recorded(1, "7", cost_state=CostState.STATED),
            recorded(2, "0.5", model="no-such-model", provider="nobody"),
        ]
    )

    outcome = run(store)

    assert (outcome.looked_at, outcome.without_price, outcome.changed) == (1, 1, 0)
    assert amounts(store, CostBy.MODEL, LATEST) == amounts(store, CostBy.MODEL, CostFilter())


def test_a_cache_hit_stays_free_and_an_estimate_stays_one(store: Store) -> None:
    hit = row_of(generation(1, **{"everyspan.cache_hit": True}))
    guess = replace(row_of(generation(2, **{"everyspan.usage.source": "estimated"})), cost=Decimal(1))
    store.insert([hit, guess])

    run(store)

    assert amounts(store, CostBy.STATE, LATEST) == {
        "computed": (1, Decimal(0)),
        "estimated": (1, Decimal("0.0035")),
    }


def test_a_version_that_was_never_finished_is_read_by_nobody(store: Store) -> None:
    store.insert([recorded(1, "0.003")])
    dying = _DiesBeforeTheEnd(repricer(store))

    with pytest.raises(KeyboardInterrupt):
        reprice(dying, Table.load(), CostFilter(), write=True)

    assert amounts(store, CostBy.MODEL, LATEST) == {"gpt-4o": (1, Decimal("0.003"))}
    assert repricer(store).versions() == []


def test_the_command_shows_writes_and_the_api_gives_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path) as server:
        server.store.insert([replace(row_of(generation(1)), cost=Decimal("0.003"))])
        words = ["reprice", "--since", "2025-11-01", "--model", "gpt-4o", "--data-dir", str(tmp_path)]

        tried = dispatch([*words, "--dry-run"])
        shown = capsys.readouterr().out
        done = dispatch(words)
        written = capsys.readouterr().out
        totals = {
            prices: get(f"{server.url}/api/v1/costs?prices={prices}").json["total"]["cost"]
            for prices in ("recorded", "latest")
        }

    assert (tried, done) == (0, 0)
    assert "+0.000500" in shown
    assert "written" not in shown
    assert "written as version 1" in written
    assert totals == {"recorded": "0.003", "latest": "0.0035000"}


def test_nothing_is_repriced_under_a_contract_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(tmp_path / "spans.db").close()
    monkeypatch.setenv("EVERYSPAN_PRICES", str(tmp_path / "no.toml"))
    shipped_table.cache_clear()

    exit_code = dispatch(["reprice", "--data-dir", str(tmp_path)])

    shipped_table.cache_clear()
    assert exit_code == 2
    assert "nothing was repriced" in capsys.readouterr().err


class _Wrapped:
    """A repricer with something else about it."""

    def __init__(self, inner: Repricer) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self._inner, name)
        return found


class _Halved(_Wrapped):
    def keep(self, version: int, new: Any) -> None:
        self._inner.keep(version, [replace(each, cost=each.cost / 2) for each in new])


class _DiesBeforeTheEnd(_Wrapped):
    def finish(self, version: int) -> None:
        raise KeyboardInterrupt


TWO_CALLS = [
    recorded(1, "0.003", tags=("a",), user="u1"),
    recorded(2, None, trace_id=trace_id(1), parent_id=None),
    recorded(3, "0.0035", trace_id=trace_id(3)),
    recorded(4, "9", trace_id=trace_id(1), unbilled="twice"),
]


def test_the_list_of_traces_and_its_totals_are_there_at_both_prices(store: Store) -> None:
    store.insert(TWO_CALLS)
    run(store)

    def asked(prices: Prices) -> tuple[dict[str, Decimal | None], Decimal | None, dict[str, int]]:
        page = list_traces(store, TraceFilter(), prices=prices)
        all_of_them = totals(store, TraceFilter(), prices=prices)
        return {each.trace_id: each.cost for each in page.traces}, all_of_them.cost, dict(all_of_them.states)

    assert asked(Prices.RECORDED) == (
        {trace_id(1): Decimal("0.003"), trace_id(3): Decimal("0.0035")},
        Decimal("0.0065"),
        {"computed": 2, "unbilled": 1, "unpriced": 1},
    )
    assert asked(Prices.LATEST) == (
        {trace_id(1): Decimal("0.007"), trace_id(3): Decimal("0.0035")},
        Decimal("0.0105"),
        {"computed": 3, "unbilled": 1},
    )


def test_a_trace_and_its_spans_are_there_at_both_prices_and_each_sum_can_be_redone(store: Store) -> None:
    store.insert(TWO_CALLS)
    run(store)

    before = trace(store, trace_id(1))
    after = trace(store, trace_id(1), prices=Prices.LATEST)

    assert (before.summary.cost, after.summary.cost) == (Decimal("0.003"), Decimal("0.007"))
    new = {each.row.key: each.row for each in after.spans}
    assert [new[row.key].cost for row in TWO_CALLS[:2]] == [Decimal("0.0035")] * 2
    assert new[TWO_CALLS[3].key].cost == Decimal(9)
    assert [each.row.cost for each in before.spans] == [Decimal("0.003"), None, Decimal(9)]
    one = span(store, trace_id(1), TWO_CALLS[0].key, prices=Prices.LATEST)
    assert one == new[TWO_CALLS[0].key]
    assert [(line.kind, line.amount) for line in sum_of(one)] == [
        ("input_tokens", Decimal("0.0025")),
        ("output_tokens", Decimal("0.001")),
    ]
    assert json.loads(one.attributes)["attributes"]["everyspan.cost.recorded"] == "0.003"
    summary, drawn = outline(store, trace_id(1), prices=Prices.LATEST)
    assert summary == after.summary
    assert [Decimal(each.cost or 0) for each in drawn] == [each.row.cost for each in after.spans]


def test_limits_of_cost_are_about_the_recorded_ones(store: Store) -> None:
    with pytest.raises(SettingsError, match="about the recorded costs"):
        list_traces(store, TraceFilter(min_cost=Decimal(1)), prices=Prices.LATEST)


def test_repriced_costs_go_with_their_trace(store: Store) -> None:
    store.insert(TWO_CALLS)
    run(store)

    store.delete(Deletion(project="default", trace_id=trace_id(1)))

    assert [list(made) for made in repricer(store).kept(1)] == []
    assert totals(store, TraceFilter(), prices=Prices.LATEST).cost == Decimal("0.0035")
    store.insert(TWO_CALLS)
    assert trace(store, trace_id(1), prices=Prices.LATEST).summary.cost == Decimal("0.003")


@pytest.mark.parametrize("there", ["sqlite", "here"])
def test_a_copy_has_the_repriced_costs_too_and_again_adds_none(
    store: Store, fresh_store: Callable[[], Store], tmp_path: Path, there: str
) -> None:
    store.insert(TWO_CALLS)
    reprice(_Halved(repricer(store)), Table.load(), CostFilter(), write=True)
    run(store)
    with ExitStack() as opened:
        other = fresh_store()
        if there == "sqlite":
            other = opened.enter_context(closing(open_store(tmp_path / "other.db")))

        first, again = copy(store, other), copy(store, other)

        assert (first.repriced, first.differences) == (4, [])
        assert (again.repriced, again.differences) == (0, [])
        assert amounts(other, CostBy.USER, LATEST) == amounts(store, CostBy.USER, LATEST)
        back = copy(other, fresh_store())
        assert (back.repriced, back.differences) == (4, [])


def test_the_api_the_client_and_the_commands_answer_at_both_prices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path) as server:
        server.store.insert([replace(row_of(generation(1)), cost=Decimal("0.003"), user="ann")])
        run(server.store)
        client = Client(server.url)

        def amounts_at(prices: str) -> list[str]:
            (listed,) = client.traces(prices=prices)
            view = client.trace(listed.trace_id, prices=prices)
            (exported,) = client.spans(prices=prices)
            skeleton = get(f"{server.url}/api/v1/traces/{listed.trace_id}/skeleton?prices={prices}").json
            key = quote(exported.key, safe="")
            single = get(f"{server.url}/api/v1/traces/{listed.trace_id}/spans/{key}?prices={prices}").json
            asked = [listed.cost, view.summary.cost, exported.cost, client.totals(prices=prices).cost]
            asked += [each.totals.cost for each in client.groups("user", prices=prices)]
            drawn = skeleton["spans"][0][skeleton["fields"].index("cost")]
            found = [str(Decimal(str(each)).normalize()) for each in (*asked, drawn, single["cost"])]
            for words in (
                ["traces"],
                ["trace", listed.trace_id],
                ["cost", "explain", listed.trace_id],
                ["export"],
            ):
                # The lines of the recorded cost do not make the amount that this test gave it: `explain` says so.
                assert dispatch([*words, "--prices", prices, "--url", server.url]) in (0, 1)
                said = capsys.readouterr().out
                stored = "$0.003 is stored" if words[0] == "cost" and prices == "recorded" else asked[0]
                assert str(stored) in said, said
            return found

        assert set(amounts_at("recorded")) == {"0.003"}
        assert set(amounts_at("latest")) == {"0.0035"}


def test_the_command_reprices_a_store_that_is_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(open_store(tmp_path / "elsewhere.db")) as other:
        other.insert([recorded(1, "0.003")])

    done = dispatch(["reprice", "--store", f"sqlite:///{tmp_path / 'elsewhere.db'}", "--json"])

    assert (done, json.loads(capsys.readouterr().out)["version"]) == (0, 1)


def test_costs_are_divided_and_narrowed_by_the_tier_that_was_billed(store: Store) -> None:
    flex = Usage(input_tokens=1_000, output_tokens=100, service_tier="flex")
    store.insert(
        [
            recorded(1, "1", usage=replace(flex, service_tier="default")),
            recorded(2, "2"),
            recorded(3, "4", usage=flex, tags=("a", "b")),
            recorded(4, "8", usage=replace(flex, service_tier=None, batch=True)),
        ]
    )

    assert amounts(store, CostBy.TIER, CostFilter()) == {
        "batch": (1, Decimal(8)),
        "flex": (1, Decimal(4)),
        "standard": (2, Decimal(3)),
    }
    assert amounts(store, CostBy.MODEL, CostFilter(tier="flex")) == {"gpt-4o": (1, Decimal(4))}
    assert amounts(store, CostBy.TAG, CostFilter(tier="flex"))["b"] == (1, Decimal(4))
    assert amounts(store, CostBy.MODEL, replace(LATEST, tier="standard")) == {"gpt-4o": (2, Decimal(3))}
