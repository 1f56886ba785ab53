"""The write side: numbers without gaps, private files, and an honest account when the disk refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from everyspan.errors import SpoolError
from everyspan.settings import Fsync
from everyspan.spool import Kept, Log, adopt
from everyspan.wire.decode import identify, unwrap
from everyspan.wire.frame import Kind
from tests.spool_frames import Found, drain, end, frames_of, opaque, open_log, segments, seqs, start


def accounted(log: Log) -> bool:
    counts = log.counts()
    return counts.spans == counts.on_disk + counts.in_memory + sum(counts.dropped.values())


def wait_until_retried() -> None:
    time.sleep(0.06)  # the log looks again at a refusing disk 50 ms later; no event tells


def test_nothing_is_made_on_disk_before_the_first_append(tmp_path: Path) -> None:
    log = open_log(tmp_path / "destination")

    assert log.backlog() is None
    assert list(tmp_path.iterdir()) == []


def test_every_frame_carries_its_writer_and_number(tmp_path: Path) -> None:
    log = open_log(tmp_path)

    for number in range(3):
        start(log, number)
        end(log, number)

    found = drain(log.backlog())
    assert seqs(found) == [1, 2, 3, 4, 5, 6]
    stamps = [identify(frame.payload).stamp for frame in found if frame.seq]
    assert stamps == [(log.counts().writer, seq) for seq in range(1, 7)]


def test_each_segment_begins_with_a_header_that_says_whose_it_is(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=3000)

    for number in range(20):
        end(log, number, text="x" * 200)

    assert len(segments(tmp_path)) > 2
    headers = [
        json.loads(unwrap(frame.payload)) for frame in drain(log.backlog()) if frame.kind == Kind.HEADER
    ]
    assert len(headers) >= 3
    assert all(header["writer"] == log.counts().writer for header in headers)
    assert set(headers[0]) == {
        *("version", "writer", "pid", "host", "boot", "library", "destination", "url", "started_ns")
    }


def test_files_are_for_this_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        end(open_log(tmp_path / "spool" / "destination"), 1)
    finally:
        os.umask(before)

    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "spool").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700


def test_a_root_that_is_a_symlink_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "elsewhere")
    log = open_log(tmp_path / "root")

    assert end(log, 1) is Kept.MEMORY
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert log.counts().errors == {"EPERM": 1}


def test_threads_share_one_log_without_a_gap(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=20_000)
    threads = [
        threading.Thread(target=lambda base=base: [end(log, base + at) for at in range(100)])
        for base in range(0, 800, 100)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seqs(drain(log.backlog())) == list(range(1, 801))


def test_a_signal_handler_that_ends_a_span_within_an_append_loses_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    handled: list[Kept] = []

    def handler(signum: int, frame: object) -> None:
        handled.append(end(log, 10_000 + len(handled)))

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        appended = 0
        while len(handled) < 200:
            end(log, appended)
            appended += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert seqs(drain(log.backlog())) == list(range(1, appended + len(handled) + 1))


# The exception can strike in a __del__, too, where Python reports it and goes on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_exception_from_a_signal_handler_leaves_no_number_unexplained(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=50_000)

    def handler(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    broken_off = 0
    try:
        for number in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + (number % 40) * 0.000005)
                for _ in range(20):
                    end(log, number)
            except KeyboardInterrupt:
                broken_off += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    end(log, 1)

    found = drain(log.backlog())
    told = [
        number
        for frame in found
        if frame.kind == Kind.DROP
        for first, last in json.loads(unwrap(frame.payload))["ranges"]
        for number in range(first, last + 1)
    ]
    assert broken_off > 100
    assert sorted({*seqs(found), *told}) == list(range(1, log.counts().last_seq + 1))
    assert accounted(log)


def test_the_cap_sends_frames_to_memory_and_an_ack_brings_them_to_disk(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=20_000)
    kept = [opaque(log, b"x" * 1000) for _ in range(30)]

    assert kept.count(Kept.DISK) >= 18
    assert kept[-1] is Kept.MEMORY
    crowded = [log.crowded]
    assert seqs(drain_patiently(log)) == list(range(1, 31))
    crowded.append(log.crowded)
    assert crowded == [True, False]
    assert accounted(log)


def drain_patiently(log: Log) -> list[Found]:
    found = drain(log.backlog())
    while log.counts().in_memory:
        wait_until_retried()
        found += drain(log.backlog())
    return found


def test_closing_brings_what_memory_holds_to_disk_even_over_the_cap(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=5_000)
    kept = [opaque(log, b"x" * 1000) for _ in range(20)]

    log.close()

    (dead,) = adopt(tmp_path, living=None)
    assert Kept.MEMORY in kept
    assert seqs(drain(dead)) == list(range(1, 21))
    assert log.counts().dropped == {}


def test_beyond_disk_and_memory_every_number_is_named_in_a_drop_frame(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=2 << 20)
    kept = [opaque(log, b"x" * 100_000) for _ in range(130)]

    counts = log.counts()
    assert counts.dropped == {"cap": kept.count(Kept.DROPPED)}
    assert counts.dropped["cap"] > 0
    assert accounted(log)
    found = drain_patiently(log)
    wait_until_retried()
    opaque(log, b"the disk works again")
    found += drain(log.backlog())
    (drop,) = [json.loads(unwrap(frame.payload)) for frame in found if frame.kind == Kind.DROP]
    assert drop["spans"] == counts.dropped["cap"]
    told = [number for first, last in drop["ranges"] for number in range(first, last + 1)]
    assert sorted([*told, *seqs(found)]) == list(range(1, 132))


def test_a_payload_beyond_any_frame_is_dropped_and_named(tmp_path: Path) -> None:
    log = open_log(tmp_path)

    assert log.append(Kind.SPAN, bytes((64 << 20) + 1)) is Kept.DROPPED
    end(log, 1)

    found = drain(log.backlog())
    (drop,) = [json.loads(unwrap(frame.payload)) for frame in found if frame.kind == Kind.DROP]
    assert (drop["reason"], drop["ranges"], drop["spans"]) == ("too large", [[1, 1]], 1)


def test_deleting_the_whole_spool_does_not_break_it_for_ever(tmp_path: Path) -> None:
    root = tmp_path / "spool" / "destination"
    log = open_log(root)
    for number in range(5):
        end(log, number)
    shutil.rmtree(tmp_path / "spool")

    deadline = time.monotonic() + 10
    while not segments(root) and time.monotonic() < deadline:
        end(log, 5)
        time.sleep(0.05)

    found = drain(log.backlog())
    (drop,) = [json.loads(unwrap(frame.payload)) for frame in found if frame.kind == Kind.DROP]
    assert drop["reason"] == "deleted"
    assert drop["ranges"] == [[1, min(seqs(found)) - 1]]
    assert seqs(found)[-1] == log.counts().last_seq
    assert accounted(log)
    log.close()
    assert [backlog.finish() for backlog in adopt(root, living=None)] == [False]


def test_close_says_the_last_number_and_a_late_span_begins_a_new_writer(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    end(log, 1)
    first = log.counts().writer
    log.close()
    log.close()

    assert log.backlog() is None
    assert end(log, 2) is Kept.DISK

    assert log.counts().writer != first
    assert log.counts().spans == 2
    (dead,) = adopt(tmp_path, living=log.counts().writer)
    closing = drain(dead)[-1]
    assert (closing.kind, json.loads(unwrap(closing.payload))) == (Kind.CLOSE, {"writer": first, "last": 1})


@pytest.mark.parametrize("level", list(Fsync))
def test_every_level_keeps_what_it_is_given(tmp_path: Path, level: Fsync) -> None:
    log = open_log(tmp_path, fsync=level, segment_bytes=2000)

    kept = {end(log, number) for number in range(20)}
    log.sync()

    assert kept == {Kept.DISK}
    assert seqs(drain(log.backlog())) == list(range(1, 21))
    log.close()


def test_one_fdatasync_serves_many_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(tmp_path)
    opaque(log, b"first")
    log.sync()
    syncs = []
    gate, begun = threading.Event(), threading.Event()

    def slow(fd: int) -> None:
        syncs.append(fd)
        begun.set()
        gate.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow)

    def keep() -> None:
        opaque(log, b"x")
        log.sync()

    threads = [threading.Thread(target=keep) for _ in range(8)]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    while log.counts().spans < 9:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join(10)

    assert len(syncs) == 2


def test_a_failed_fdatasync_is_said_and_not_tried_again_on_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    opaque(log, b"suspect")

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(SpoolError, match="power cut"):
            log.sync()

    opaque(log, b"good")
    log.sync()
    assert log.counts().errors == {"EIO": 1}
    assert len(segments(tmp_path)) == 2
    assert seqs(drain(log.backlog())) == [1, 2]


def test_a_batch_in_memory_is_a_copy_of_the_callers_bytes(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=1)
    payload = bytearray(b"before")

    assert log.append(Kind.BATCH, payload) is Kept.MEMORY
    payload[:] = b"after!"

    assert [frame.payload for frame in drain(log.backlog()) if frame.seq] == [b"before"]


def test_frames_of_a_batch_come_back_as_they_went_in(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    opaque(log, b"body")

    batch = log.backlog().peek(limit_bytes=1 << 20)  # type: ignore[union-attr]

    assert batch is not None
    assert unwrap(frames_of(batch.body)[-1].payload) == b"body"
    assert (batch.spans, batch.spooled_to, batch.closed) == (1, 1, False)
