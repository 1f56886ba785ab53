"""The demo's collector: `python -m everyspan.cli.demo_collector FOLDER PORT` serves until its standard input ends.

`everyspan serve` is the same server; this one cannot outlive the demo, however the demo ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

from everyspan.errors import CommandError


class CollectorProcess:
    """Starts the collector in a process of its own, and stops it; a context manager."""

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        self._command = [sys.executable, "-m", "everyspan.cli.demo_collector", str(data_dir), str(port)]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        # A session of its own: Ctrl-C is for the demo, which then lets the collector go.
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CommandError(f"the collector ended with status {self._process.wait()} before it listened")
        self.url = json.loads(line)["url"]
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process.wait()


def main(arguments: list[str]) -> int:
    """Serve the data in a folder on a port until standard input ends."""
    from everyspan.server import running

    folder, port = arguments
    with running(Path(folder), port=int(port)) as server:
        print(json.dumps({"url": server.url}), flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
