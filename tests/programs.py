"""Run a small program in an interpreter of its own, as a user's script would be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_PREFIXES = ("LANGFUSE_", "OTEL_", "EVERYSPAN_")


def clean_environment(spool: Path) -> dict[str, str]:
    """This process's environment without anybody's telemetry settings, and a spool of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
    return {**kept, "EVERYSPAN_SPOOL_DIR": str(spool)}


def run_program(code: str, *, spool: Path, environment: Mapping[str, str] | None = None) -> str:
    """What the program prints; fails with its standard error when it does not end well."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean_environment(spool), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
