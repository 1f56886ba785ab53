"""Other people's packages, each set of them in an environment of its own that is made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENVIRONMENTS = Path(__file__).parents[2] / ".venv-clients"


def python_with(*packages: str) -> str:
    """An interpreter whose environment has these packages."""
    directory = ENVIRONMENTS / "-".join(package.replace("==", "-") for package in packages)
    python = directory / "bin" / "python"
    if not (directory / "ready").exists():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(directory)], check=True)
        install = [*uv, "pip", "install", "--quiet", "--python", str(python), "--exclude-newer", "7 days"]
        subprocess.run([*install, *packages], check=True)
        (directory / "ready").touch()
    return str(python)
