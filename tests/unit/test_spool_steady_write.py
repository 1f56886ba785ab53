"""The write that keeps the GIL, and when it lets go."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from everyspan.spool import steady_write
from everyspan.spool.steady_write import SteadyWrite


def test_a_write_beside_a_busy_thread_does_not_wait_for_it(tmp_path: Path) -> None:
    stop = threading.Event()
    turns = [0]

    def spin() -> None:
        while not stop.is_set():
            turns[0] += 1

    write = SteadyWrite()
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    busy = threading.Thread(target=spin)
    busy.start()
    try:
        given_away = 0
        for _ in range(200):
            before = turns[0]
            write(fd, b"x" * 2000)
            given_away += turns[0] != before
    finally:
        stop.set()
        busy.join()
        os.close(fd)

    assert given_away < 20  # the interpreter may switch threads in between; os.write does it nearly each time


def test_a_write_that_fails_says_why(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDONLY | os.O_CREAT)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            SteadyWrite()(fd, b"x")
    finally:
        os.close(fd)


def test_after_three_slow_writes_in_a_row_others_may_run_for_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0

    def clock() -> float:
        nonlocal now_s
        now_s += 0.03  # so that each write seems to take 30 ms
        return now_s

    gave_gil_away = []
    real = os.write

    def watched(fd: int, data: bytes) -> int:
        gave_gil_away.append(now_s)
        return real(fd, data)

    monkeypatch.setattr(steady_write, "monotonic_s", clock)
    monkeypatch.setattr(os, "write", watched)
    write = SteadyWrite()
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        for _ in range(3):
            write(fd, b"x")
        assert gave_gil_away == []
        write(fd, b"x")
        assert len(gave_gil_away) == 1
        now_s += 5
        write(fd, b"x")
        assert len(gave_gil_away) == 1
    finally:
        os.close(fd)
