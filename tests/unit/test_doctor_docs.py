"""Every finding that the doctor can make is in its docs, and every one in the docs can be made."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (*(ROOT / "src/everyspan/doctor").glob("*.py"), ROOT / "src/everyspan/cli/doctoring.py")
MAKES = re.compile(
    r'\b(?:ok|note|warning|problem)\(\s*f?"([a-z]+\.[a-z_{}.]+)"|code = f?"([a-z]+\.[a-z_{}.]+)"'
)


def made() -> set[str]:
    """The codes in the source; those made of a library's name end in a star."""
    found = (pair for path in SOURCES for pair in MAKES.findall(path.read_text(encoding="utf-8")))
    return {re.sub(r"\{.*\}", "*", first or second) for first, second in found}


def documented() -> set[str]:
    page = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z]+\.[a-z_*]+)`", row)}


def test_the_docs_list_what_the_doctor_can_find() -> None:
    stars = {code for code in documented() if code.endswith("*")}
    plain = {code for code in made() if f"{code.partition('.')[0]}.*" not in stars} | stars

    assert {code for code in plain if code not in documented()} == set()
    assert {code for code in documented() if code not in made() | {"unit"}} == set()
