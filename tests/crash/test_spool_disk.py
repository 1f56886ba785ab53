"""Disks that are full, read-only or gone: nothing rises into the caller, and every span is accounted for."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from everyspan.spool import Kept, adopt
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind
from tests.spool_frames import Found, drain, end, open_log, segments, seqs

# RLIMIT_FSIZE makes write(2) take a part and then nothing, as a full disk does. The second half runs without it.
FULL = """
import json, resource, signal, sys, time
from pathlib import Path
from everyspan.spool import Kept
from tests.spool_frames import drain, end, open_log, seqs

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
log = open_log(Path(sys.argv[1]))
kept = [end(log, number, text="x" * 20_000).name for number in range(600)]
full = log.counts()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
time.sleep(0.06)
kept.append(end(log, 600).name)
free = log.counts()
log.close()
print(json.dumps({
    "kept": kept, "errors": full.errors, "dropped": full.dropped, "in_memory": full.in_memory,
    "on_disk": full.on_disk, "left_in_memory": free.in_memory, "spans": free.spans,
}))
"""


def run(script: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def told(found: list[Found]) -> list[int]:
    """Every number that a DROP frame names."""
    ranges = [json.loads(unwrap(frame.payload))["ranges"] for frame in found if frame.kind == Kind.DROP]
    return [number for each in ranges for first, last in each for number in range(first, last + 1)]


@pytest.mark.parametrize("limit", [0, 100, 50_000, 123_457])
def test_a_full_disk_loses_nothing_unexplained_and_recovers_by_itself(tmp_path: Path, limit: int) -> None:
    said = run(FULL, str(tmp_path), str(limit))

    kept = said["kept"]
    assert kept[-1] == "DISK"
    assert said["errors"]
    assert said["on_disk"] + said["in_memory"] + said["dropped"]["disk"] == 600
    assert kept.count("DROPPED") == said["dropped"]["disk"] > 0
    assert said["left_in_memory"] == 0
    found = [frame for backlog in adopt(tmp_path, living=None) for frame in drain(backlog)]
    assert len(seqs(found)) == 601 - said["dropped"]["disk"]
    assert sorted([*seqs(found), *told(found)]) == list(range(1, 602))


def test_a_write_that_only_half_fits_leaves_no_half_frame(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = open_log(tmp_path)
        end(log, 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        said = [end(log, number, text="x" * 3000) for number in range(1, 6)]
        os._exit(0 if said[0] is Kept.DISK and said[-1] is Kept.MEMORY else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    (path,) = segments(tmp_path)
    (backlog,) = adopt(tmp_path, living=None)
    assert seqs(drain(backlog)) == [1, 2, 3]
    assert getattr(backlog, "torn_bytes", None) == 0
    assert path.stat().st_size < 10_000


def test_a_file_system_that_takes_nothing_sends_frames_to_memory() -> None:
    log = open_log(Path("/proc/self/spool/destination"))  # also root can not make a directory there

    kept = [end(log, number) for number in range(3)]
    log.close()

    assert kept == [Kept.MEMORY] * 3
    assert sum(log.counts().errors.values()) >= 1
    assert log.counts().dropped == {"disk": 3}


def test_a_root_that_can_not_be_made_sends_frames_to_memory_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    log = open_log(tmp_path / "file" / "destination")
    kept = [end(log, number) for number in range(3)]
    (tmp_path / "file").unlink()
    time.sleep(0.06)  # the log looks again 50 ms later; no event tells

    kept.append(end(log, 3))

    assert kept == [Kept.MEMORY] * 3 + [Kept.DISK]
    assert seqs(drain(log.backlog())) == [1, 2, 3, 4]
    counts = log.counts()
    assert (counts.spans, counts.on_disk, counts.in_memory, counts.dropped) == (4, 4, 0, {})
    assert set(counts.errors) == {"ENOTDIR"}


def test_file_descriptors_do_not_pile_up_over_segments_writers_and_failures(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=2000)
    end(log, 0)
    before = len(os.listdir("/proc/self/fd"))

    for round_ in range(20):
        for number in range(10):
            end(log, number, text="x" * 500)
        drain(log.backlog())
        log.close()
        for backlog in adopt(tmp_path, living=None):
            drain(backlog)
            backlog.finish()
        end(log, round_)

    assert len(os.listdir("/proc/self/fd")) <= before
