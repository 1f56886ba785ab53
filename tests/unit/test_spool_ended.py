"""Calls whose end was delivered and is in no segment: a successor must not make up another end for them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from everyspan.settings import Drop, Fsync
from everyspan.spool import Kept, Log, adopt
from everyspan.spool.room import WhenFull
from everyspan.spool.steady_write import SteadyWrite
from everyspan.wire.frame import Kind
from tests.spool_frames import ABOUT, Found, die, drain, end, open_log, segments, seqs, start

CAP = 256 << 10
TEXT = "x" * 4000


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets the disk take something, or nothing; a log looks again at once."""
    monkeypatch.setattr("everyspan.spool.keeper._RETRY_AFTER_S", 0.0)
    real, takes = SteadyWrite.__call__, [True]

    def write(self: SteadyWrite, fd: int, record: bytes) -> int:
        if not takes[0]:
            raise OSError(errno.EIO, "the disk takes nothing")
        return real(self, fd, record)

    monkeypatch.setattr(SteadyWrite, "__call__", write)
    return lambda anything: takes.__setitem__(0, anything)


def after_death(log: Log, root: Path) -> list[Found]:
    """What a successor delivers."""
    die(log)
    return [frame for backlog in adopt(root, living=None) for frame in drain(backlog)]


def test_an_end_that_was_delivered_while_the_disk_took_nothing_is_told_when_it_takes_something(
    tmp_path: Path, disk: Callable[[bool], None]
) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    start(log, 2)
    disk(False)
    assert end(log, 1) is Kept.MEMORY
    drain(log.backlog())
    disk(True)
    drain(log.backlog())

    found = after_death(log, tmp_path)

    assert seqs(found, Kind.SPAN) == [2]  # the other call is the one that never ended


def test_an_end_that_was_delivered_while_the_disk_took_nothing_is_told_by_a_log_that_is_closed(
    tmp_path: Path, disk: Callable[[bool], None]
) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    disk(False)
    end(log, 1)
    drain(log.backlog())
    disk(True)
    log.close()

    found = after_death(log, tmp_path)

    assert seqs(found, Kind.SPAN) == []


def test_of_two_calls_with_the_same_ids_only_the_one_that_ended_is_told_as_ended(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=2000)
    assert [start(log, 1), start(log, 1)] == [Kept.DISK, Kept.DISK]
    assert end(log, 1, text=TEXT) is Kept.MEMORY
    drain(log.backlog())

    found = after_death(log, tmp_path)

    assert seqs(found, Kind.SPAN) == [2]


def test_a_begin_and_an_end_that_were_both_delivered_out_of_memory_leave_nothing_to_tell(
    tmp_path: Path, disk: Callable[[bool], None]
) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    disk(False)
    start(log, 2)
    end(log, 2)
    drain(log.backlog())
    disk(True)
    end(log, 3)
    drain(log.backlog())

    found = after_death(log, tmp_path)

    assert seqs(found, Kind.SPAN) == [1]
    assert b"begun" not in b"".join(path.read_bytes() for path in segments(tmp_path))


def test_an_end_whose_segment_gave_way_while_it_was_delivered_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyspan.spool.ring.RING_BYTES", 20 << 10)
    log = Log(tmp_path, about=ABOUT, fsync=Fsync.NONE, cap_bytes=CAP, when_full=WhenFull(Drop.OLDEST))
    start(log, 0)
    for number in range(1, 20):
        end(log, number, text=TEXT)  # the begin stands in a segment that is delivered, and stays as segment 0
    backlog = log.backlog()
    drain(backlog)
    end(log, 0)
    assert backlog is not None
    under_way = backlog.peek(limit_bytes=1 << 20)
    assert under_way is not None
    number = 100
    while not log.counts().dropped:
        number += 1
        end(log, number, text=TEXT)
    backlog.ack(under_way)

    found = after_death(log, tmp_path)

    interrupted = [frame for frame in found if frame.kind == Kind.SPAN and frame.seq == 1]
    assert interrupted == []
    assert len(seqs(found, Kind.SPAN)) > 20


def test_what_was_told_in_a_segment_that_gave_way_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyspan.spool.ring.RING_BYTES", 20 << 10)
    log = Log(tmp_path, about=ABOUT, fsync=Fsync.NONE, cap_bytes=CAP, when_full=WhenFull(Drop.OLDEST))
    start(log, 0)
    for number in range(1, 20):
        end(log, number, text=TEXT)
    drain(log.backlog())
    log._keeper.ended([1])
    number = 100
    while log.counts().dropped.get("gave way", 0) < 30:
        number += 1
        end(log, number, text=TEXT)

    found = after_death(log, tmp_path)

    assert 1 not in seqs(found, Kind.SPAN)
