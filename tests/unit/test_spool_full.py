"""A spool at its limit: what gives way, who waits, and that every number is accounted for."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace

import pytest

from everyspan.settings import Drop, Fsync
from everyspan.spool import Kept, Log, ring
from everyspan.spool.room import LEAST_BYTES, MIB, MOST_BYTES, WhenFull, default_cap_bytes
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind
from tests.spool_frames import ABOUT, Found, drain, end, open_log, segments, seqs

CAP = 256 << 10
TEXT = "x" * 4000


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for five frames of these tests in memory, instead of two thousand."""
    monkeypatch.setattr(ring, "RING_BYTES", 20 << 10)


def full_log(root: Path, drop: Drop, *, timeout_s: float = 10.0, cap_bytes: int | None = CAP) -> Log:
    return Log(root, about=ABOUT, fsync=Fsync.NONE, cap_bytes=cap_bytes, when_full=WhenFull(drop, timeout_s))


def fill(log: Log) -> int:
    """Append until nothing more fits on disk and in memory; the next one would be lost."""
    number = 0
    while log.counts().in_memory < 4:
        number += 1
        assert end(log, number, text=TEXT) is not Kept.DROPPED
    return number


def dropped_numbers(found: list[Found]) -> tuple[set[str], list[int]]:
    """Reasons and numbers in the DROP frames."""
    notes = [json.loads(unwrap(frame.payload)) for frame in found if frame.kind == Kind.DROP]
    ranges = [each for note in notes for each in note["ranges"]]
    return {note["reason"] for note in notes}, [n for first, last in ranges for n in range(first, last + 1)]


# --- how much it is ---


@pytest.mark.parametrize(
    ("size_mib", "free_mib", "kept_mib", "cap_bytes"),
    [
        (500_000, 400_000, 0, MOST_BYTES),
        (6_000, 5_000, 0, 600 * MIB),
        (500_000, 700, 0, 188 * MIB),
        (500_000, 700, 300, 488 * MIB),
        (500, 400, 0, 50 * MIB),
        (500_000, 100, 0, LEAST_BYTES),
    ],
)
def test_without_a_setting_the_filesystem_sets_the_limit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size_mib: int,
    free_mib: int,
    kept_mib: int,
    cap_bytes: int,
) -> None:
    found = SimpleNamespace(f_blocks=size_mib * 256, f_bavail=free_mib * 256, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: found)

    found_bytes = default_cap_bytes(tmp_path / "not" / "yet", kept_bytes=kept_mib * MIB)

    assert abs(found_bytes - cap_bytes) < MIB


def test_what_other_writers_left_counts_against_the_limit(tmp_path: Path, little_memory: None) -> None:
    first = full_log(tmp_path, Drop.NEWEST)
    fill(first)

    second = full_log(tmp_path, Drop.NEWEST)

    assert end(second, 1, text=TEXT) is Kept.MEMORY
    assert second.crowded
    drain(first.backlog())
    second._keeper.room._look_at_s = 0.0  # it looks again within ten seconds
    time.sleep(0.06)
    assert end(second, 2, text=TEXT) is Kept.DISK


def test_four_fifths_of_the_limit_are_crowded(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=CAP)
    assert not log.crowded

    while log.counts().unacknowledged_bytes < CAP * 4 // 5:
        assert not log.crowded
        end(log, 1, text=TEXT)

    assert log.crowded


# --- newest ---


def test_the_newest_is_dropped_and_told_once_to_the_user(
    tmp_path: Path, little_memory: None, caplog: pytest.LogCaptureFixture
) -> None:
    log = full_log(tmp_path, Drop.NEWEST)
    last = fill(log)
    for number in range(20):
        end(log, last + number, text=TEXT)

    found = drain(log.backlog())
    found += drain(log.backlog())

    counts = log.counts()
    reasons, dropped = dropped_numbers(found)
    assert reasons == {"cap"}
    assert sorted([*seqs(found), *dropped]) == list(range(1, counts.last_seq + 1))
    assert counts.dropped == {"cap": len(dropped)}
    assert counts.acknowledged == counts.spans - len(dropped)
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "everyspan"]
    assert "EVERYSPAN_SPOOL_BYTES" in warning


# --- oldest ---


def test_whole_oldest_segments_give_way_and_are_named(
    tmp_path: Path, little_memory: None, caplog: pytest.LogCaptureFixture
) -> None:
    log = full_log(tmp_path, Drop.OLDEST)
    for number in range(300):
        assert end(log, number, text=TEXT) is not Kept.DROPPED

    found = drain(log.backlog())
    found += drain(log.backlog())

    counts = log.counts()
    reasons, dropped = dropped_numbers(found)
    assert reasons == {"gave way"}
    assert sorted(dropped) == list(range(1, len(dropped) + 1))
    assert seqs(found) == list(range(len(dropped) + 1, 301))
    assert 300 - len(dropped) > 40  # the newest fill most of the limit
    assert counts.dropped == {"gave way": len(dropped)}
    assert counts.spans == 300 == counts.acknowledged + len(dropped)
    assert counts.unacknowledged_bytes == 0
    assert len([record for record in caplog.records if record.name == "everyspan"]) == 1


def test_a_batch_that_was_under_way_when_it_gave_way_counts_as_delivered(
    tmp_path: Path, little_memory: None
) -> None:
    log = full_log(tmp_path, Drop.OLDEST)
    last = fill(log)
    backlog = log.backlog()
    assert backlog is not None
    batch = backlog.peek(limit_bytes=1 << 20)
    assert batch is not None

    while not log.counts().dropped:
        last += 1
        end(log, last, text=TEXT)
    dropped = log.counts().dropped["gave way"]
    backlog.ack(batch)

    counts = log.counts()
    assert batch.spans == dropped
    assert (counts.dropped, counts.acknowledged) == ({}, batch.spans)
    assert counts.spans == counts.on_disk + counts.in_memory


# --- block ---


@pytest.fixture
def reader() -> Iterator[list[threading.Thread]]:
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_a_recorder_that_waits_goes_on_when_the_sender_makes_room(
    tmp_path: Path, little_memory: None, reader: list[threading.Thread]
) -> None:
    log = full_log(tmp_path, Drop.BLOCK, timeout_s=20)
    last = fill(log)
    found: list[Found] = []

    def send() -> None:
        while len(set(seqs(found))) < last + 100:
            found.extend(drain(log.backlog()))

    thread = threading.Timer(0.1, send)
    reader.append(thread)
    thread.start()
    for number in range(100):
        assert end(log, last + number, text=TEXT) is not Kept.DROPPED
    thread.join(30)

    # What memory holds may be sent before what the disk has taken, and once more when the disk takes it meanwhile.
    assert set(seqs(found)) == set(range(1, last + 101))
    assert log.counts().dropped == {}


def test_a_recorder_that_nobody_makes_room_for_waits_no_longer_than_it_was_told(
    tmp_path: Path, little_memory: None
) -> None:
    log = full_log(tmp_path, Drop.BLOCK, timeout_s=0.2)
    fill(log)
    end(log, 0, text=TEXT)

    began_s = time.monotonic()
    kept = end(log, 0, text=TEXT)
    took_s = time.monotonic() - began_s

    assert kept is Kept.DROPPED
    assert 0.2 <= took_s < 2
    assert log.counts().dropped["cap"] >= 1


def test_the_thread_that_reads_the_backlog_never_waits_for_itself(
    tmp_path: Path, little_memory: None
) -> None:
    log = full_log(tmp_path, Drop.BLOCK, timeout_s=20)
    fill(log)
    backlog = log.backlog()
    assert backlog is not None
    backlog.peek(limit_bytes=1)

    began_s = time.monotonic()
    kept = [end(log, number, text=TEXT) for number in range(5)]

    assert Kept.DROPPED in kept
    assert time.monotonic() - began_s < 2


def test_a_signal_handler_that_interrupts_a_waiting_recorder_returns_at_once(
    tmp_path: Path, little_memory: None
) -> None:
    log = full_log(tmp_path, Drop.BLOCK, timeout_s=1.0)
    fill(log)
    end(log, 0, text=TEXT)
    took_s: list[float] = []

    def record(_: int, __: FrameType | None) -> None:
        began_s = time.monotonic()
        end(log, 0, text=TEXT)
        took_s.append(time.monotonic() - began_s)

    before = signal.signal(signal.SIGALRM, record)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        end(log, 0, text=TEXT)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert len(took_s) >= 3
    assert max(took_s[1:-1]) < 0.5


def test_a_full_disk_is_said_once_and_a_spool_that_is_full_of_segments_stays_readable(tmp_path: Path) -> None:
    log = full_log(tmp_path, Drop.OLDEST)
    for number in range(150):
        end(log, number, text=TEXT)

    total = sum(path.stat().st_size for path in segments(tmp_path))

    assert total <= CAP
    assert len(segments(tmp_path)) > 2
