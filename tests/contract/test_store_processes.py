"""What holds when other processes read, write at the same time, or are killed in the middle of an insert."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from multiprocessing.connection import Connection

import pytest

from everyspan.errors import StoreError
from everyspan.model.ids import Seq
from everyspan.store.reads import CostBy, CostFilter, TraceFilter, WriterFilter
from everyspan.store.rows import Numbers, SpanRow
from everyspan.store.store import Store, open_store
from tests.store_rows import numbers, sighting, stamped, trace_id

_SPAWN = multiprocessing.get_context("spawn")
_BATCH = 20
_WAIT_S = 25
PRICE = Decimal("0.000000123456789")


def batch(number: int) -> tuple[list[SpanRow], list[Numbers]]:
    """Twenty calls of four traces, each trace spread over several batches, with their begins."""
    seqs = [2 * (number * _BATCH + offset) for offset in range(1, _BATCH + 1)]
    rows = [
        stamped(seq, seq, cost=str(PRICE), trace_id=trace_id(number // 3 * 4 + seq % 8 // 2)) for seq in seqs
    ]
    return rows, [numbers(Seq(seq - 1)) for seq in seqs]


def insert_for_ever(url: str, first: int, acknowledged: Connection) -> None:
    """Insert batch after batch, and tell the number of each one that is safe."""
    store = open_store(url)
    number = first
    while True:
        rows, begins = batch(number)
        store.insert(rows, begins, [sighting(rows[-1].seq or 0)])
        acknowledged.send(number)
        number += 1


def watch(url: str, spans: int, told: Connection) -> None:
    """Read until so many spans are there; tell every state in which rows and sums disagree, then the last count."""
    with closing(open_store(url, read_only=True)) as store:
        told.send("watching")
        seen = 0
        while seen < spans:
            seen = disagreements(store, told)
        told.send(seen)


def disagreements(store: Store, told: Connection) -> int:
    """Compare each trace's summary with its own rows; returns how many spans the summaries speak of."""
    summaries = store.list_traces(TraceFilter(limit=1000))
    for summary in summaries:
        found = store.read_trace(summary.trace_id, project="default")
        if found is None or found[0].spans != len(found[1]) or found[0].cost != PRICE * len(found[1]):
            told.send(f"trace {summary.trace_id} does not add up")
    return sum(summary.spans for summary in summaries)


@contextmanager
def running(target: object, *arguments: object) -> Iterator[tuple[int, Connection]]:
    """A real process with the other end of a pipe; killed at the end if it is still there."""
    ours, theirs = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=target, args=(*arguments, theirs))  # type: ignore[arg-type]
    process.start()
    theirs.close()
    try:
        assert process.pid is not None
        yield process.pid, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def receive(connection: Connection) -> object:
    """The next message, or a failure instead of waiting for ever."""
    assert connection.poll(_WAIT_S), "the other process said nothing"
    return connection.recv()


def acknowledged_until_killed(
    pid: int, acknowledged: Connection, at_least: int, chance: random.Random
) -> int:
    """Kill the writer at some moment of an insert; returns the last batch that it had called safe."""
    last = -1
    for _ in range(at_least):
        last = int(str(receive(acknowledged)))
    # Some microseconds into the next insert: before, in the middle of, or after its commit.
    acknowledged.poll(chance.random() * 0.004)
    os.kill(pid, signal.SIGKILL)
    while acknowledged.poll(_WAIT_S):
        try:
            last = int(str(acknowledged.recv()))
        except EOFError:
            break
    return last


def test_a_writer_that_is_killed_loses_no_acknowledged_batch_and_counts_nothing_twice(
    shared_store_url: str,
) -> None:
    chance, last = random.Random(7), -1
    for _ in range(4):
        # The new writer starts one batch back, as a sender does that never saw the answer.
        with running(insert_for_ever, shared_store_url, max(last, 0)) as (pid, acknowledged):
            last = acknowledged_until_killed(pid, acknowledged, 5, chance)

    with closing(open_store(shared_store_url)) as store:
        (writer,) = store.writers(WriterFilter())
        (group,) = store.cost_groups(CostBy.MODEL, CostFilter())
        summaries = store.list_traces(TraceFilter(limit=1000))
        rows = sum(
            len((store.read_trace(one.trace_id, project="default") or ((), ()))[1]) for one in summaries
        )
    # The batch in which it was killed is there as a whole or not at all.
    assert rows in ((last + 1) * _BATCH, (last + 2) * _BATCH)
    assert writer.received == ((1, 2 * rows),)
    assert writer.spans == writer.begun == group.calls == sum(one.spans for one in summaries) == rows
    assert group.cost == PRICE * rows
    assert sum((one.cost or Decimal(0) for one in summaries), Decimal(0)) == PRICE * rows


def test_another_process_reads_while_this_one_writes_and_never_sees_a_sum_without_its_rows(
    shared_store_url: str,
) -> None:
    batches = 40
    with (
        closing(open_store(shared_store_url)) as store,
        running(watch, shared_store_url, batches * _BATCH) as (_, told),
    ):
        assert receive(told) == "watching"
        for number in range(batches):
            store.insert(*batch(number))
        answer = receive(told)

    assert answer == batches * _BATCH


def insert_ten(url: str, done: Connection) -> None:
    """Insert the first ten batches."""
    with closing(open_store(url)) as store:
        done.send(sum(store.insert(*batch(number)).new for number in range(10)))


def test_two_processes_that_create_and_fill_one_store_at_once_count_each_span_once(
    shared_store_url: str,
) -> None:
    with (
        running(insert_ten, shared_store_url) as (_, one),
        running(insert_ten, shared_store_url) as (_, other),
    ):
        new = [receive(one), receive(other)]

    with closing(open_store(shared_store_url, read_only=True)) as store:
        (writer,) = store.writers(WriterFilter())
    assert sum(int(str(count)) for count in new) == writer.spans == 10 * _BATCH


@pytest.mark.parametrize("url", ["postgres://host/db", "sqlite://", "sqlite:///"])
def test_an_address_that_means_nothing_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///path"):
        open_store(url)
