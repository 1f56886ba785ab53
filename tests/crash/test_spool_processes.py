"""Several processes and one spool: each is a writer of its own. How they are killed is for `tests/torture`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from everyspan.spool import adopt
from tests.spool_frames import drain, end, open_log, seqs, start


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
