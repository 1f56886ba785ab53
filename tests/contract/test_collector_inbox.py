"""From the answer 200 to the row: nothing in between is lost, blocks the others, or counts twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from everyspan.collector.accept import Envelope, seal
from everyspan.collector.attempts import Attempts
from everyspan.collector.decoder import Decoder
from everyspan.collector.inbox import Inbox
from everyspan.collector.intake import Intake
from everyspan.collector.keys import Keys
from everyspan.collector.limits import Limits
from everyspan.collector.mover import Mover
from everyspan.collector.otlp_http import Door
from everyspan.errors import CollectorError, StoreError
from everyspan.store.reads import Inserted, TraceFilter
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.sqlite import SqliteStore
from tests.collector_requests import PROTOBUF, START_NS, body, generation, span


class FaultyStore(SqliteStore):
    """A real store in which one name cannot be inserted, or nothing for a while."""

    poison = ""
    unavailable = 0

    def insert(
        self, spans: Sequence[SpanRow], numbers: Sequence[Numbers] = (), sightings: Sequence[Sighting] = ()
    ) -> Inserted:
        if self.unavailable:
            self.unavailable -= 1
            raise StoreError("the disk is full")
        if self.poison and any(row.name == self.poison for row in spans):
            raise RuntimeError("a bug that this body wakes")
        return super().insert(spans, numbers, sightings)


def entry(number: int, *, name: str = "chat gpt-4o") -> bytes:
    sent = span(number, name=name, trace_id=number.to_bytes(16, "big"))
    return seal(Envelope(project="default", received_ns=START_NS), body(sent))


@contextmanager
def moving(
    directory: Path, store: SqliteStore, *, decoder: Decoder | None = None
) -> Iterator[tuple[Inbox, Mover]]:
    """An inbox and the thread that empties it."""
    wake: list[Callable[[], None]] = []
    inbox = Inbox(directory, cap_bytes=64 << 20, arrived=lambda: wake[0]())
    mover = Mover(inbox, store, Attempts(directory / "attempts"), Limits(), decoder=decoder)
    wake.append(mover.wake)
    mover.start()
    try:
        yield inbox, mover
    finally:
        mover.stop()
        inbox.close()


def wait_until(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1500):
        if done():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen in 15 s")


def names(store: SqliteStore) -> list[str]:
    return sorted(trace.name for trace in store.list_traces(TraceFilter(limit=1000)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FaultyStore]:
    opened = FaultyStore(tmp_path / "spans.db")
    yield opened
    opened.close()


def test_a_body_that_fails_three_times_is_set_aside_and_those_around_it_are_stored(
    tmp_path: Path, store: FaultyStore
) -> None:
    store.poison = "poison"
    before = Inbox(tmp_path / "inbox", cap_bytes=64 << 20)
    for number in range(1, 21):
        before.put(entry(number, name="poison" if number == 7 else f"good {number:02}")).result()
    before.close()

    with moving(tmp_path / "inbox", store) as (_, mover):
        wait_until(lambda: mover.pending == 0)
        moved, quarantined = mover.moved, mover.quarantined

    assert names(store) == [f"good {number:02}" for number in range(1, 21) if number != 7]
    assert (moved.set_aside, quarantined) == (1, 1)
    with moving(tmp_path / "inbox", store) as (_, mover):
        assert mover.quarantined == 1
        assert mover.pending == 0


class SlowToStart(Decoder):
    """One that cannot be given work before its time has come."""

    started = False

    def ready(self, *, timeout_s: float = 0.0) -> bool:
        return self.started and super().ready(timeout_s=timeout_s)


def test_a_suspect_body_keeps_no_other_waiting_for_the_process_that_reads_it(
    tmp_path: Path, store: FaultyStore
) -> None:
    directory = tmp_path / "inbox"
    before = Inbox(directory, cap_bytes=64 << 20)
    for number in range(1, 6):
        before.put(entry(number, name=f"body {number}")).result()
    (backlog,) = before.backlogs()
    while (in_hand := backlog.peek(limit_bytes=1)) and not in_hand.spans:
        backlog.ack(in_hand)  # who writes here
    assert in_hand
    for _ in range(3):
        Attempts(directory / "attempts").begin(backlog.writer, in_hand)
    before.close()

    with moving(directory, store, decoder=SlowToStart(Limits())) as (inbox, mover):
        wait_until(lambda: mover.pending == 1)
        inbox.put(entry(6, name="body 6")).result()
        wait_until(lambda: len(names(store)) == 5)
        others = names(store)
    still_suspect = Attempts(directory / "attempts").suspects
    late = SlowToStart(Limits())
    with moving(directory, store, decoder=late) as (_, mover):
        late.started = True
        wait_until(lambda: mover.pending == 0)

    assert others == [f"body {number}" for number in range(2, 7)]
    assert still_suspect == 1
    assert names(store) == [f"body {number}" for number in range(1, 7)]
    assert mover.quarantined == 0


def test_a_store_that_is_unavailable_for_a_while_costs_time_and_nothing_else(
    tmp_path: Path, store: FaultyStore
) -> None:
    store.unavailable = 3

    with moving(tmp_path / "inbox", store) as (inbox, mover):
        inbox.put(entry(1, name="patient")).result()
        wait_until(lambda: "the disk is full" in mover.moved.problem)
        assert mover.pending == 1
        wait_until(lambda: mover.pending == 0)
        moved = mover.moved

    assert names(store) == ["patient"]
    assert (moved.set_aside, moved.failures, moved.problem) == (0, 3, "")


def test_what_was_kept_and_not_moved_is_moved_by_the_next_start(tmp_path: Path, store: FaultyStore) -> None:
    first = Inbox(tmp_path / "inbox", cap_bytes=64 << 20)
    for number in range(1, 11):
        first.put(entry(number)).result()
    first.close()

    with moving(tmp_path / "inbox", store) as (inbox, mover):
        inbox.put(entry(11)).result()
        wait_until(lambda: mover.pending == 0)

    assert len(names(store)) == 11
    with moving(tmp_path / "inbox", store) as (inbox, _):
        assert inbox.pending == 0


def test_a_body_that_was_damaged_on_disk_is_not_waited_for(tmp_path: Path, store: FaultyStore) -> None:
    first = Inbox(tmp_path / "inbox", cap_bytes=64 << 20)
    for number in range(1, 4):
        first.put(entry(number, name=f"body {number}")).result()
    first.close()
    (segment,) = (tmp_path / "inbox").glob("*/*/*.seg")
    content = bytearray(segment.read_bytes())
    content[content.index(b"body 2")] ^= 1
    segment.write_bytes(content)

    with moving(tmp_path / "inbox", store) as (_, mover):
        wait_until(lambda: mover.pending == 0)

    assert names(store) == ["body 1", "body 3"]


def test_what_was_moved_leaves_the_disk_and_what_comes_then_is_kept_as_before(
    tmp_path: Path, store: FaultyStore
) -> None:
    def holds(word: bytes) -> list[Path]:
        return [
            file for file in (tmp_path / "inbox").rglob("*") if file.is_file() and word in file.read_bytes()
        ]

    with moving(tmp_path / "inbox", store) as (inbox, mover):
        inbox.put(entry(1, name="a private word")).result()
        wait_until(lambda: mover.pending == 0 and not holds(b"a private word"))
        store.unavailable = 1_000_000
        inbox.put(entry(2, name="another word")).result()
        assert holds(b"another word")
    store.unavailable = 0
    with moving(tmp_path / "inbox", store) as (_, mover):
        wait_until(lambda: mover.pending == 0)

    assert names(store) == ["a private word", "another word"]
    assert holds(b"another word") == []


def test_all_that_wait_share_one_sync(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", cap_bytes=64 << 20)

    kept = [inbox.put(entry(number)) for number in range(1, 201)]
    for each in kept:
        each.result()

    assert inbox.appended == 200
    assert inbox.syncs < 100
    inbox.close()


def test_a_client_that_goes_away_while_its_body_is_kept_changes_nothing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, cap_bytes=1 << 30)

    gone = inbox.put(entry(1))
    gone.cancel()
    gone.result()
    inbox.put(entry(2)).result()
    inbox.close()

    assert inbox.appended == 2


def test_a_full_inbox_refuses_with_503_and_keeps_what_it_accepted(tmp_path: Path, store: FaultyStore) -> None:
    full = Inbox(tmp_path / "inbox", cap_bytes=1 << 20)
    kept = [full.put(entry(number, name="x" * 50_000)) for number in range(1, 101)]
    refusals = [each.exception() for each in kept if each.exception() is not None]
    accepted = len(kept) - len(refusals)
    full.close()

    with moving(tmp_path / "inbox", store) as (_, mover):
        wait_until(lambda: mover.pending == 0)

    assert 5 < accepted < 100
    assert {getattr(refusal, "status", 0) for refusal in refusals} == {503}
    assert len(names(store)) == accepted


def test_a_closed_inbox_takes_nothing(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", cap_bytes=1 << 20)
    inbox.close()

    with pytest.raises(CollectorError) as refused:
        inbox.put(entry(1))

    assert refused.value.status == 503


def test_a_body_that_is_moved_twice_is_stored_once(tmp_path: Path, store: FaultyStore) -> None:
    same = seal(Envelope(project="default", received_ns=START_NS), body(generation(1), generation(2)))

    with moving(tmp_path / "inbox", store) as (inbox, mover):
        for _ in range(5):
            inbox.put(same).result()
        wait_until(lambda: mover.pending == 0)
        moved = mover.moved

    assert (moved.new, moved.known) == (2, 8)


class BrokenInbox(Inbox):
    """An inbox with a bug."""

    def put(self, content: bytes, *, again: bool = False) -> Future[None]:
        raise ZeroDivisionError


def test_an_error_of_ours_is_a_503_and_a_number_and_never_a_500(tmp_path: Path) -> None:
    inbox = BrokenInbox(tmp_path / "inbox", cap_bytes=1 << 20)
    door = Door(Intake(inbox, Limits()), Keys())
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body(generation()), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", PROTOBUF.encode())]
    asyncio.run(door({"method": "POST", "path": "/v1/traces", "headers": headers}, receive, send))
    inbox.close()

    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert door.taken.faults == 1
