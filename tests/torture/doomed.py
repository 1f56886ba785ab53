"""What the processes do that the kill test kills. Imported by their fork server, so it loads little."""

from __future__ import annotations

import itertools
import os
import random
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from everyspan.spool import Backlog, Kept, Log, adopt
from tests.spool_frames import open_log
from tests.torture.calls import begin, end

TOLD_BYTES = 16
_CALLS_PER_THREAD = 1_000_000


def write(root: Path, sink: Path, told: Connection, *, seed: int, forks: bool, ships: bool) -> None:
    """Begin and end calls in two threads, and in forked children too, while another thread delivers.

    What the log said is kept goes to `told` as 16 bytes, `B` or `E` and the call's number: one write to a pipe, which
    no kill can tear.
    """
    _say_ready(told)
    log = open_log(root, segment_bytes=100_000)
    _threads(log, told.fileno(), seed=seed, base=0)
    if ships:
        threading.Thread(target=_ship, args=(log, sink), daemon=True).start()
    for generation in range(1, 3) if forks else ():
        if os.fork() == 0:
            _threads(log, told.fileno(), seed=seed, base=generation)
            break
    threading.Event().wait()


def recover(root: Path, sink: Path, told: Connection) -> None:
    """Adopt what is there and deliver it. It is killed like the others."""
    _say_ready(told)
    with open(sink, "wb", buffering=0) as file:
        for backlog in adopt(root, living=None):
            _deliver(backlog, file.fileno(), limit_bytes=5_000)
            backlog.finish()
    told.close()


def _say_ready(told: Connection) -> None:
    """From here on the whole process group can be killed."""
    os.setsid()
    os.write(told.fileno(), b"ready".ljust(TOLD_BYTES))


def _threads(log: Log, told_fd: int, *, seed: int, base: int) -> None:
    for at in range(2):
        work = (log, told_fd, random.Random(f"{seed} {base} {at}"), (2 * base + at) * _CALLS_PER_THREAD)
        threading.Thread(target=_call, args=work, daemon=True).start()


def _call(log: Log, told_fd: int, rng: random.Random, first: int) -> None:
    open_calls: list[int] = []
    for number in itertools.count(first):
        if begin(log, number) is Kept.DISK:
            os.write(told_fd, b"B%015d" % number)
        open_calls.append(number)
        # Several are open at a time, and end in another order than they began in.
        while len(open_calls) > 3 or (open_calls and rng.random() < 0.5):
            ended = open_calls.pop(rng.randrange(len(open_calls)))
            if end(log, ended, text="x" * int(rng.lognormvariate(7, 1.5))) is Kept.DISK:
                os.write(told_fd, b"E%015d" % ended)


def _ship(log: Log, sink: Path) -> None:
    with open(sink, "wb", buffering=0) as file:
        while True:
            backlog = log.backlog()
            if backlog is not None:
                _deliver(backlog, file.fileno(), limit_bytes=50_000)
            threading.Event().wait(0.002)


def _deliver(backlog: Backlog, fd: int, *, limit_bytes: int) -> None:
    """A file stands for the destination: what is in it has arrived, and only then is acknowledged."""
    writer = backlog.writer.encode()
    while (batch := backlog.peek(limit_bytes=limit_bytes)) is not None:
        os.write(fd, writer + len(batch.body).to_bytes(4, "little") + batch.body)
        backlog.ack(batch)


def delivered_in(sink: Path) -> list[tuple[str, bytes]]:
    """Writer and body of every batch that arrived; one that a kill cut short did not."""
    data = sink.read_bytes() if sink.exists() else b""
    found, at = [], 0
    while at + 24 <= len(data):
        writer, size = data[at : at + 20].decode(), int.from_bytes(data[at + 20 : at + 24], "little")
        body = data[at + 24 : at + 24 + size]
        if len(body) < size:
            break
        found.append((writer, body))
        at += 24 + size
    return found
