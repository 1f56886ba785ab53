"""`everyspan budget check` against a collector."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.cli.commands import dispatch
from everyspan.cost.budget import Per, Verdict, read_budgets
from everyspan.errors import PricesError
from everyspan.server import Server, running
from tests.collector_requests import get
from tests.store_rows import call

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A collector with three calls of this moment: $0.30 with the tag `search`, $0.20 without, and one unpriced."""
    now_ns = time.time_ns()
    times = {"start_ns": now_ns, "end_ns": now_ns + 1}
    with running(tmp_path / "data") as opened:
        opened.store.insert(
            [
                call(1, "0.3", tags=("search",), **times),
                call(2, "0.2", **times),
                call(3, None, tags=("search",), **times),
                call(4, "99", start_ns=now_ns - 40 * 86_400 * 10**9, end_ns=now_ns),
            ]
        )
        yield opened


DAY = "[[budget]]\nname = 'search'\nusd = 0.3\ntag = 'search'\nwarn_at = 0.5\n"
SMALL = "[[budget]]\nname = 'all'\nusd = 0.6\nper = 'day'\nwarn_at = 0.5\nproject = 'p'\n"


def test_the_collectors_own_budgets_are_answered_and_read_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(DAY + SMALL, encoding="utf-8")
    now_ns = time.time_ns()
    times = {"start_ns": now_ns, "end_ns": now_ns + 1}
    with running(tmp_path / "data", budgets=file) as server:
        server.store.insert(
            [call(1, "0.3", project="p", tags=("search",), **times), call(2, None, project="p", **times)]
        )
        server.store.insert([call(3, "0.1", project="q", key="w:1:9", **times)])

        found = get(f"{server.url}/api/v1/budgets").json
        ended = dispatch(["budget", "check", "--url", server.url])
        file.write_text("[[budget]]\nname = 'x'", encoding="utf-8")
        broken = get(f"{server.url}/api/v1/budgets").json

    by_name = {each["name"]: each for each in found["budgets"]}
    assert (by_name["search"]["verdict"], by_name["search"]["spent"]) == ("reached", "0.3")
    assert (by_name["all"]["verdict"], by_name["all"]["filters"]) == ("near", {"project": "p"})
    assert by_name["all"]["without_whole_price"] == 1
    assert ended == 1
    assert "reached" in capsys.readouterr().out
    assert (broken["budgets"], "needs a name and usd" in broken["problem"]) == ([], True)


def test_a_key_sees_the_budgets_of_its_own_project_only(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(DAY + SMALL, encoding="utf-8")
    with running(tmp_path / "data", budgets=file, keys=("p:secret",)) as server:
        own = get(f"{server.url}/api/v1/budgets", authorization="Bearer secret").json

    assert [each["name"] for each in own["budgets"]] == ["all"]


def test_a_collector_without_budgets_says_so(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert get(f"{server.url}/api/v1/budgets").json == {"budgets": [], "problem": ""}
    assert dispatch(["budget", "check", "--url", server.url]) == 2
    assert "the collector has no budgets" in capsys.readouterr().err


@pytest.fixture
def check(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(budgets: str) -> tuple[int, Any]:
        file = tmp_path / "budgets.toml"
        file.write_text(budgets, encoding="utf-8")
        exit_code = dispatch(["budget", "check", "--budgets", str(file), "--url", server.url, "--json"])
        said = capsys.readouterr()
        return exit_code, json.loads(said.out) if said.out else said.err

    return run


def test_a_budget_that_is_not_reached_ends_with_0(check: Run) -> None:
    exit_code, (found,) = check("[[budget]]\nname = 'all'\nusd = 0.51\nper = 'month'\n")

    assert exit_code == 0
    assert (found["spent"], found["verdict"], found["without_whole_price"]) == ("0.5", "within", 1)


def test_a_budget_that_is_reached_ends_with_1_and_others_stand_for_themselves(check: Run) -> None:
    exit_code, found = check(
        "[[budget]]\nname = 'search'\nusd = 0.3\ntag = 'search'\n"
        "[[budget]]\nname = 'near'\nusd = 0.6\nwarn_at = 0.8\n"
        "[[budget]]\nname = 'nobody'\nusd = 0.1\nuser = 'nobody'\n"
    )

    assert exit_code == 1
    assert [each["verdict"] for each in found] == ["reached", "near", "within"]
    assert [each["spent"] for each in found] == ["0.3", "0.5", "0"]


@pytest.mark.parametrize(
    ("per", "start"),
    [(Per.DAY, date(2026, 11, 22)), (Per.WEEK, date(2026, 11, 16)), (Per.MONTH, date(2026, 11, 1))],
)
def test_a_period_begins_at_midnight_utc(tmp_path: Path, per: Per, start: date) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(f"[[budget]]\nname = 'x'\nusd = 1\nper = '{per.value}'\n")

    (budget,) = read_budgets(file)

    began = datetime.fromtimestamp(budget.since_ns(datetime(2026, 11, 22, 23, 59, tzinfo=UTC)) // 10**9, UTC)
    assert (began.date(), began.hour) == (start, 0)
    assert budget.verdict(Decimal("1")) is Verdict.REACHED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no"),
        ("[[budget]]\nusd = 1", "needs a name and usd"),
        ("[[budget]]\nname = 'x'\nusd = 'much'", "takes a number"),
        ("[[budget]]\nname = 'x'\nusd = 1\nper = 'year'", "it takes day, week, month"),
        ("[[budget]]\nname = 'x'\nusd = 1\nteam = 'a'", "says 'team'"),
    ],
)
def test_a_budget_that_is_not_understood_is_named(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(text)

    with pytest.raises(PricesError, match=why):
        read_budgets(file)
