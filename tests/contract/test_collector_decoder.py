"""Requests are read in a process of their own when there are many: it gives the same rows, and holds nothing."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from everyspan.collector import mover
from everyspan.collector.accept import Envelope, seal
from everyspan.collector.attempts import Attempts
from everyspan.collector.decoder import Decoder, read_all
from everyspan.collector.inbox import Inbox
from everyspan.collector.limits import Limits
from everyspan.errors import CollectorError
from everyspan.store.reads import Inserted, TraceFilter
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.sqlite import SqliteStore
from tests.collector_requests import body, generation, span

START_S = 60.0
WRITER = "0000001-00000000000a"

MOTHER = """
import sys
from everyspan.collector.attempts import Attempts
from everyspan.collector.decoder import Decoder
from everyspan.collector.limits import Limits
decoder = Decoder(Limits())
assert decoder.ready(timeout_s=60)
print(decoder.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """One that can be given work."""
    made = Decoder(Limits())
    assert made.ready(timeout_s=START_S)
    yield made
    made.close()


def entry(*numbers: int) -> bytes:
    """An inbox entry with these spans: calls, the odd ones with our stamp, and a tool."""
    sent = [
        generation(
            number,
            **{
                "user.id": "ann",
                "session.id": "s",
                "gen_ai.input.messages": f'["number {number} \\\\ud800 é"]',
            },
            **({"everyspan.stamp": f"{WRITER}:{number:016x}"} if number % 2 else {}),
        )
        for number in numbers
    ]
    envelope = Envelope(project="default", received_ns=7, writer=None)
    return seal(envelope, body(*sent, span(1000 + numbers[0], name="tool")))


def test_the_rows_are_those_that_are_read_here(decoder: Decoder) -> None:
    requests = [[entry(1, 2), entry(3)], [entry(4)], [], [entry(5, 6, 7)], [entry(8)]]

    there = list(decoder.read(requests))

    assert there == [read_all(request, Limits()) for request in requests]


def test_an_entry_that_cannot_be_read_is_named_and_the_next_ones_are_read(decoder: Decoder) -> None:
    with pytest.raises(CollectorError, match="no readable first line"):
        list(decoder.read([[b"no entry"], [entry(1)]]))

    assert decoder.ready(timeout_s=START_S)
    assert [len(read.spans) for read in decoder.read([[entry(1)]])] == [2]


def test_a_process_that_died_is_an_error_and_the_next_one_reads_on(decoder: Decoder) -> None:
    kill(decoder.pid)

    with pytest.raises(CollectorError, match="died"):
        list(decoder.read([[entry(1)]]))

    assert decoder.ready(timeout_s=START_S)
    assert [len(read.spans) for read in decoder.read([[entry(1)]])] == [2]


def test_the_process_ends_with_a_server_that_is_killed() -> None:
    mother = subprocess.Popen(
        [sys.executable, "-c", MOTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert mother.stdout is not None
    ended = os.pidfd_open(int(mother.stdout.readline()))

    mother.kill()
    mother.communicate()

    assert select.select([ended], [], [], START_S)[0]


def test_each_span_counts_once_though_the_process_dies_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: Decoder
) -> None:
    monkeypatch.setattr(mover, "_MUCH_BYTES", 1)
    monkeypatch.setattr(mover, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(mover, "_PROCESSORS", 2)
    directory = tmp_path / "inbox"
    before = Inbox(directory, cap_bytes=64 << 20)
    for number in range(1, 31):
        before.put(entry(number)).result()
    before.close()
    store = KillingStore(tmp_path / "spans.db")
    store.decoder = decoder
    inbox = Inbox(directory, cap_bytes=64 << 20)

    moving = mover.Mover(inbox, store, Attempts(directory / "attempts"), Limits(), decoder=decoder)
    moving.start()
    assert store.all_there.wait(START_S)
    moving.stop()
    inbox.close()

    kept = store.read_spans().rows
    assert sorted(row.span_id for row in kept) == sorted(
        f"{number:016x}" for number in (*range(1, 31), *range(1001, 1031))
    )
    assert moving.moved.set_aside == 0
    assert store.kills
    store.close()


class KillingStore(SqliteStore):
    """A real store that kills the process which reads for it, three times in the middle of a batch."""

    decoder: Decoder
    kills = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.all_there = threading.Event()

    def insert(
        self, spans: Sequence[SpanRow], numbers: Sequence[Numbers] = (), sightings: Sequence[Sighting] = ()
    ) -> Inserted:
        done = super().insert(spans, numbers, sightings)
        if self.kills < 3 and self.decoder.pid:
            self.kills += 1
            kill(self.decoder.pid)
        if self.trace_totals(TraceFilter()).spans == 60:
            self.all_there.set()
        return done


def kill(pid: int) -> None:
    """With SIGKILL, and wait until it is dead."""
    dead = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([dead], [], [], START_S)[0]
    os.close(dead)
