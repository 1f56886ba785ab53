"""What is in the repository: locks that fit, and nothing of the machine it was written on."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("bootstrap", "dev", "oldest")

# Hosts of package indexes and their mirrors. The brackets keep the patterns from finding themselves.
INDEX_HOSTS = re.compile(
    r"py[p]i\.(?:org|io|tuna)|pythonhoste[d]\.org|npmj[s]\.(?:org|com)|yarnpk[g]\.com|artifactor[y]|proxy\.golan[g]\.org"
)


def tracked() -> list[Path]:
    """The files that git knows and that are text."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is not a git checkout")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def pins(lock: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    found = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^ \\]+)", text, re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def asked_for(*groups: str, without: str = "") -> list[Requirement]:
    """What pyproject.toml asks for: the core, all extras but one, and these dependency groups."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    lists = [project["project"]["dependencies"], *(extras[name] for name in extras if name != without)]
    lists += [project["dependency-groups"][group] for group in groups]
    found = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in found if requirement.name != "everyspan"]


@pytest.mark.parametrize(
    ("lock", "groups"),
    [
        ("dev", ("browser", "build", "clients", "lint", "prices", "test")),
        ("oldest", ("build", "clients", "test")),
    ],
)
def test_a_lock_holds_everything_that_is_asked_for_in_a_version_that_is_allowed(
    lock: str, groups: tuple[str, ...]
) -> None:
    locked = pins(lock)
    # Half a gigabyte that no test of the oldest versions needs.
    without = "chdb" if lock == "oldest" else ""

    wrong = {
        str(requirement): str(locked.get(canonicalize_name(requirement.name)))
        for requirement in asked_for(*groups, without=without)
        if canonicalize_name(requirement.name) not in locked
        or not requirement.specifier.contains(locked[canonicalize_name(requirement.name)], prereleases=True)
    }

    assert wrong == {}


def test_the_oldest_lock_is_the_floor_that_we_state() -> None:
    floors = {requirement.name: requirement.specifier for requirement in asked_for("clients")}
    oldest = pins("oldest")

    for name in ("opentelemetry-api", "opentelemetry-sdk", "litellm"):
        assert f">={oldest[canonicalize_name(name)]}" in str(floors[name])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_pinned_with_hashes_and_names_no_place(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")

    entries = re.split(r"\n(?=\S)", text.replace("\\\n", ""))
    packages = [entry for entry in entries if entry.strip() and not entry.startswith("#")]

    assert packages
    assert [entry for entry in packages if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links", text) == []


def test_no_tracked_file_names_a_package_index_or_a_path_of_this_machine() -> None:
    # A short path such as /app would match by chance.
    machine = [str(place) for place in (ROOT, Path(sys.prefix), Path.home() / ".") if len(place.parts) > 2]

    found = [
        f"{path.relative_to(ROOT)}: {match}"
        for path in tracked()
        for text in [path.read_text(encoding="utf-8", errors="replace")]
        for match in [*INDEX_HOSTS.findall(text), *(place for place in machine if place in text)]
    ]

    assert found == []


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    run = ROOT / ".ci" / "run"

    assert re.search(r"^make test$", readme, re.MULTILINE)
    assert re.search(r"\bmake test\b(?!-)", run.read_text(encoding="utf-8"))
    assert run.stat().st_mode & 0o111


def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_machine_that_can_not_make_environments_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = environment()
    monkeypatch.setattr(module, "quiet", lambda command: False)

    with pytest.raises(module.UnreadyError, match="apt-get install python3-venv"):
        module.create(tmp_path / "venv", sys.executable)

    assert not (tmp_path / "venv").exists()


def test_an_old_python_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = environment()
    monkeypatch.setattr(module, "LEAST", (99, 0))
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(module.UnreadyError, match=r"(?s)Python 3\.11 or newer.*make demo PYTHON=") as caught:
        module.interpreter()

    assert ".".join(map(str, sys.version_info[:3])) in str(caught.value)


def test_what_others_wrote_is_what_was_fetched() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "vendor.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
