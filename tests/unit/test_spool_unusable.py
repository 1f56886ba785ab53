"""Directories that can not be used: said once, delivered from memory, and never an exception for the user."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from everyspan.spool import Batch, Kept, adopt, ring, waiting
from everyspan.spool.lease import DEAD_AFTER_S
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind
from tests.spool_frames import Found, die, drain, end, frames_of, open_log, seqs, start

TEXT = "x" * 4000


def a_file_in_the_way(root: Path) -> None:
    root.parent.mkdir(parents=True)
    root.write_text("not a directory")


def a_symlink(root: Path) -> None:
    root.parent.mkdir(parents=True)
    (root.parent / "elsewhere").mkdir()
    root.symlink_to(root.parent / "elsewhere")


def a_dangling_symlink(root: Path) -> None:
    root.parent.mkdir(parents=True)
    root.symlink_to(root.parent / "nowhere")


def below_a_file(root: Path) -> None:
    root.parent.parent.mkdir(parents=True)
    root.parent.write_text("not a directory")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "everyspan"]


@pytest.mark.parametrize("obstruct", [a_file_in_the_way, a_symlink, a_dangling_symlink, below_a_file])
def test_what_stands_in_the_way_is_said_once_and_spans_are_delivered_from_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, obstruct: Callable[[Path], None]
) -> None:
    root = tmp_path / "home" / "spool" / "otlp-1"
    obstruct(root)
    log = open_log(root)

    kept = [start(log, 1), end(log, 1), end(log, 2)]
    found = drain(log.backlog())

    assert kept == [Kept.MEMORY] * 3
    assert [frame.kind for frame in found] == [Kind.HEADER, Kind.START, Kind.SPAN, Kind.SPAN]
    assert seqs(found) == [1, 2, 3]
    counts = log.counts()
    assert (counts.spans, counts.acknowledged, counts.in_memory, counts.dropped) == (2, 2, 0, {})
    (warning,) = warnings(caplog)
    assert str(root) in warning
    assert "EVERYSPAN_SPOOL_DIR" in warning


@pytest.mark.parametrize(
    ("number", "word"), [(errno.EROFS, "read-only"), (errno.EACCES, "may not write"), (errno.ENOSPC, "full")]
)
def test_a_directory_that_can_not_be_made_is_named_with_the_reason(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    number: int,
    word: str,
) -> None:
    def refuse(path: object, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    log = open_log(tmp_path / "spool")
    monkeypatch.setattr(os, "mkdir", refuse)

    assert end(log, 1) is Kept.MEMORY
    assert end(log, 2) is Kept.MEMORY

    (warning,) = warnings(caplog)
    assert word in warning


def test_somebody_elses_directory_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert end(open_log(tmp_path / "spool"), 1) is Kept.MEMORY

    assert list((tmp_path / "spool").iterdir()) == []
    assert len(warnings(caplog)) == 1


def test_what_memory_can_not_hold_is_dropped_counted_and_told_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ring, "RING_BYTES", 20 << 10)
    a_file_in_the_way(tmp_path / "home" / "spool")
    log = open_log(tmp_path / "home" / "spool")
    kept = [end(log, number, text=TEXT) for number in range(10)]

    found = drain(log.backlog())

    lost = kept.count(Kept.DROPPED)
    assert 0 < lost < 10
    assert log.counts().dropped == {"disk": lost}
    assert seqs(found) == list(range(1, 11 - lost))
    (told,) = [json.loads(unwrap(frame.payload)) for frame in found if frame.kind == Kind.DROP]
    assert (told["ranges"], told["spans"], told["reason"]) == ([[11 - lost, 10]], lost, "disk")
    assert drain(log.backlog()) == []


def test_frames_that_reach_the_disk_while_they_are_sent_from_memory_are_offered_again_and_counted_once(
    tmp_path: Path,
) -> None:
    root = tmp_path / "home" / "spool"
    a_file_in_the_way(root)
    log = open_log(root)
    end(log, 1)
    backlog = log.backlog()
    assert backlog is not None
    batch = backlog.peek(limit_bytes=1 << 20)
    assert batch is not None

    root.unlink()
    time.sleep(0.06)  # the log looks again at a refusing disk 50 ms later; no event tells
    assert end(log, 2) is Kept.DISK
    backlog.ack(batch)
    found = drain(backlog)

    assert seqs(frames_of(batch.body)) == [1]
    assert seqs(found) == [1, 2]
    counts = log.counts()
    assert (counts.spans, counts.on_disk, counts.acknowledged, counts.in_memory) == (2, 2, 2, 0)


def test_a_frame_from_memory_that_is_refused_is_counted_when_there_is_no_disk_to_keep_it_on(
    tmp_path: Path,
) -> None:
    a_file_in_the_way(tmp_path / "home" / "spool")
    log = open_log(tmp_path / "home" / "spool")
    end(log, 1)
    end(log, 2)
    backlog = log.backlog()
    assert backlog is not None
    batch = backlog.peek(limit_bytes=1 << 20)
    assert batch is not None

    for single in singles(batch):
        if seqs(frames_of(single.body)) == [1]:
            backlog.set_aside(single, reason="malformed")
        else:
            backlog.ack(single)

    counts = log.counts()
    assert counts.dropped == {"refused": 1}
    assert (counts.acknowledged, counts.in_memory, counts.set_aside) == (1, 0, 0)


def singles(batch: Batch) -> list[Batch]:
    return [batch] if batch.frames == 1 else [single for half in batch.split() for single in singles(half)]


# --- no flock ---


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network filesystem without locks."""

    def refuse(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


def as_if_dead(root: Path, *, pid: int, seconds_ago: int = DEAD_AFTER_S + 60) -> None:
    """The only writer's directory, as a process of that number left it."""
    (directory,) = root.iterdir()
    for path in directory.glob("*.seg"):
        content = path.read_bytes()
        path.write_bytes(content)
        assert f'"pid": {pid}'.encode() in content
    then = time.time() - seconds_ago
    for path in directory.iterdir():
        os.utime(path, (then, then))


def test_without_flock_a_survey_goes_by_age_as_the_adopter_does(tmp_path: Path, no_flock: None) -> None:
    root = tmp_path / "otlp-test"
    log = open_log(root)
    end(log, 1)

    (young,) = waiting(tmp_path)
    as_if_dead(root, pid=os.getpid())
    (old_and_here,) = waiting(tmp_path)
    die(log)
    shutil.rmtree(root)
    as_if_dead(root, pid=left_by_a_dead_process(root))
    (old_and_gone,) = waiting(tmp_path)

    assert (young.alive, old_and_here.alive, old_and_gone.alive) == (True, True, False)


def left_by_a_dead_process(root: Path) -> int:
    """A writer's directory whose process is gone; returns its number."""
    child = os.fork()
    if child == 0:
        end(open_log(root), 1)
        os._exit(0)
    os.waitpid(child, 0)
    return child


def adopted(root: Path) -> list[Found]:
    return [frame for backlog in adopt(root, living=None) for frame in drain(backlog)]


def test_without_flock_a_dead_writer_is_adopted_when_its_files_are_old(
    tmp_path: Path, no_flock: None, caplog: pytest.LogCaptureFixture
) -> None:
    pid = left_by_a_dead_process(tmp_path)
    assert adopted(tmp_path) == []

    as_if_dead(tmp_path, pid=pid)

    assert seqs(adopted(tmp_path)) == [1]
    assert [warning for warning in warnings(caplog) if "without flock" in warning]


def test_without_flock_a_living_process_keeps_its_directory_however_old_it_is(
    tmp_path: Path, no_flock: None
) -> None:
    log = open_log(tmp_path)
    end(log, 1)
    as_if_dead(tmp_path, pid=os.getpid())

    assert adopted(tmp_path) == []


def test_without_flock_two_who_come_for_a_dead_writer_do_not_both_get_it(
    tmp_path: Path, no_flock: None
) -> None:
    pid = left_by_a_dead_process(tmp_path)
    as_if_dead(tmp_path, pid=pid)

    first = list(adopt(tmp_path, living=None))
    second = list(adopt(tmp_path, living=None))

    assert (len(first), len(second)) == (1, 0)
    assert seqs(drain(first[0])) == [1]
    assert first[0].finish()
    assert list(tmp_path.iterdir()) == []


def test_without_flock_a_writer_that_is_idle_shows_that_it_is_there(tmp_path: Path, no_flock: None) -> None:
    log = open_log(tmp_path)
    end(log, 1)
    as_if_dead(tmp_path, pid=os.getpid())
    backlog = log.backlog()
    assert backlog is not None

    backlog.peek(limit_bytes=1 << 20)

    (lock,) = tmp_path.glob("*/lock")
    assert time.time() - lock.stat().st_mtime < 60
