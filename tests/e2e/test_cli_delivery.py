"""`everyspan spool` and `everyspan drain`, on the spool of a program that died before anything was delivered."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.server import running
from everyspan.testing.sink import Sink

DYING = """
import os, signal, everyspan
everyspan.init()
for number in range(3):
    with everyspan.span(f"step {number}"):
        pass
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address where nothing listens, held so that nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def spool(tmp_path: Path, nowhere: str) -> Path:
    """The spool of a program that made three spans for `nowhere` and was killed."""
    root = tmp_path / "spool"
    done = run([sys.executable, "-c", DYING], EVERYSPAN_ENDPOINT=nowhere, EVERYSPAN_SPOOL_DIR=str(root))
    assert done.returncode == -signal.SIGKILL, done.stderr
    return root


def run(command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **environ}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)


def cli(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`everyspan <words>` in a process of its own, with only these variables."""
    return run([sys.executable, "-m", "everyspan.cli.main", *words], **environ)


def test_spool_shows_what_waits_and_for_where(spool: Path, nowhere: str) -> None:
    done = cli("spool", "--spool-dir", str(spool))

    head, row, total = done.stdout.splitlines()
    cells = dict(zip(re.split(r" {2,}", head), re.split(r" {2,}", row), strict=True))
    assert (cells["DESTINATION"], cells["ALIVE"]) == (f"{nowhere}/v1/traces", "no")
    assert [cells[name] for name in ("SEGMENTS", "PENDING", "SET ASIDE", "DROPPED")] == ["1", "3", "0", "0"]
    assert re.fullmatch(r"\d+ s", cells["OLDEST"])
    assert total.startswith(f"3 spans waiting in {spool} (")


def test_spool_changes_nothing(spool: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in spool.rglob("*")}

    done = cli("spool", "--spool-dir", str(spool), "--json")

    assert [each["pending"] for each in json.loads(done.stdout)] == [3]
    assert {path: path.stat().st_mtime_ns for path in spool.rglob("*")} == before


def test_the_oldest_span_is_as_old_as_it_is(spool: Path) -> None:
    (each,) = json.loads(cli("spool", "--spool-dir", str(spool), "--json").stdout)

    made_at_s = each["oldest_ns"] / 1e9
    assert 0 <= each["oldest_age_s"] < 60
    assert time.time() - 60 < made_at_s <= time.time()


def test_prometheus_gets_a_gauge_for_each_number_of_a_destination(spool: Path, nowhere: str) -> None:
    done = cli("spool", "--prometheus", EVERYSPAN_SPOOL_DIR=str(spool))

    values = dict(re.findall(r"^everyspan_spool_(\w+\{.*\}) (\S+)$", done.stdout, re.MULTILINE))
    labels = f'destination="{next(spool.iterdir()).name}",url="{nowhere}/v1/traces"'
    assert values[f"pending_spans{{{labels}}}"] == "3"
    assert values[f'writers{{{labels},alive="false"}}'] == "1"
    assert values[f'writers{{{labels},alive="true"}}'] == "0"
    assert values[f"set_aside_spans{{{labels}}}"] == "0"
    assert abs(float(values[f"oldest_span_timestamp_seconds{{{labels}}}"]) - time.time()) < 60


def test_a_spool_that_can_not_be_read_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("not a directory")

    done = cli("spool", EVERYSPAN_SPOOL_DIR=str(tmp_path / "spool"))

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"everyspan: the spool \S+ can not be read: [^\n]*\n", done.stderr)


def test_an_empty_spool_is_said_to_be_empty(tmp_path: Path) -> None:
    done = cli("spool", EVERYSPAN_SPOOL_DIR=str(tmp_path / "none"))

    assert (done.returncode, done.stdout) == (0, f"nothing waits in {tmp_path / 'none'}\n")


def test_drain_with_nothing_listening_says_why_keeps_everything_and_ends_with_1(
    spool: Path, nowhere: str
) -> None:
    done = cli("drain", "--timeout", "0.5", EVERYSPAN_ENDPOINT=nowhere, EVERYSPAN_SPOOL_DIR=str(spool))

    assert done.returncode == 1
    assert f"{nowhere}/v1/traces: 0 of 3 spans delivered, 3 pending" in done.stdout
    assert re.fullmatch(r"everyspan: .*refused.*\n", done.stderr)
    assert "3 spans waiting" in cli("spool", "--spool-dir", str(spool)).stdout


def test_drain_delivers_each_span_once_and_ends_with_0(spool: Path, tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        done = cli("drain", "--endpoint", server.url, "--everything", EVERYSPAN_SPOOL_DIR=str(spool))
        again = cli("drain", "--endpoint", server.url, "--everything", EVERYSPAN_SPOOL_DIR=str(spool))
        listed = cli("traces", "--url", server.url, "--json")

    assert (done.returncode, done.stdout) == (
        0,
        f"{server.url}/v1/traces: 3 of 3 spans delivered, 0 pending, 0 set aside, 0 dropped\n",
    )
    assert (again.returncode, again.stdout) == (0, "nothing to deliver\n")
    assert sorted(trace["name"] for trace in json.loads(listed.stdout)["traces"]) == [
        "step 0",
        "step 1",
        "step 2",
    ]


def test_spans_for_another_destination_are_left_and_named(spool: Path, nowhere: str, tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        done = cli("drain", "--endpoint", server.url, EVERYSPAN_SPOOL_DIR=str(spool))

    assert (done.returncode, done.stdout) == (1, "nothing to deliver\n")
    assert done.stderr.startswith(f"3 spans wait for {nowhere}/v1/traces; ")


def test_a_drain_that_takes_long_shows_a_bar_on_a_terminal(spool: Path) -> None:
    command = [sys.executable, "-m", "everyspan.cli.main", "drain", "--everything"]
    ours, terminal = pty.openpty()
    with Sink() as sink:
        sink.delay(1.2)
        environ = {
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
            "COLUMNS": "100",
            "EVERYSPAN_SPOOL_DIR": str(spool),
        }
        process = subprocess.Popen(
            [*command, "--endpoint", sink.url],
            stdout=subprocess.PIPE, stderr=terminal, text=True, env=environ,
        )  # fmt: skip
        os.close(terminal)

        receipt, _ = process.communicate(timeout=30)

    shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert (process.returncode, receipt) == (
        0,
        f"{sink.url}: 3 of 3 spans delivered, 0 pending, 0 set aside, 0 dropped\n",
    )
    assert "3 of 3 spans" in shown


def test_the_receipt_as_json_adds_up(spool: Path, nowhere: str) -> None:
    done = cli(
        "drain", "--timeout", "0.2", "--json", EVERYSPAN_ENDPOINT=nowhere, EVERYSPAN_SPOOL_DIR=str(spool)
    )

    receipt = json.loads(done.stdout)
    assert [receipt[name] for name in ("recorded", "delivered", "pending", "set_aside", "dropped")] == [
        3,
        0,
        3,
        0,
        0,
    ]
    assert receipt["pending_elsewhere"] == 0
