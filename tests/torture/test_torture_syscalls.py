"""Every system call of the spool fails once, and from there on, with every error that it knows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.torture.conftest import Report
from tests.torture.faults import compiled
from tests.torture.scores import Score

HERE = Path(__file__).parent


def bad_days(below: Path, *, library: Path | None, full: bool) -> Any:
    """What `bad_days` prints, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    if library is not None:
        environment["LD_PRELOAD"] = str(library)
    how = ["libc" if library is not None else "python", *(["all"] if full else [])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.bad_days", str(below), *how],
        capture_output=True,
        text=True,
        env=environment,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_whichever_system_call_fails_nothing_rises_and_every_number_is_accounted_for(
    quick_disk: Path, tmp_path: Path, report: Report, full: bool
) -> None:
    library = compiled(HERE / "failing.c", tmp_path)

    said = bad_days(quick_disk, library=library, full=full)

    report(
        Score(
            scenario="n-th system call fails",
            ok=said["spans"],
            lost=sum("did not arrive" in each or "unexplained" in each for each in said["wrong"]),
            recovered=said["interrupted"],
            duplicated=said["copies"],
            figures=f"{said['lives']} lives, {said['fired']} calls failed, {said['dropped']} spans dropped and told",
        )
    )
    assert said["wrong"] == []
    assert said["lives"] > 300
    assert said["fired"] > said["lives"]
    assert min(said["spans"], said["interrupted"], said["dropped"], said["failures"]) > 0


def test_the_same_holds_where_there_is_no_compiler(quick_disk: Path, full: bool) -> None:
    if not full and shutil.which("gcc"):
        pytest.skip("there is one, and the test above has used it; `make torture` runs both")

    said = bad_days(quick_disk, library=None, full=True)

    assert said["wrong"] == []
    assert said["fired"] > said["lives"] > 300
