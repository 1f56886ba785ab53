"""What is printed: nothing that steers the terminal, money as it is, and a tree that can be read."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everyspan.cli.terminal import lasting, money, one_line, printable
from everyspan.cli.tree import branches

TEXT = st.text(st.characters() | st.sampled_from("\x1b\x07\x9b\x9d\x9c[]m;?\\\r\n\u202e\ud800"))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone?", "gone?"),
        ("\x1bP$q\x1b\\status", "status"),
        ("\x1bcreset", "reset"),
        ("over\rwritten", "overwritten"),
        ("rm \u202e-rf", "rm -rf"),
        ("half \ud83d pair", "half  pair"),
        ("kept\n\tas it is: né 中 🙂", "kept\n\tas it is: né 中 🙂"),
        ("a string \x1b]52;c; that never ends", "a string 52;c; that never ends"),
        ("ends in \x1b", "ends in "),
    ],
)
def test_escape_sequences_and_controls_are_gone_and_text_stays(said: str, shown: str) -> None:
    assert printable(said) == shown


@given(TEXT)
def test_no_text_leaves_a_control_character_behind(said: str) -> None:
    kinds = {unicodedata.category(char) for char in printable(said) if char not in "\n\t"}

    assert kinds & {"Cc", "Cs", "Zl", "Zp"} == set()
    printable(said).encode("utf-8")  # raises for a lone surrogate


def test_a_megabyte_of_sequences_that_never_end_is_cleaned_in_a_moment() -> None:
    assert printable("\x1b]\x9d\x9b" * 350_000) == ""


@given(TEXT, st.integers(min_value=1, max_value=80))
def test_one_line_is_one_line_and_no_wider_than_asked(said: str, width: int) -> None:
    line = one_line(said, width=width)

    assert len(line) <= width
    assert len(line.splitlines()) <= 1


def test_a_tree_hangs_every_span_from_its_parent() -> None:
    names = ["root", "a", "a1", "a2", "b", "b1", "orphan"]

    lines = [before + name for (before, _), name in zip(branches([0, 1, 2, 2, 1, 2, 0]), names, strict=True)]

    assert lines == ["root", "├─ a", "│  ├─ a1", "│  └─ a2", "└─ b", "   └─ b1", "orphan"]


def test_lines_that_belong_to_a_span_do_not_cut_the_rails() -> None:
    below = [under for _, under in branches([0, 1, 2, 1])]

    assert below == ["│", "│  │", "│      ", "    "]


@pytest.mark.parametrize(
    ("ns", "shown"),
    [
        (0, "0 ms"),
        (250_000, "0.25 ms"),
        (999_600_000, "1.00 s"),
        (1_250_000_000, "1.25 s"),
        (3_723_000_000_000, "3,723 s"),
    ],
)
def test_durations_keep_three_digits(ns: int, shown: str) -> None:
    assert lasting(ns) == shown


def test_money_is_shown_as_it_was_written_and_unknown_is_never_zero() -> None:
    assert money("0.000000012") == "$0.000000012"
    assert money("0.1", states={"computed": 9, "unpriced": 1234}) == "$0.1 + 1,234 unpriced"
    assert money("0.1", states={"estimated": 2, "partial": 1}) == "$0.1 (1 partial, 2 estimated)"
    assert money("1", states={"estimated": 2, "unpriced": 3}) == "$1 + 3 unpriced (2 estimated)"
    assert money(None, states={"unpriced": 2, "stated": 0}) == "2 unpriced"
    assert money(None) == "-"
