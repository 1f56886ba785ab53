"""Filesystems that are really full, really out of inodes or really read-only: small ones, mounted for the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from everyspan.spool import Kept, adopt, waiting
from everyspan.testing.sink import Sink
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind
from tests.crash.conftest import Mount
from tests.processes import deliver_the_rest, missing_numbers
from tests.programs import clean_environment
from tests.spool_frames import Found, die, drain, end, living, open_log, seqs, start

LOOKS_AGAIN_S = 0.06
"""A log tries a disk that refused after 50 ms; no event tells."""


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def told(found: list[Found]) -> list[int]:
    """Every number that a DROP frame names."""
    ranges = [json.loads(unwrap(frame.payload))["ranges"] for frame in found if frame.kind == Kind.DROP]
    return [number for each in ranges for first, last in each for number in range(first, last + 1)]


def test_a_disk_that_others_fill_and_empty_again_costs_only_what_is_told(mount: Mount) -> None:
    disk = mount("size=16m")
    log = open_log(disk / "spool", segment_bytes=1 << 20)
    kept = [end(log, 0)]
    others = disk / "others"
    with others.open("wb") as file:
        room = os.statvfs(disk)
        file.write(b"x" * (room.f_bavail * room.f_bsize))

    kept += [end(log, number, text="x" * 20_000) for number in range(1, 600)]
    counts = log.counts()
    others.unlink()
    time.sleep(LOOKS_AGAIN_S)
    kept.append(end(log, 600))
    found = drain(log.backlog())

    assert (kept[0], kept[-1]) == (Kept.DISK, Kept.DISK)
    assert {Kept.MEMORY, Kept.DROPPED} <= set(kept)
    assert counts.errors["ENOSPC"] > 0
    assert kept.count(Kept.DROPPED) == counts.dropped["disk"]
    assert sorted([*seqs(found), *told(found)]) == list(range(1, 602))
    assert log.counts().in_memory == 0


def test_a_disk_without_inodes_takes_no_new_segment_and_nothing_is_lost(mount: Mount) -> None:
    disk = mount("size=4m,nr_inodes=8")
    log = open_log(disk / "spool", segment_bytes=4000)

    kept = [end(log, number, text="x" * 1000) for number in range(60)]
    found = drain(log.backlog())

    assert kept[0] is Kept.DISK
    assert Kept.MEMORY in kept
    assert log.counts().errors["ENOSPC"] > 0
    assert sorted(set(seqs(found))) == list(range(1, 61))


def test_what_a_process_left_on_a_disk_that_is_read_only_now_waits_until_it_can_be_written(
    mount: Mount, caplog: pytest.LogCaptureFixture
) -> None:
    disk = mount("size=1m")
    left = open_log(disk / "spool" / "otlp-test")
    start(left, 1)
    end(left, 2)
    die(left)
    remount(disk, "ro")

    log = open_log(disk / "spool" / "otlp-test")
    kept = end(log, 3)
    adopted = list(adopt(disk / "spool" / "otlp-test", living=log.counts().writer))
    delivered = seqs(drain(living(log)))
    (look,) = waiting(disk / "spool")
    remount(disk, "rw")
    (backlog,) = adopt(disk / "spool" / "otlp-test", living=log.counts().writer)

    assert (kept, adopted, delivered) == (Kept.MEMORY, [], [1])
    assert look.spans == 1
    warnings = [record.getMessage() for record in caplog.records]
    assert any("read-only filesystem" in each for each in warnings)
    assert seqs(drain(backlog), Kind.SPAN) == [1, 2]


PROGRAM = """
import json, sys
import everyspan
everyspan.init()
for number in range(400):
    with everyspan.span("work", attributes={"text": "x" * 4000}):
        pass
counts = everyspan.flush(20)
print(json.dumps({"recorded": counts.recorded, "delivered": counts.delivered, "dropped": counts.dropped}))
"""


def run(spool: Path, url: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**clean_environment(spool), "EVERYSPAN_ENDPOINT": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("options", ["size=64k", "size=1m,ro", "size=1m,nr_inodes=4"])
def test_a_whole_program_delivers_everything_though_its_disk_takes_little_or_nothing(
    mount: Mount, options: str
) -> None:
    with Sink(speaks_everyspan=True) as sink:
        spool = mount(options)

        said = run(spool / "spool", sink.url)
        if "ro" not in options:
            deliver_the_rest(sink, spool / "spool")

        assert said == {"recorded": 400, "delivered": 400, "dropped": 0}
        # Where not even the cursor could be written, the next process sends copies, which their stamps expose.
        assert len({span.stamp for span in sink.spans}) == 400
        assert missing_numbers(sink) == {}
