"""The read side: whole frames in order, each until it is settled, from the living and from the dead."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from everyspan.errors import SpoolError
from everyspan.spool import Backlog, Batch, Log, adopt, waiting
from everyspan.wire.frame import Kind, scan
from tests.spool_frames import drain, end, frames_of, opaque, open_log, segments, seqs


def living(log: Log) -> Backlog:
    backlog = log.backlog()
    assert backlog is not None
    return backlog


def peek(backlog: Backlog, *, limit_bytes: int = 1 << 20) -> Batch:
    batch = backlog.peek(limit_bytes=limit_bytes)
    assert batch is not None
    return batch


def die(log: Log) -> None:
    """What a SIGKILL leaves: no CLOSE frame, and a lock that nobody holds."""
    writer = log._keeper.writer
    assert writer is not None
    writer.close()


def the_dead(root: Path) -> Backlog:
    (backlog,) = adopt(root, living=None)
    return backlog


def test_a_batch_is_an_otlp_request_of_whole_frames_within_the_limit(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(50):
        end(log, number)

    batch = peek(living(log), limit_bytes=5000)

    assert len(batch.body) <= 5000
    assert len(ExportTraceServiceRequest.FromString(batch.body).resource_spans) == batch.spans
    assert batch.spans > 10
    assert batch.spooled_to == 50


def test_a_frame_longer_than_the_limit_comes_alone(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(3):
        end(log, number, text="x" * 30_000)

    backlog, sizes = living(log), []
    while (batch := backlog.peek(limit_bytes=1000)) is not None:
        sizes.append(batch.frames)
        backlog.ack(batch)

    assert sizes == [1, 1, 1, 1]  # the HEADER first


def test_what_is_not_acknowledged_is_offered_again(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    end(log, 1)

    first = peek(living(log))

    assert peek(living(log)) == first
    living(log).ack(first)
    living(log).ack(first)
    assert living(log).peek(limit_bytes=1000) is None
    assert log.counts().acknowledged == 1


def test_acknowledged_segments_are_deleted_once_a_later_one_exists(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=2500)
    for number in range(60):
        end(log, number)
    before = len(segments(tmp_path))

    found = drain(living(log), limit_bytes=2000)

    assert before > 4
    assert len(segments(tmp_path)) == 1
    assert seqs(found) == list(range(1, 61))
    assert living(log).pending() == 0


def test_the_halves_of_a_batch_can_be_settled_one_by_one(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(8):
        end(log, number)
    batch = peek(living(log))

    left, right = batch.split()
    with pytest.raises(SpoolError, match="not settled yet"):
        living(log).ack(right)
    living(log).ack(left)

    assert peek(living(log)).body == right.body
    assert left.body + right.body == batch.body
    assert (left.spans + right.spans, left.frames + right.frames) == (8, 9)


def test_a_refused_frame_is_kept_with_the_destinations_words(tmp_path: Path) -> None:
    log = open_log(tmp_path / "otlp-test")
    end(log, 1)
    end(log, 2)
    backlog = living(log)
    header, rest = peek(backlog).split()
    backlog.ack(header)
    with pytest.raises(SpoolError, match="single frame"):
        backlog.set_aside(rest, reason="two at once")
    bad, good = rest.split()

    backlog.set_aside(bad, reason="400: attribute nested too deep")

    (frame,) = tmp_path.glob("*/*/refused/*.frame")
    assert frame.read_bytes() == bad.body
    about = json.loads(frame.with_suffix(".json").read_text())
    assert (about["reason"], about["seq"]) == ("400: attribute nested too deep", 1)
    assert peek(backlog).body == good.body
    assert (log.counts().set_aside, backlog.pending()) == (1, 1)
    assert [look.refused for look in waiting(tmp_path)] == [1]


def test_reading_goes_on_while_others_write(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=10_000)
    end(log, 0)
    done = threading.Event()

    def write() -> None:
        for number in range(1, 600):
            end(log, number)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    found = []
    while not done.is_set() or living(log).pending():
        found += drain(living(log), limit_bytes=3000)
    thread.join()

    assert seqs(found) == list(range(1, 601))


def test_damage_under_a_living_writer_costs_the_damaged_frame_only(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(5):
        end(log, number)
    (path,) = segments(tmp_path)
    third = next(frame for frame in scan_of(path) if frame[0] == 3)
    with path.open("r+b") as file:
        file.seek(third[1] + 100)
        file.write(b"\x00\x00\x00")

    assert seqs(drain(living(log))) == [1, 2, 4, 5]
    (kept,) = tmp_path.glob("*/quarantine/*.bytes")
    assert len(kept.read_bytes()) == third[2] - third[1]


def scan_of(path: Path) -> list[tuple[int, int, int]]:
    found = scan(path.read_bytes(), nonce=int(path.stem[9:], 16))
    return [(frame.seq, frame.start, frame.end) for frame in found.frames]


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
    second = next(frame for frame in scan_of(path) if frame[0] == 2)
    with path.open("r+b") as file:
        file.seek(second[1] + 30)
        file.write(b"\xff\x00\xff")
    damaged = path.read_bytes()[second[1] : second[2]]

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


def test_a_survey_tells_the_living_from_the_dead_and_takes_no_lock(tmp_path: Path) -> None:
    root = tmp_path / "otlp-test"
    alive, dead = open_log(root), open_log(root)
    end(alive, 1)
    for number in range(3):
        end(dead, number)
    living(dead).ack(peek(living(dead), limit_bytes=700))
    die(dead)

    found = {look.writer: look for look in waiting(tmp_path)}

    assert found[alive.counts().writer].alive  # type: ignore[index]
    look = found[dead.counts().writer]  # type: ignore[index]
    assert not look.alive
    assert look.spans == living_spans(dead)
    assert (look.destination, look.url) == ("otlp-test", "http://127.0.0.1:1/v1/traces")
    assert the_dead(root).pending() == look.spans


def living_spans(log: Log) -> int:
    counts = log.counts()
    return counts.spans - counts.acknowledged


def test_a_spool_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert waiting(tmp_path / "nowhere") == []
    assert list(adopt(tmp_path / "nowhere", living=None)) == []
