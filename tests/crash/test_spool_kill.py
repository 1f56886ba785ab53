"""Real processes, really killed: what `append` said is kept is there afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from everyspan.model.ids import WriterId
from everyspan.spool import adopt
from everyspan.wire.decode import identify
from everyspan.wire.frame import Kind
from tests.spool_frames import drain, end, open_log, seqs, start

# Threads append START and SPAN frames of random sizes, also in forked children; after each append that said DISK the
# call's number goes to the pipe, in one write that can not be torn. Then the whole process group is killed.
WORK = """
import os, random, sys, threading
from pathlib import Path
from everyspan.spool import Kept
from tests.spool_frames import end, open_log, start

log = open_log(Path(sys.argv[1]), segment_bytes=200_000)
fork = sys.argv[2] == "fork"

def work(base):
    rng = random.Random(base)
    for number in range(base, base + 100_000):
        if start(log, number) is Kept.DISK:
            os.write(1, b"B%015d" % number)
        if end(log, number, text="x" * int(rng.lognormvariate(6, 1.5))) is Kept.DISK:
            os.write(1, b"E%015d" % number)

def threads(first):
    for at in range(2):
        threading.Thread(target=work, args=((first + at) * 1_000_000,), daemon=True).start()

threads(0)
generation = 2
while fork:
    if os.fork() == 0:
        threads(generation)
        fork = False
    generation += 2
    if generation > 5:
        break
threading.Event().wait()
"""


def killed_at_random(root: Path, *, fork: bool, after_s: float) -> tuple[set[int], set[int]]:
    """Calls whose START, and whose SPAN, the process had been told is kept when it was killed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, str(root), "fork" if fork else "alone"],
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    told = process.stdout.read(16)
    time.sleep(after_s)
    os.killpg(process.pid, signal.SIGKILL)
    told += process.stdout.read()
    process.wait()
    process.stdout.close()
    words = [told[at : at + 16] for at in range(0, len(told), 16)]
    return (
        {int(word[1:]) for word in words if word[:1] == b"B"},
        {int(word[1:]) for word in words if word[:1] == b"E"},
    )


def test_no_kept_frame_is_lost_whenever_the_process_is_killed(tmp_path: Path) -> None:
    rng = random.Random()
    deadline = time.monotonic() + 20
    kills = acknowledged = interrupted = torn = 0

    while kills < 60 and time.monotonic() < deadline:
        root = tmp_path / f"run {kills}"
        begun, ended = killed_at_random(root, fork=kills % 3 == 0, after_s=rng.uniform(0.0002, 0.08))

        spans: set[int] = set()
        numbers: defaultdict[WriterId, list[int]] = defaultdict(list)
        for backlog in adopt(root, living=None):
            for frame in drain(backlog, limit_bytes=100_000):
                if frame.kind == Kind.SPAN:
                    found = identify(frame.payload)
                    assert found.stamp == (backlog.writer, frame.seq)
                    spans.add(int.from_bytes(found.span_id, "big") - 1)
                    interrupted += b"interrupted" in frame.payload
                if frame.seq:
                    numbers[backlog.writer].append(frame.seq)
            torn += getattr(backlog, "torn_bytes", 0) > 0
            assert getattr(backlog, "damaged", None) == 0
            assert backlog.finish() is True

        assert ended <= spans
        assert begun <= spans
        assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())
        # A kill can leave a directory that was never used; it goes when it is an hour old.
        assert all(path.name.startswith(".new-") for path in root.iterdir())
        acknowledged += len(begun) + len(ended)
        kills += 1

    print(f"{kills} kills, {acknowledged} kept frames, 0 lost, {interrupted} interrupted, {torn} torn tails")
    assert kills >= 10
    assert acknowledged > kills
    assert interrupted > 0


def test_a_forked_child_is_a_writer_of_its_own_and_its_parent_goes_on(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    start(log, 0)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        for number in range(100, 150):
            end(log, number)
        os.write(write, str(log.counts().writer).encode())
        os._exit(0)
    for number in range(50):
        end(log, number)
    _, status = os.waitpid(child, 0)
    childs_writer = os.read(read, 20).decode()
    os.close(read)
    os.close(write)

    assert status == 0
    assert childs_writer != log.counts().writer
    assert seqs(drain(log.backlog())) == list(range(1, 52))
    (backlog,) = adopt(tmp_path, living=log.counts().writer)
    assert backlog.writer == childs_writer
    assert seqs(drain(backlog)) == list(range(1, 51))


def test_a_dead_parents_directory_is_not_held_by_its_living_child(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from tests.spool_frames import end, open_log\n"
        "log = open_log(Path(sys.argv[1]))\n"
        "end(log, 1)\n"
        "if os.fork() == 0:\n"
        "    end(log, 2)\n"
        "    os.write(1, b'%d\\n' % os.getpid())\n"
        "    time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()

        adopted = [seqs(drain(backlog)) for backlog in adopt(tmp_path, living=None)]
        held = len(list(tmp_path.iterdir()))
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()

    assert adopted == [[1]]
    assert held == 2


def test_two_processes_write_to_one_root_at_once(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.spool_frames import end, open_log\n"
        "log = open_log(Path(sys.argv[1]), segment_bytes=20_000)\n"
        "for number in range(500): end(log, number)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=environment) for _ in range(2)
    ]

    codes = [process.wait(60) for process in both]

    assert codes == [0, 0]
    found = [seqs(drain(backlog)) for backlog in adopt(tmp_path, living=None)]
    assert found == [list(range(1, 501))] * 2
