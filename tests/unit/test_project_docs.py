"""What can be set or typed is in the docs, and what the docs say can be set or typed exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from everyspan.cli.commands import COMMANDS, everyspan

ROOT = Path(__file__).resolve().parents[2]
VARIABLE = re.compile(r"\b(?:EVERYSPAN|OTEL|LANGFUSE)_[A-Z_]*[A-Z]\b")


def variables(path: str) -> set[str]:
    return set(VARIABLE.findall((ROOT / path).read_text(encoding="utf-8")))


def sections(path: str) -> dict[str, str]:
    """The text under each `## ` heading, by the commands in the heading."""
    _, *parts = (ROOT / path).read_text(encoding="utf-8").split("\n## ")
    found = (part.partition("\n") for part in parts)
    return {name: text for head, _, text in found for name in re.findall(r"`everyspan (\w+)", head)[:1]}


def test_every_variable_that_is_read_is_documented_and_every_documented_one_is_read() -> None:
    # `LANGFUSE_… =` at the beginning of a line is a constant of the module.
    constants = set(
        re.findall(r"^([A-Z_]+) =", (ROOT / "src/everyspan/settings.py").read_text("utf-8"), re.MULTILINE)
    )

    assert variables("docs/settings.md") == variables("src/everyspan/settings.py") - constants


def test_every_variable_named_in_a_message_or_page_exists() -> None:
    known = variables("src/everyspan/settings.py") | variables("tests/contract/conftest.py")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py")]

    ours = {path: {name for name in variables(str(path)) if name.startswith("EVERYSPAN_")} for path in pages}

    assert {str(path): names - known for path, names in ours.items() if names - known} == {}


def test_every_command_has_a_section_and_every_section_a_command() -> None:
    assert set(sections("docs/cli.md")) == set(COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_every_option_of_a_command_is_documented(name: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    introduction = page.partition("\n## ")[0]  # holds the options that commands share
    command = everyspan.get_command(click.Context(everyspan), name)
    assert command is not None

    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    options = {opt for parameter in shown for opt in parameter.opts if opt.startswith("--")}

    assert options == {opt for opt in options if f"`{opt}" in sections("docs/cli.md")[name] + introduction}


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_the_list_of_commands_agrees_with_each_commands_own_help(name: str) -> None:
    command = everyspan.get_command(click.Context(everyspan), name)
    assert command is not None

    assert command.name == name
    assert (command.help or "").startswith(COMMANDS[name][1])


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE))
    named = {first or second for first, second in named}

    assert named
    assert named - targets == set()


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]

    broken = [
        f"{page.relative_to(ROOT)} -> {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in link and not (page.parent / link).exists()
    ]

    assert broken == []
