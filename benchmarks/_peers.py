"""Servers that take OTLP and store it, each started with an empty store: everyspan, Phoenix, MLflow."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.page import serving
from tests.collector_requests import get

TRACE = bytes(15) + b"\x07"
"""The trace that `Peer.page` shows."""

_PATIENCE_S = 1800.0
"""On a busy machine the others take minutes to start."""


@dataclass(frozen=True)
class Peer:
    """A server that runs, and what is known of it."""

    name: str
    otlp: str
    page: str
    """The address of the trace in a browser; empty where it is not known."""
    answer_s: float
    """From its start to its first answer."""
    pid: int
    stored: Callable[[], int]
    """How many spans a reader of its store finds."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What its OTLP door asks for beside the body."""


def running(
    opened: ExitStack, folder: Path, *, phoenix: Path | None = None, mlflow: Path | None = None
) -> list[Peer]:
    """everyspan, and those others whose programs are named, until `opened` is closed."""
    peers = []
    for name, program, begin in (
        ("everyspan", Path(), lambda _, there: everyspan_running(there)),
        ("phoenix", phoenix, phoenix_running),
        ("mlflow", mlflow, mlflow_running),
    ):
        if program is not None:
            (folder / name).mkdir()
            peers.append(opened.enter_context(begin(program, folder / name)))
    return peers


@contextmanager
def everyspan_running(folder: Path) -> Iterator[Peer]:
    """Our own collector."""
    with serving(folder) as (url, answer_s, process):

        def stored() -> int:
            return int(get(f"{url}/api/v1/health").json["stored_spans"])

        page = f"{url}/traces/{TRACE.hex()}"
        yield Peer("everyspan", f"{url}/v1/traces", page, answer_s, process.pid, stored)


@contextmanager
def phoenix_running(program: Path, folder: Path) -> Iterator[Peer]:
    """Phoenix, with its SQLite database in `folder`."""
    port = _free_port()
    said = {"WORKING_DIR": folder, "HOST": "127.0.0.1", "PORT": port, "GRPC_PORT": _free_port()}
    said["TELEMETRY_ENABLED"] = "false"
    variables = {f"PHOENIX_{name}": str(value) for name, value in said.items()}
    url = f"http://127.0.0.1:{port}"
    with _answering([program, "serve"], f"{url}/healthz", variables) as (answer_s, pid):
        page = f"{url}/redirects/traces/{TRACE.hex()}"
        yield Peer("Phoenix", f"{url}/v1/traces", page, answer_s, pid, _rows(folder / "phoenix.db", "spans"))


@contextmanager
def mlflow_running(program: Path, folder: Path) -> Iterator[Peer]:
    """MLflow's tracking server with one worker and a SQLite database in `folder`."""
    port = _free_port()
    url, database = f"http://127.0.0.1:{port}", folder / "mlflow.db"
    command: list[str | Path] = [
        program,
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    command += [
        "--backend-store-uri",
        f"sqlite:///{database}",
        "--artifacts-destination",
        str(folder / "kept"),
    ]
    with _answering(command, f"{url}/health", {"MLFLOW_DISABLE_TELEMETRY": "true"}) as (answer_s, pid):
        headers = {"x-mlflow-experiment-id": "0"}
        yield Peer("MLflow", f"{url}/v1/traces", "", answer_s, pid, _rows(database, "spans"), headers)


@contextmanager
def _answering(
    command: Sequence[str | Path], health: str, variables: Mapping[str, str]
) -> Iterator[tuple[float, int]]:
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until(lambda: _answers(health), f"{command[0]} answers", process)
            yield time.perf_counter() - began, process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # with the workers that it started


def _rows(database: Path, table: str) -> Callable[[], int]:
    """Counts what any other reader of this database sees."""

    def count() -> int:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as opened:
            return int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    return count


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as opened:
        return int(opened.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def until(done: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for it.

    Raises:
        RuntimeError: the process that it depends on has ended.
        TimeoutError: not within half an hour.
    """
    began = time.perf_counter()
    while not done():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what}: the process ended with {process.returncode}")
        if time.perf_counter() - began > _PATIENCE_S:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S:g} s")
        time.sleep(0.2)
