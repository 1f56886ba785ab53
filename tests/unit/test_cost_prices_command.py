"""`everyspan prices`, run as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everyspan.cli.commands import dispatch
from everyspan.cost.price import shipped_table
from everyspan.cost.table import PRICES

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def prices(*words: str) -> tuple[int, str]:
        shipped_table.cache_clear()
        exit_code = dispatch(["prices", *words])
        said = capsys.readouterr()
        return exit_code, said.out + said.err

    yield prices
    shipped_table.cache_clear()


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A table in which one model is missing and another was cheaper."""
    lines = PRICES.read_text(encoding="utf-8").splitlines()
    head = json.loads(lines[0])
    kept = [json.loads(line) for line in lines[1:]]
    at = next(index for index, line in enumerate(kept) if line[:2] == ["anthropic", "claude-haiku-4-5"])
    kept[at][3][-1][1]["input_tokens"] = "0.5"
    gone = next(line for line in kept if line[:2] == ["openai", "gpt-4o"])
    kept.remove(gone)
    before = 0
    for provider in head["providers"]:
        count = sum(line[0] == provider["id"] for line in kept)
        provider["models"], before = [before, count], before + count
    file = tmp_path / "older.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in [head, *kept]) + "\n", encoding="utf-8")
    return file


def test_a_model_is_listed_with_its_newest_price_and_its_list(run: Run) -> None:
    exit_code, said = run("list", "--provider", "Anthropic", "--search", "haiku-4-5")

    assert exit_code == 0
    assert "anthropic/claude-haiku-4-5" in said
    assert "genai-prices" in said
    assert "input_tokens 1," in said


def test_show_names_the_rates_the_sources_and_the_history(run: Run) -> None:
    exit_code, said = run("show", "deepseek-chat", "--date", "2026-01-01")

    assert exit_code == 0
    assert "deepseek/deepseek-chat on 2026-01-01, from overrides" in said
    assert "0.28 a million" in said
    assert "since 2025-09-29" in said
    assert "api-docs.deepseek.com" in said


def test_show_says_which_variant_is_not_priced(run: Run) -> None:
    _, said = run("show", "claude-haiku-4-5", "--date", "2026-06-01", "--batch")

    assert "not priced: batch; such a call is partial" in said


def test_an_unknown_model_ends_with_one(run: Run) -> None:
    exit_code, said = run("show", "no-such-model")

    assert exit_code == 1
    assert "has no price here" in said


def test_diff_names_what_was_added_and_repriced(run: Run, older: Path) -> None:
    exit_code, said = run("diff", str(older))

    assert exit_code == 1
    assert "+ openai/gpt-4o: " in said
    assert "~ anthropic/claude-haiku-4-5: " in said
    assert "2 models differ" in said


def test_the_table_that_ships_is_in_order(run: Run) -> None:
    exit_code, said = run("check")

    assert exit_code == 0, said
    assert "models" in said


def test_check_finds_a_table_and_a_contract_that_cannot_be_used(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, mine = tmp_path / "table.jsonl", tmp_path / "mine.toml"
    table.write_text("no table\n")
    mine.write_text("[[row]]\nprovider = 'openai'\nmodel = 'no-such-model'\nfactor = 0.9\n")
    monkeypatch.setenv("EVERYSPAN_PRICE_TABLE", str(table))
    monkeypatch.setenv("EVERYSPAN_PRICES", str(mine))

    exit_code, said = run("check")

    assert exit_code == 1
    assert "table.jsonl is no price table" in said
    assert "openai/no-such-model has a factor, but no list price to multiply" in said


def test_a_newer_table_is_put_in_place_and_used(
    run: Run, older: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "in" / "place.jsonl"

    tried, _ = run("update", str(older), "--dry-run")
    done, said = run("update", str(older), "--to", str(target))

    assert (tried, done) == (0, 0)
    assert "- openai/gpt-4o" in said
    assert target.read_bytes() == older.read_bytes()
    monkeypatch.setenv("EVERYSPAN_PRICE_TABLE", str(target))
    assert "0.5 a million" in run("show", "claude-haiku-4-5")[1]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("http://example.com/prices.jsonl", "only fetched over https"),
        ("no-such-file", "cannot be read"),
        (__file__, "is no price table"),
    ],
)
def test_what_is_no_table_is_not_put_in_place(run: Run, tmp_path: Path, source: str, why: str) -> None:
    target = tmp_path / "prices.jsonl"

    exit_code, said = run("update", source, "--to", str(target))

    assert exit_code == 2
    assert why in said
    assert not target.exists()
