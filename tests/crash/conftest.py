"""What tests in this folder share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a filesystem in memory with the options given."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        place = tmp_path / f"mount {len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"this process may not mount: {done.stderr.strip()}")
        mounted.append(place)
        return place

    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("only root may mount")
    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
