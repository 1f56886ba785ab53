"""What the dead left: each writer adopted once, by whoever comes next, and gone when nothing is left of it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from everyspan.spool import adopt
from everyspan.wire.frame import Kind
from tests.spool_frames import (
    die,
    drain,
    end,
    frames_in,
    frames_of,
    living,
    opaque,
    open_log,
    peek,
    segments,
    seqs,
    the_dead,
)


def test_only_the_dead_are_adopted_and_each_only_once(tmp_path: Path) -> None:
    alive, dead = open_log(tmp_path), open_log(tmp_path)
    end(alive, 1)
    end(dead, 2)
    die(dead)

    adopted = list(adopt(tmp_path, living=None))

    assert [backlog.writer for backlog in adopted] == [dead.counts().writer]
    assert list(adopt(tmp_path, living=None)) == []


def test_an_adopted_directory_is_gone_when_nothing_is_left_in_it(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=3000)
    for number in range(30):
        end(log, number)
    die(log)
    backlog = the_dead(tmp_path)

    assert backlog.pending() == 30
    assert backlog.finish() is False
    found = drain(backlog, limit_bytes=1000)

    assert backlog.finish() is True
    assert seqs(found) == list(range(1, 31))
    assert list(tmp_path.iterdir()) == []


def test_an_adopter_goes_on_where_the_dead_writer_stopped(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(20):
        end(log, number)
    first = peek(living(log), limit_bytes=2000)
    living(log).ack(first)
    die(log)

    found = drain(the_dead(tmp_path))

    assert seqs(frames_of(first.body)) + seqs(found) == list(range(1, 21))


def test_an_adopter_that_dies_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=3000)
    for number in range(30):
        end(log, number)
    die(log)

    found = []
    while list(tmp_path.iterdir()):
        backlog = the_dead(tmp_path)
        batch = backlog.peek(limit_bytes=2000)
        if batch is None:
            backlog.finish()
        else:
            found += frames_of(batch.body)
            backlog.ack(batch)
        del backlog

    assert seqs(found) == list(range(1, 31))


def test_a_cursor_that_can_not_be_read_offers_everything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    for number in range(4):
        end(log, number)
    living(log).ack(peek(living(log), limit_bytes=700))
    die(log)

    read = os.pread

    def fail(fd: int, size_bytes: int, at: int) -> bytes:
        if Path(os.readlink(f"/proc/self/fd/{fd}")).name == "acked":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(fd, size_bytes, at)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", fail)
        backlog = the_dead(tmp_path)

    assert seqs(drain(backlog)) == [1, 2, 3, 4]


def test_a_directory_that_somebody_else_finishes_meanwhile_is_passed_over_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = [open_log(tmp_path) for _ in range(3)]
    for log in logs:
        end(log, 1)
        die(log)
    others = list(adopt(tmp_path, living=None))
    for backlog in others[1:]:
        backlog.release()  # type: ignore[attr-defined]

    adopting = adopt(tmp_path, living=None)
    second = next(adopting)
    shutil.rmtree(tmp_path / others[2].writer)

    assert second.writer == others[1].writer
    assert list(adopting) == []
    assert caplog.records == []


def test_a_lock_that_somebody_makes_in_a_directory_that_is_being_removed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    end(log, 1)
    die(log)
    backlog = the_dead(tmp_path)
    drain(backlog)
    remove = os.rmdir

    def looked_at(directory: Path) -> None:
        (directory / "lock").touch(0o600)
        remove(directory)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rmdir", looked_at)
        assert backlog.finish()

    assert list(adopt(tmp_path, living=None)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_torn_tail_is_skipped_and_counted(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(3):
        end(log, number)
    die(log)
    (path,) = segments(tmp_path)
    os.truncate(path, path.stat().st_size - 5)

    backlog = the_dead(tmp_path)

    assert seqs(drain(backlog)) == [1, 2]
    assert getattr(backlog, "torn_bytes", 0) > 100
    assert getattr(backlog, "damaged", None) == 0
    assert backlog.finish() is True


def test_damage_is_copied_to_quarantine_and_outlives_the_delivery_of_the_rest(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(5):
        end(log, number)
    die(log)
    (path,) = segments(tmp_path)
    second = frames_in(path)[2]
    with path.open("r+b") as file:
        file.seek(second.start + 30)
        file.write(b"\xff\x00\xff")
    damaged = path.read_bytes()[second.start : second.end]

    backlog = the_dead(tmp_path)

    assert seqs(drain(backlog)) == [1, 3, 4, 5]
    assert backlog.finish() is False
    assert [kept.read_bytes() for kept in tmp_path.glob("*/quarantine/*.bytes")] == [damaged]
    assert segments(tmp_path) == []
    assert list(adopt(tmp_path, living=None)) == []


def test_segments_of_an_unknown_version_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    monkeypatch.setattr("everyspan.spool.writer.FORMAT_VERSION", 99)
    end(log, 1)
    die(log)

    assert list(adopt(tmp_path, living=None)) == []
    assert len(segments(tmp_path)) == 1


def test_the_inbox_gets_its_bodies_back(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    opaque(log, b"one")
    opaque(log, b"two")
    die(log)

    backlog = the_dead(tmp_path)

    assert backlog.pending() == 2
    assert seqs(drain(backlog), Kind.BATCH) == [1, 2]
