"""Run a small program in an interpreter of its own, as a user's script would be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PREFIXES = ("LANGFUSE_", "OTEL_", "EVERYSPAN_")


def environment(spool: Path, **more: str) -> dict[str, str]:
    """This process's environment without anybody's telemetry settings, and a spool of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_PREFIXES)}
    return {**kept, "EVERYSPAN_SPOOL_DIR": str(spool), **more}


def run_program(code: str, *, spool: Path, returncode: int = 0, **more: str) -> str:
    """What the program prints; fails with its standard error when it ends in another way than expected."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(spool, **more),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == returncode, done.stderr
    return done.stdout
