"""`everyspan reconcile` between a collector's calls and the reports that a provider gives."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from everyspan.cli.commands import dispatch
from everyspan.cost.statement import Biller, Item, read_statement
from everyspan.errors import PricesError
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.server import Server, running
from tests.store_rows import NOON_NS, call

DAY = datetime.fromtimestamp(NOON_NS // 10**9, UTC).date()
MIDNIGHT = int(datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC).timestamp())
Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A collector with two calls of gpt-4o: together 2,000 tokens in, 200 out, $0.007."""
    with running(tmp_path / "data") as opened:
        usage = Usage(input_tokens=1_000, output_tokens=100)
        opened.store.insert(
            [call(number, "0.0035", model="gpt-4o-2024-08-06", usage=usage) for number in (1, 2)]
        )
        yield opened


@pytest.fixture
def reconcile(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*reports: object, words: tuple[str, ...] = (), provider: str = "openai") -> tuple[int, Any]:
        files = []
        for number, report in enumerate(reports):
            file = tmp_path / f"report{number}"
            file.write_text(report if isinstance(report, str) else json.dumps(report), encoding="utf-8")
            files.append(str(file))
        exit_code = dispatch(
            ["reconcile", *files, "--provider", provider, "--url", server.url, "--json", *words]
        )
        said = capsys.readouterr()
        return exit_code, json.loads(said.out) if said.out else said.err

    return run


def openai_usage(**changes: Any) -> dict[str, Any]:
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 2_000,
        "input_cached_tokens": 500,
        "output_tokens": 200,
        "num_model_requests": 2,
        "project_id": "proj_1",
        "model": "gpt-4o-2024-08-06",
        "batch": False,
    }
    bucket = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + 86_400, "results": [{**result, **changes}]}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def openai_costs(*items: tuple[str | None, str]) -> dict[str, Any]:
    results = [
        {"amount": {"value": float(amount), "currency": "usd"}, "line_item": item, "project_id": "proj_1"}
        for item, amount in items
    ]
    return {"data": [{"start_time": MIDNIGHT, "results": results}]}


def test_a_bill_that_agrees_ends_with_0(reconcile: Run) -> None:
    costs = openai_costs(("gpt-4o-2024-08-06, input", "0.005"), ("gpt-4o-2024-08-06, output", "0.002"))

    exit_code, said = reconcile(openai_usage(), costs)

    (row,) = said["rows"]
    assert exit_code == 0
    assert (row["day"], row["model"], row["difference"], row["likely"]) == (
        DAY.isoformat(),
        "gpt-4o",
        "0.0000",
        "",
    )
    assert row["recorded"]["calls"] == row["billed"]["calls"] == 2


def test_calls_that_were_not_recorded_are_named_and_end_with_1(reconcile: Run) -> None:
    exit_code, said = reconcile(openai_usage(input_tokens=4_000, num_model_requests=4))

    (row,) = said["rows"]
    assert exit_code == 1
    assert row["likely"].startswith("more was billed than recorded")
    assert Decimal(said["per_cent_apart"]["input_tokens"]) == 50


def test_a_model_that_nobody_recorded_is_a_row_of_its_own(reconcile: Run) -> None:
    exit_code, said = reconcile(openai_usage(), openai_usage(model="o3-2025-04-16"))

    likely = {row["model"]: row["likely"] for row in said["rows"]}
    assert exit_code == 1
    assert likely["gpt-4o"] == ""
    assert likely["o3"].startswith("nothing was recorded")


def test_money_that_is_not_divided_is_compared_for_the_day(reconcile: Run) -> None:
    exit_code, said = reconcile(openai_usage(), openai_costs((None, "0.0035")))

    money = next(row for row in said["rows"] if row["model"] == "(all models)")
    assert exit_code == 1
    assert money["difference"] == "-0.0035"
    assert [row["likely"] for row in said["rows"] if row["model"] == "gpt-4o"] == [""]


def test_the_same_tokens_at_another_price_name_the_tier(reconcile: Run) -> None:
    costs = openai_costs(("gpt-4o-2024-08-06, input", "0.0025"), ("gpt-4o-2024-08-06, output", "0.001"))

    _, said = reconcile(openai_usage(batch=True), costs)

    assert said["rows"][0]["likely"] == "the same tokens at another price: batch"


def test_calls_without_a_price_are_the_likely_reason(server: Server, reconcile: Run) -> None:
    unpriced = call(3, None, model="gpt-4o-2024-08-06", usage=Usage(input_tokens=1_000, output_tokens=100))
    server.store.insert([replace(unpriced, cost_state=CostState.UNPRICED)])
    usage = openai_usage(input_tokens=3_000, output_tokens=300, num_model_requests=3)

    _, said = reconcile(usage, openai_costs(("gpt-4o-2024-08-06, input", "0.0105")))

    assert said["rows"][0]["likely"] == "1 calls unpriced"


def test_a_tolerance_is_allowed_and_an_account_can_be_chosen(reconcile: Run) -> None:
    other = openai_usage(project_id="proj_2", input_tokens=9_999)

    close, _ = reconcile(openai_usage(input_tokens=2_010), words=("--tolerance", "1%"))
    strict, _ = reconcile(openai_usage(input_tokens=2_010), words=("--tolerance", "0.1"))
    chosen, _ = reconcile(openai_usage(), other, words=("--account", "proj_1"))

    assert (close, strict, chosen) == (0, 1, 0)


def test_a_csv_with_the_same_columns_says_the_same(reconcile: Run) -> None:
    csv = (
        "start_time,model,num_model_requests,input_tokens,output_tokens,amount_value,amount_currency\n"
        f"{MIDNIGHT},gpt-4o-2024-08-06,2,2000,200,0.007,usd\n"
    )

    exit_code, said = reconcile(csv)

    assert exit_code == 0
    assert said["rows"][0]["billed"]["cost"] == "0.007"


def test_anthropics_reports_count_caches_beside_the_input_and_money_in_cents() -> None:
    usage = {
        "uncached_input_tokens": 10,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "cache_read_input_tokens": 1_000,
        "output_tokens": 5,
        "model": "claude-haiku-4-5-20251001",
        "service_tier": "batch",
        "workspace_id": "wrkspc_1",
        "api_key_id": None,
    }
    cost = {
        "currency": "USD",
        "amount": "123.45",
        "model": "claude-haiku-4-5-20251001",
        "description": "tokens",
    }
    page = {"data": [{"starting_at": "2026-11-18T00:00:00Z", "results": [usage, cost]}], "has_more": False}

    tokens, money = read_statement(json.dumps(page), Biller.ANTHROPIC, called="x")

    assert tokens == Item(
        day="2026-11-18",
        model="claude-haiku-4-5-20251001",
        account="wrkspc_1",
        tier="batch",
        input_tokens=1_110,
        output_tokens=5,
    )
    assert (money.day, money.cost, money.what) == ("2026-11-18", Decimal("1.2345"), "tokens")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no report", "holds no usage and no cost"),
        ('{"data": [{"results": [{}]}]}', "is no usage or cost report of openai"),
        ('{"error": "no"}', "is no usage or cost report of openai"),
        (
            '{"data": [{"start_time": 1, "results": [{"amount": {"value": 1, "currency": "eur"}}]}]}',
            "in eur, not in US dollars",
        ),
    ],
)
def test_what_is_no_report_is_said_to_be_none(text: str, why: str) -> None:
    with pytest.raises(PricesError, match=why):
        read_statement(text, Biller.OPENAI, called="report.json")


def test_reports_are_fetched_page_by_page_with_the_administrators_key(
    reconcile: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _Reports() as reports:
        monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
        monkeypatch.setenv("OPENAI_ADMIN_URL", reports.url)

        exit_code, said = reconcile(words=("--fetch", "--since", DAY.isoformat()))

    assert exit_code == 0, said
    assert [path for path, _ in reports.asked] == [
        "/v1/organization/usage/completions",
        "/v1/organization/usage/completions",
        "/v1/organization/costs",
    ]
    assert {key for _, key in reports.asked} == {"Bearer sk-admin"}
    assert said["rows"][0]["billed"] == {
        "calls": 2, "input_tokens": 2_000, "output_tokens": 200, "cost": "0.007", "tiers": [],
    }  # fmt: skip


def test_without_a_key_or_a_file_it_says_what_to_give(
    reconcile: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)

    no_file, said = reconcile()
    no_key, also_said = reconcile(words=("--fetch",))

    assert (no_file, no_key) == (2, 2)
    assert "give the provider's reports as files" in said
    assert "OPENAI_ADMIN_KEY" in also_said


class _Reports:
    """A provider's administration API: usage on two pages, costs on one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                asked.append((url.path, self.headers.get("authorization", "")))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(_page(url.path, parse_qs(url.query))).encode())

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> _Reports:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _page(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
    if path.endswith("costs"):
        return openai_costs(("gpt-4o-2024-08-06, input", "0.007"))
    if "page" not in query:
        empty = {"start_time": MIDNIGHT - 86_400, "results": []}
        return {"data": [empty], "has_more": True, "next_page": "page_2"}
    return openai_usage()


def several_usages(*results: dict[str, Any]) -> dict[str, Any]:
    pages = [openai_usage(**each) for each in results]
    (bucket,) = pages[0]["data"]
    bucket["results"] = [page["data"][0]["results"][0] for page in pages]
    return pages[0]


@pytest.fixture
def keyed(server: Server) -> Server:
    """Beside the two calls of the project `default`, one of `shop` in batch and one of `shop` at the standard tier."""
    usage = Usage(input_tokens=1_000, output_tokens=100)
    model = {"model": "gpt-4o-2024-08-06", "project": "shop"}
    server.store.insert(
        [
            call(11, "0.00175", usage=replace(usage, batch=True), **model),
            call(12, "0.0035", usage=replace(usage, service_tier="default"), **model),
        ]
    )
    return server


def test_each_project_is_joined_with_its_own_account_and_what_is_of_neither_is_told(
    keyed: Server, reconcile: Run
) -> None:
    bill = several_usages(
        {"project_id": "proj_1"},
        {"project_id": "proj_2", "input_tokens": 2_000, "output_tokens": 200},
        {"project_id": "proj_9", "input_tokens": 70, "output_tokens": 7, "num_model_requests": 1},
    )

    exit_code, found = reconcile(bill, words=("--map", "default=proj_1", "--map", "shop=proj_2"))

    rows = {row["account"]: row for row in found["rows"]}
    assert {name: row["recorded"]["calls"] for name, row in rows.items()} == {
        "proj_1": 2,
        "proj_2": 2,
        "proj_9": None,
    }
    assert [rows[name]["likely"] for name in ("proj_1", "proj_2")] == ["", ""]
    assert rows["proj_9"]["likely"].startswith("nothing was recorded")
    assert exit_code == 1


def test_tokens_are_joined_by_tier_and_undivided_money_by_day_and_model(
    keyed: Server, reconcile: Run
) -> None:
    bill = several_usages(
        {"batch": True, "input_tokens": 1_000, "output_tokens": 100, "num_model_requests": 1},
        {"input_tokens": 1_000, "output_tokens": 100, "num_model_requests": 1},
    )
    money = openai_costs(("gpt-4o-2024-08-06, input", "0.00525"))

    exit_code, found = reconcile(bill, money, words=("--by-tier", "--project", "shop"))

    assert [(row["tier"], row["recorded"]["calls"], row["likely"]) for row in found["rows"]] == [
        ("(all tiers)", 2, ""),
        ("batch", 1, ""),
        ("standard", 1, ""),
    ]
    assert (exit_code, set(found["per_cent_apart"].values())) == (0, {"0.000000"})


def test_a_tier_that_was_recorded_and_not_billed_counts_towards_the_tolerance(
    keyed: Server, reconcile: Run
) -> None:
    bill = several_usages({"input_tokens": 1_000, "output_tokens": 100, "num_model_requests": 1})

    exit_code, found = reconcile(bill, words=("--by-tier", "--project", "shop"))

    rows = {row["tier"]: row for row in found["rows"]}
    assert rows["batch"]["likely"].startswith("nothing was billed")
    assert (exit_code, found["per_cent_apart"]["input_tokens"]) == (1, "100.000000")


def test_more_requests_on_the_bill_than_recorded_are_counted(reconcile: Run) -> None:
    _, found = reconcile(openai_usage(input_tokens=5_000, num_model_requests=5))

    assert "in 3 more requests" in found["rows"][0]["likely"]


def test_the_comparison_as_a_table_for_spreadsheets(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bill.json"
    file.write_text(json.dumps(openai_usage()), encoding="utf-8")

    exit_code = dispatch(
        ["reconcile", str(file), "--provider", "openai", "--url", server.url, "--csv", "--by-tier"]
    )

    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert exit_code == 0
    assert (row["model"], row["tier"], row["recorded_calls"], row["billed_input_tokens"], row["likely"]) == (
        *("gpt-4o", "standard", "2", "2000", ""),
    )


@pytest.mark.parametrize("words", [("--map", "default"), ("--map", "a=b", "--project", "a")])
def test_a_map_that_is_none_is_refused(reconcile: Run, words: tuple[str, ...]) -> None:
    exit_code, said = reconcile(openai_usage(), words=words)

    assert exit_code == 2
    assert "--map" in said
