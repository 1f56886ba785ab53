"""A writer that dies after everything of it has arrived still has to be reported as finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from everyspan.spool import adopt

WRITER = """
import os, sys
from pathlib import Path
from everyspan.settings import Fsync
from everyspan.spool import Log
from everyspan.wire.frame import Kind

log = Log(Path(sys.argv[1]), about={}, fsync=Fsync.NONE, cap_bytes=1 << 20)
log.append(Kind.SPAN, b"\\x0a\\x00")
backlog = log.backlog()
batch = backlog.peek(limit_bytes=1 << 20)
backlog.ack(batch)
os._exit(0)
"""


def a_writer_that_was_acknowledged(root: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITER, str(root)], check=True, timeout=30)


def test_who_adopts_it_has_one_request_to_send_that_says_it_is_finished(tmp_path: Path) -> None:
    a_writer_that_was_acknowledged(tmp_path)

    (backlog,) = adopt(tmp_path, living=None)
    batch = backlog.peek(limit_bytes=1 << 20)

    assert batch is not None
    assert (batch.closed, batch.spans, batch.spooled_to, backlog.pending()) == (True, 0, 1, 0)


def test_its_directory_goes_once_that_has_arrived(tmp_path: Path) -> None:
    a_writer_that_was_acknowledged(tmp_path)
    (backlog,) = adopt(tmp_path, living=None)
    batch = backlog.peek(limit_bytes=1 << 20)
    assert batch is not None

    backlog.ack(batch)

    assert backlog.peek(limit_bytes=1 << 20) is None
    assert backlog.finish()
    assert list(tmp_path.iterdir()) == []
