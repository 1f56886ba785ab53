"""The read side of a living log: whole frames in order, each until it is settled."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from everyspan.errors import SpoolError
from everyspan.spool import waiting
from tests.spool_frames import drain, end, frames_in, living, open_log, peek, segments, seqs


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
    third = frames_in(path)[3]
    with path.open("r+b") as file:
        file.seek(third.start + 100)
        file.write(b"\x00\x00\x00")

    assert seqs(drain(living(log))) == [1, 2, 4, 5]
    (kept,) = tmp_path.glob("*/quarantine/*.bytes")
    assert len(kept.read_bytes()) == third.end - third.start
