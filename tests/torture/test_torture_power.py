"""Ends at awkward moments: of the power, and of a process whose disk took the begin of a call and not its end."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.settings import Fsync
from everyspan.spool import Kept, adopt
from everyspan.wire.decode import identify
from everyspan.wire.frame import Kind
from tests.spool_frames import die, drain, open_log, segments
from tests.torture.calls import begin, end, span_id_of
from tests.torture.platters import Platters


@pytest.fixture
def platters() -> Iterator[Platters]:
    found = Platters()
    found.install()
    yield found
    found.remove()


@pytest.mark.parametrize("delivered", [False, True])
def test_a_call_that_was_open_when_the_power_went_is_found_interrupted(
    quick_disk: Path, platters: Platters, delivered: bool
) -> None:
    for seed in range(10):
        root = quick_disk / str(seed)
        log = open_log(root, fsync=Fsync.ALWAYS, segment_bytes=5000)
        begin(log, 0)
        for number in range(1, 5):
            begin(log, number)
            end(log, number, text="x" * 3000)
        if delivered:
            drain(log.backlog())
            assert len(segments(root)) == 2  # the last one, and what is known of open calls
        die(log)

        platters.cut_power(root, random.Random(seed))
        found = [frame for backlog in adopt(root, living=None) for frame in drain(backlog)]

        spans = [identify(frame.payload).span_id for frame in found if frame.kind == Kind.SPAN]
        assert span_id_of(0).to_bytes(8, "big") in spans
        assert delivered or len(spans) == 5  # a lost cursor offers copies again, and that is all
        shutil.rmtree(root)


@pytest.mark.parametrize("adopted", [False, True])
def test_what_was_refused_is_still_set_aside_when_the_power_has_gone(
    quick_disk: Path, platters: Platters, adopted: bool
) -> None:
    for seed in range(10):
        root = quick_disk / str(seed)
        log = open_log(root, fsync=Fsync.ALWAYS, segment_bytes=5000)
        for number in range(6):
            end(log, number, text="x" * 2000)
        if adopted:
            die(log)
        (backlog,) = adopt(root, living=None, durable=True) if adopted else [log.backlog()]
        assert backlog is not None
        first = backlog.peek(limit_bytes=1)
        assert first is not None
        while first.spans == 0:
            backlog.ack(first)
            first = backlog.peek(limit_bytes=1)
            assert first is not None
        backlog.set_aside(first, reason="400")
        drain(backlog)

        platters.cut_power(root, random.Random(seed))

        kept = [path.read_bytes() for path in root.glob("*/refused/*.frame")]
        segments_left = b"".join(path.read_bytes() for path in segments(root))
        assert kept == [first.body] or first.body in segments_left
        (words,) = root.glob("*/refused/*.json")
        assert b"400" in words.read_bytes()
        del backlog
        shutil.rmtree(root)


def test_a_call_whose_end_was_delivered_out_of_memory_is_not_found_interrupted_as_well(
    quick_disk: Path,
) -> None:
    log = open_log(quick_disk / "root", cap_bytes=2000)
    assert begin(log, 0) is Kept.DISK
    assert end(log, 0, text="x" * 3000) is Kept.MEMORY

    delivered = drain(log.backlog())
    die(log)
    delivered += [frame for backlog in adopt(quick_disk / "root", living=None) for frame in drain(backlog)]

    assert len([frame for frame in delivered if frame.kind == Kind.SPAN]) == 1
