"""SIGKILL while streams arrive and are delivered: no piece of text on disk is missing, and none comes twice."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from everyspan.spool import Kept, Log, adopt
from everyspan.wire.decode import unwrap
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind
from everyspan.wire.part import encode_part
from tests.spool_frames import drain, open_log

KILLS = 25
STREAMS = 3
OUTPUT = "gen_ai.output.messages"


def span(number: int) -> ReadableSpan:
    context = SpanContext(number, number, is_remote=False)
    known = {"gen_ai.operation.name": "chat"}
    return ReadableSpan("chat m", context=context, attributes=known, resource=Resource({}), start_time=1)


def stream_for_ever(root: Path, told: int) -> None:
    """Keep three streams going, tell the pipe of each piece that is on disk, and deliver beside it."""
    log = open_log(root, segment_bytes=16 << 10)
    threading.Thread(target=deliver, args=(log,), daemon=True).start()
    number, length = 0, [0] * STREAMS
    open_numbers = [0] * STREAMS
    moments = random.Random(os.getpid())
    while True:
        slot = moments.randrange(STREAMS)
        if not length[slot]:
            number += 1
            open_numbers[slot] = number
            begun = encode_started(span(number))
            log.append(Kind.START, begun.payload, stamp_at=begun.stamp_at)
        elif moments.random() < 0.02:
            os.write(told, f"{open_numbers[slot]} ending\n".encode())
            ended = encode_span(span(open_numbers[slot]))
            log.append(Kind.SPAN, ended.payload, stamp_at=ended.stamp_at)
            length[slot] = 0
            continue
        length[slot] += 1
        ids = open_numbers[slot].to_bytes(16, "big") + open_numbers[slot].to_bytes(8, "big")
        grows = [(OUTPUT, f"{length[slot]} " + "." * moments.randrange(200))]
        kept = log.append(
            Kind.PART, encode_part(ids, length[slot], attributes={}, grows=grows, closes={OUTPUT: "!"})
        )
        assert kept is Kept.DISK
        os.write(told, f"{open_numbers[slot]} {length[slot]}\n".encode())


def deliver(log: Log) -> None:
    while True:
        if log.backlog() is not None:
            drain(log.backlog(), limit_bytes=8 << 10)
        time.sleep(0.001)


def killed(root: Path, after_s: float) -> tuple[dict[int, int], set[int]]:
    """How many pieces each stream had on disk when its process was killed, and which had begun to end."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            stream_for_ever(root, write)
        finally:
            os._exit(1)
    os.close(write)
    timer = threading.Timer(after_s, os.kill, (child, signal.SIGKILL))
    timer.start()
    with os.fdopen(read) as lines:
        words = [line.split() for line in lines.read().splitlines()]
    _, status = os.waitpid(child, 0)
    timer.join()
    assert os.WTERMSIG(status) == signal.SIGKILL
    pieces: dict[int, int] = {}
    for number, what in words:
        if what != "ending":
            pieces[int(number)] = int(what)
    return pieces, {int(number) for number, what in words if what == "ending"}


def recovered(root: Path) -> dict[int, str]:
    """The text of each interrupted stream, by its number."""
    found = {}
    for backlog in adopt(root, living=None):
        for frame in drain(backlog):
            if frame.kind != Kind.SPAN:
                continue
            (each,) = ResourceSpans.FromString(unwrap(frame.payload)).scope_spans[0].spans
            said = {pair.key: pair.value.string_value for pair in each.attributes}
            if said.get("everyspan.end") == "interrupted":
                found[int.from_bytes(each.trace_id, "big")] = said.get(OUTPUT, "")
        assert backlog.finish()
    return found


def test_every_piece_that_was_written_is_in_the_interrupted_span_exactly_once(tmp_path: Path) -> None:
    moments = random.Random(2026)
    checked = interrupted = 0
    for kill in range(KILLS):
        root = tmp_path / str(kill)

        pieces, ending = killed(root, moments.uniform(0.03, 0.25))
        found = recovered(root)

        for number, text in found.items():
            numbers = [int(word) for word in text.replace(".", "").rstrip("!").split()]
            assert numbers == list(range(1, len(numbers) + 1)), (kill, number, text)
            assert len(numbers) >= pieces.get(number, 0), (kill, number)
            checked += len(numbers)
            interrupted += 1
        assert {number for number in pieces if number not in ending} <= found.keys()
    print(json.dumps({"kills": KILLS, "interrupted": interrupted, "pieces": checked}))
    assert interrupted >= KILLS
    assert checked > 10 * KILLS
