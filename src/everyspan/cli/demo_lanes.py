"""Runs scenarios, a few at a time: forked from warm interpreters, or each in a fresh one."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from everyspan.cli.demo_plan import Scenario, Side, Stage
from everyspan.errors import CommandError

_PATIENCE_S = 5.0
_WARM = Path(__file__).with_name("demo_warm.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run ended: its exit code, or minus the signal that killed it."""

    scenario: Scenario
    exit_code: int
    took_s: float


class Lane(Protocol):
    """Runs one scenario at a time."""

    def run(self, scenario: Scenario) -> int: ...
    def close(self) -> None: ...


class ColdLane:
    """Each run is a Python of its own, as the user would start it."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def run(self, scenario: Scenario) -> int:
        """Run it and wait."""
        command = [sys.executable]
        if scenario.side is Side.WITH:
            command += ["-m", "everyspan.cli.main", "run"]
        command += [str(self._stage.script), *self._stage.arguments(scenario)]
        with self._stage.log_path(scenario).open("ab") as log:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._stage.environment(scenario),
                check=False,
            ).returncode

    def close(self) -> None:
        """Nothing is kept between runs."""


class WarmLane:
    """Forks each run from an interpreter that has imported litellm and langfuse already; see `demo_warm.py`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        # -P: the folder of that file must not become a place to import from.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(_WARM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=stage.environment(),
            text=True,
            start_new_session=True,
        )

    def wait_until_warm(self) -> float:
        """Wait for the import; how long it took, in seconds."""
        return float(self._told()["import_s"])

    def run(self, scenario: Scenario) -> int:
        """Fork it and wait."""
        order = {
            "script": str(self._stage.script),
            "arguments": self._stage.arguments(scenario),
            "environment": self._stage.environment(scenario),
            "log": str(self._stage.log_path(scenario)),
            "with_everyspan": scenario.side is Side.WITH,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return os.waitstatus_to_exitcode(int(self._told()["status"]))

    def close(self) -> None:
        """Let it end; a run that is still under way was given up by somebody, and is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _told(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CommandError(
                f"the interpreter that runs are forked from ended with {self._process.wait()}; "
                "its last words are above, and --cold does without it"
            )
        told: dict[str, float] = json.loads(line)
        return told


class Lanes:
    """Lanes that work a list of scenarios off together; a context manager that closes them."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._lanes = list(lanes)

    def run(self, scenarios: Iterable[Scenario], *, on_end: Callable[[Ended], None]) -> list[Ended]:
        """Run all of them; `on_end` is called as each ends, from one thread at a time.

        Raises:
            CommandError: a lane broke down; what it had not begun was left.
        """
        waiting: queue.SimpleQueue[Scenario] = queue.SimpleQueue()
        for scenario in scenarios:
            waiting.put(scenario)
        ended: list[Ended] = []
        failures: list[BaseException] = []
        lock = threading.Lock()

        def work(lane: Lane) -> None:
            while not failures:
                try:
                    scenario = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    one = _timed(lane, scenario)
                except (CommandError, OSError, ValueError) as error:
                    failures.append(error)
                    return
                with lock:
                    ended.append(one)
                    on_end(one)

        threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in self._lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lane in self._lanes:
            lane.close()


def _timed(lane: Lane, scenario: Scenario) -> Ended:
    begun_s = time.monotonic()
    exit_code = lane.run(scenario)
    return Ended(scenario=scenario, exit_code=exit_code, took_s=time.monotonic() - begun_s)
