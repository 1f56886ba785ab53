"""Calls that their process did not live to end: found, recovered, and the same at each look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from everyspan.spool import Batch
from everyspan.wire.decode import identify
from everyspan.wire.envelope import wrap
from everyspan.wire.frame import Kind
from everyspan.wire.protobuf import delimited
from tests.spool_frames import (
    die,
    drain,
    end,
    frames_of,
    living,
    open_log,
    peek,
    segments,
    seqs,
    start,
    the_dead,
)


def test_a_call_that_its_process_did_not_live_to_end_is_an_interrupted_span(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    start(log, 2)
    end(log, 1)
    die(log)

    backlog = the_dead(tmp_path)
    batch = peek(backlog)

    spans = [span for each in request_of(batch) for span in each.scope_spans[0].spans]
    assert [span.name for span in spans] == ["call 2", "call 1"]
    assert spans[0].status.message == "the process ended before the call did"
    assert seqs(frames_of(batch.body), Kind.SPAN) == [2, 3]
    assert seqs(frames_of(batch.body), Kind.START) == [1]
    assert (batch.spans, backlog.pending(), batch.closed, batch.spooled_to) == (2, 2, True, 3)
    stamp = identify(frames_of(batch.body)[2].payload).stamp
    assert stamp == (log.counts().writer, 2)


def request_of(batch: Batch) -> list[Any]:
    return list(ExportTraceServiceRequest.FromString(batch.body).resource_spans)


def test_recovering_again_makes_the_same_bytes(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    die(log)

    bodies = {peek(the_dead(tmp_path)).body for _ in range(3)}

    assert len(bodies) == 1


def test_a_batch_with_an_interrupted_call_splits_like_any_other(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(6):
        start(log, number)
    die(log)
    backlog = the_dead(tmp_path)
    batch = peek(backlog)

    left, right = batch.split()
    backlog.ack(left)

    assert peek(backlog).body == right.body
    backlog.ack(right)
    assert backlog.finish() is True


def test_a_call_with_the_ids_of_another_is_still_found_interrupted(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    start(log, 7)
    end(log, 7)
    start(log, 7)  # random.seed() makes the SDK repeat ids
    die(log)

    found = drain(the_dead(tmp_path))

    assert seqs(found, Kind.SPAN) == [2, 3]
    assert seqs(found, Kind.START) == [1]


@pytest.mark.parametrize("ended", [False, True])
def test_an_open_call_outlives_the_segment_it_began_in(tmp_path: Path, ended: bool) -> None:
    log = open_log(tmp_path, segment_bytes=4000)
    start(log, 1000)
    for number in range(40):
        start(log, number)
        end(log, number)
    drain(living(log))
    for number in range(40, 80):
        end(log, number)
    drain(living(log))
    if ended:
        end(log, 1000)
    die(log)

    assert len(segments(tmp_path)) == 2  # the last one, and the START frame of the open call
    found = drain(the_dead(tmp_path))

    spans = [identify(frame.payload) for frame in found if frame.kind == Kind.SPAN]
    assert [span.stamp and span.stamp.seq for span in spans] == ([122] if ended else [1])


def test_a_call_whose_end_was_dropped_is_told_as_begun_and_not_as_killed(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    log.close()

    batch = peek(the_dead(tmp_path))

    request = ExportTraceServiceRequest.FromString(batch.body)
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.status.message == "the process ended in order, and the call's end was not recorded"
    assert batch.spans == 1


def test_a_begin_that_no_span_can_be_made_of_holds_nothing_up_behind_it(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    ids = delimited(b"\x0a", bytes(15) + b"\1") + delimited(b"\x12", bytes(7) + b"\1")
    span = delimited(b"\x12", ids + b"\x07" * 9)  # behind the ids, a field of a kind that there is not
    broken = b"\x0a\0" + delimited(b"\x12", b"\x0a\0" + span)
    log.append(Kind.START, wrap(Kind.START, broken))
    start(log, 2)
    die(log)

    found = drain(the_dead(tmp_path))

    assert seqs(found, Kind.START) == [1]
    assert seqs(found, Kind.SPAN) == [2]


@pytest.mark.parametrize("begun", [[[1]], [None], {"1": 2}, "[" * 100_000])
def test_a_word_about_ended_calls_that_says_nothing_ends_none(tmp_path: Path, begun: object) -> None:
    log = open_log(tmp_path)
    start(log, 1)
    content = begun if isinstance(begun, str) else json.dumps({"begun": begun})
    log.append(Kind.ENDED, wrap(Kind.ENDED, content.encode()))
    die(log)

    assert seqs(drain(the_dead(tmp_path)), Kind.SPAN) == [1]
