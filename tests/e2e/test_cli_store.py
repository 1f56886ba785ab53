"""`everyspan store`: copies that are proven, exports, backups, and deletions that ask first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from everyspan.cli.storing import store as command
from everyspan.store.reads import TraceFilter
from everyspan.store.scores import Score
from everyspan.store.sqlite import SqliteStore
from everyspan.store.store import open_store
from tests.store_rows import call, dropped, everything, numbers, sighting, span, stamped, trace_id


def run(*words: str | Path, answer: str | None = None) -> Result:
    return CliRunner().invoke(command, list(map(str, words)), input=answer, standalone_mode=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a little of everything."""
    path = tmp_path / "spans.db"
    with closing(SqliteStore(path)) as store:
        store.insert(
            [
                stamped(1, 2, input="apple", user="ann"),
                stamped(2, 4, cost="0.000000000000000000000000000001", end="interrupted"),
                stamped(3, 9, unbilled="a copy", output="pear"),
                call(4, None, project="other", user="ann"),
                span(5, output="\ud800"),
            ],
            [numbers(1), numbers(3), numbers(5, reason="part"), dropped(6, 7)],
            [sighting(12, about='{"pid": 1}')],
        )
        score = Score(
            id="s", project="default", name="n", data_type="TEXT", value=None, at_ns=1, created_ns=1
        )
        store.put_scores([score])
    return path


def contents(path: Path) -> object:
    with closing(open_store(path, read_only=True)) as store:
        return everything(store)


def test_a_copy_holds_everything_and_says_that_it_is_proven(path: Path, tmp_path: Path) -> None:
    done = run("copy", path, tmp_path / "copy.db")
    again = run("copy", path, tmp_path / "copy.db")

    assert done.return_value == again.return_value == 0
    assert "5 spans read, 5 new" in done.output
    assert "5 spans read, 0 new" in again.output
    assert "proven" in done.output
    assert contents(tmp_path / "copy.db") == contents(path)


def test_a_copy_after_a_deletion_is_proven_too(path: Path, tmp_path: Path) -> None:
    run("delete", "--store", path, "--project", "default", "--trace", trace_id(1), "--yes")

    done = run("copy", path, tmp_path / "copy.db")

    assert (done.return_value, done.output.count("proven")) == (0, 1)


def test_a_copy_into_a_store_that_holds_something_else_says_what_differs(path: Path, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "copy.db")) as store:
        store.insert([call(99, "0.001")])

    done = run("copy", path, tmp_path / "copy.db")

    assert done.return_value == 1
    assert "not the same: all projects" in done.output


def test_an_export_is_one_object_for_each_span_with_exact_money(path: Path) -> None:
    done = run("export", "--store", path, "--project", "default")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    costs = {row["key"][-4:]: row["cost"] for row in rows}
    assert len(rows) == 4
    assert Decimal(costs["0004"]) == Decimal("1E-30")
    assert [row["input"] for row in rows if row["user"] == "ann"] == ["apple"]


def test_a_backup_is_a_store_with_the_same_in_it(path: Path, tmp_path: Path) -> None:
    done = run("backup", "--store", path, tmp_path / "backup.db")

    assert "checked" in done.output
    assert contents(tmp_path / "backup.db") == contents(path)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["delete", "--project", "default", "--user", "ann"], 4),
        (["delete", "--project", "other", "--all"], 4),
        (["retain", "--project", "default", "--keep", "1d"], 1),
        (["retain", "--project", "default", "--keep", "99999"], 5),
    ],
)
def test_a_deletion_takes_what_it_says(path: Path, words: Sequence[str], left: int) -> None:
    done = run(*words, "--store", path, "--yes")

    with closing(open_store(path, read_only=True)) as store:
        assert store.trace_totals(TraceFilter()).traces == left
    assert f"deleted {5 - left} trace" in done.output
    assert "comes back" in done.output


def test_a_deletion_asks_first_and_does_nothing_on_any_answer_but_yes(path: Path) -> None:
    before = contents(path)

    run("delete", "--store", path, "--project", "default", "--all", answer="n\n")

    assert contents(path) == before


def test_a_store_that_is_not_there_is_not_made_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERYSPAN_DATA_DIR", str(tmp_path / "nowhere"))

    done = run("delete", "--project", "default", "--all", "--yes")

    assert "no store at" in str(done.exception)
    assert not (tmp_path / "nowhere").exists()
