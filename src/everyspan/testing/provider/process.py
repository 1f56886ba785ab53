"""The fake provider as a process of its own, so that its work does not slow the program that is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Self

from everyspan.testing.ledger import Bill, read_ledger


class ProviderProcess:
    """Starts `python -m everyspan.testing.provider` and stops it again; for use as a context manager.

    It ends when this process ends, however that happens: its standard input is our pipe.
    """

    def __init__(self, *, ledger_path: Path, port: int = 0) -> None:
        self.ledger_path = ledger_path
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.openai_url = ""
        self.pid = 0

    @property
    def bill(self) -> Bill:
        """What the ledger says now."""
        return read_ledger(self.ledger_path)

    def start(self) -> Self:
        """Start it; on return requests are served.

        Raises:
            RuntimeError: it did not come up; what it printed is on our standard error.
        """
        command = [sys.executable, "-m", "everyspan.testing.provider"]
        command += ["--port", str(self._port), "--ledger", str(self.ledger_path)]
        # A session of its own: Ctrl-C is for the program, which then lets the provider go.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the fake provider ended with status {self._process.wait()} before it listened"
            )
        told = json.loads(line)
        self.url, self.openai_url, self.pid = told["url"], told["openai_url"], told["pid"]
        return self

    def stop(self) -> None:
        """Let it break off what it serves, and wait until it has ended. Safe to repeat."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
