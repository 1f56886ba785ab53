"""What the sender promises: everything arrives or waits, whatever the other side does, and the receipt is true."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everyspan.model.destination import Destination
from everyspan.sender.ship import Sender
from everyspan.spool import Log
from everyspan.testing.sink import Sink
from everyspan.wire.decode import pieces
from everyspan.wire.frame import Kind
from tests.sender_spans import begin, new_log, record, root_of

KEY = ("Authorization", "Bearer secret-key-of-the-project")

MakeSender = Callable[..., tuple[Sender, Log]]


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[MakeSender]:
    """Makes a sender with one log for one destination; all are closed at the end."""
    made: list[Sender] = []

    def make(
        destination: Destination,
        *,
        sender: Sender | None = None,
        timeout_s: float = 5.0,
        linger_s: float = 0.02,
    ) -> tuple[Sender, Log]:
        if sender is None:
            sender = Sender(timeout_s=timeout_s, linger_s=linger_s, proxies={})
            made.append(sender)
        log = new_log(tmp_path, destination)
        sender.add(destination, log, root=root_of(tmp_path, destination))
        return sender, log

    yield make
    for sender in made:
        sender.close(0.0)


def test_a_flush_returns_when_everything_recorded_before_it_has_arrived(sink: Sink, ship: MakeSender) -> None:
    sender, log = ship(Destination(sink.url))
    record(log, "a", "b", "c")

    receipt = sender.flush(10)

    assert receipt.complete
    assert (receipt.recorded, receipt.delivered, receipt.pending) == (3, 3, 0)
    assert receipt.problem == ""
    assert [span.name for span in sink.spans] == ["a", "b", "c"]
    assert len({span.stamp for span in sink.spans}) == 3


def test_appends_alone_are_enough_and_those_that_come_together_share_a_post(
    sink: Sink, ship: MakeSender
) -> None:
    sender, log = ship(Destination(sink.url), linger_s=0.2)

    for number in range(50):
        record(log, f"span {number}")
        sender.wake()
    sink.wait_for(50)

    assert len(sink.requests) <= 3


def test_the_writer_says_who_it_is_and_how_far_its_spool_reaches(sink: Sink, ship: MakeSender) -> None:
    sender, log = ship(Destination(sink.url))
    record(log, "a", "b")

    sender.flush(10)

    headers = sink.requests[0].headers
    assert headers["everyspan-writer"] == log.counts().writer
    assert headers["everyspan-spooled-to"] == "2"
    assert "everyspan-closed" not in headers


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_server_that_is_not_ready_gets_the_spans_later(sink: Sink, ship: MakeSender, status: int) -> None:
    sink.answer(status, times=2)
    sender, log = ship(Destination(sink.url))
    record(log, "a")

    receipt = sender.flush(10)

    assert receipt.complete
    assert [request.status for request in sink.requests] == [status, status, 200]
    assert [span.name for span in sink.spans] == ["a"]


def test_spans_wait_while_nothing_listens_and_arrive_when_something_does(
    sink: Sink, ship: MakeSender
) -> None:
    sender, log = ship(Destination(sink.url))
    sink.close()
    record(log, "a", "b")

    before = sender.flush(10, give_up_when_unreachable=True)
    sink.open()
    after = sender.flush(10)

    assert (before.delivered, before.pending) == (0, 2)
    assert "refused" in before.problem
    assert after.complete
    assert after.problem == ""
    assert [span.name for span in sink.spans] == ["a", "b"]


def test_giving_up_on_an_unreachable_destination_takes_no_time(sink: Sink, ship: MakeSender) -> None:
    sender, log = ship(Destination(sink.url))
    sink.close()
    record(log, "a")

    began_s = time.monotonic()
    sender.flush(20, give_up_when_unreachable=True)
    sender.flush(20, give_up_when_unreachable=True)

    assert time.monotonic() - began_s < 2


def test_a_lost_answer_sends_a_copy_that_its_stamp_gives_away(sink: Sink, ship: MakeSender) -> None:
    sink.lose_answer()
    sender, log = ship(Destination(sink.url))
    record(log, "a", "b")

    receipt = sender.flush(10)

    assert (receipt.recorded, receipt.delivered) == (2, 2)
    assert len(sink.spans) == 4
    assert len({span.stamp for span in sink.spans}) == 2


@pytest.mark.parametrize("fault", ["nothing listens", "says nothing", "503"])
def test_a_destination_in_trouble_does_not_delay_another(sink: Sink, ship: MakeSender, fault: str) -> None:
    with Sink() as troubled:
        if fault == "nothing listens":
            troubled.close()
        elif fault == "says nothing":
            troubled.hang(times=100)
        else:
            troubled.answer(503, times=100)
        sender, troubled_log = ship(Destination(troubled.url), timeout_s=30)
        _, log = ship(Destination(sink.url), sender=sender)
        record(troubled_log, "waits")
        sender.flush(0.2)

        began_s = time.monotonic()
        for number in range(20):
            record(log, f"span {number}")
            sender.wake()
            sink.wait_for(number + 1)
        took_s = time.monotonic() - began_s

        receipt = sender.flush(0.5)
        assert took_s < 5
        assert [(part.delivered, part.pending) for part in receipt.parts] == [(0, 1), (20, 0)]
        assert (receipt.recorded, receipt.delivered, receipt.pending) == (21, 20, 1)


def test_a_flush_that_runs_out_of_time_says_what_is_pending(sink: Sink, ship: MakeSender) -> None:
    sink.hang()
    sender, log = ship(Destination(sink.url), timeout_s=30)
    record(log, "a")

    began_s = time.monotonic()
    receipt = sender.flush(0.3)

    assert 0.3 <= time.monotonic() - began_s < 3
    assert (receipt.recorded, receipt.delivered, receipt.pending) == (1, 0, 1)
    assert not receipt.complete


def test_a_slow_destination_is_given_more_time_until_it_can_acknowledge(sink: Sink, ship: MakeSender) -> None:
    sink.delay(0.5, times=20)
    sender, log = ship(Destination(sink.url), timeout_s=0.1)
    record(log, "a")

    receipt = sender.flush(15)

    assert receipt.complete
    assert len(sink.requests) <= 6


def test_a_login_page_or_a_redirect_behind_the_endpoint_loses_nothing(sink: Sink, ship: MakeSender) -> None:
    with Sink() as stranger:
        sink.answer_page()
        sink.redirect(stranger.url)
        sender, log = ship(Destination(sink.url, headers=(KEY,)))
        record(log, "a")

        receipt = sender.flush(10)

        assert receipt.complete
        assert [request.status for request in sink.requests] == [200, 302, 200]
        assert [span.name for span in sink.spans] == ["a"]
        assert stranger.requests == []


def test_a_malformed_span_is_set_aside_and_its_neighbours_arrive(sink: Sink, ship: MakeSender) -> None:
    sink.refuse_when(lambda span: span.name == "poison")
    sender, log = ship(Destination(sink.url))
    names = [f"span {number}" for number in range(40)]
    record(log, *names[:23], "poison", *names[23:])

    receipt = sender.flush(20)

    assert (receipt.recorded, receipt.delivered, receipt.set_aside, receipt.pending) == (41, 40, 1, 0)
    assert "malformed span" in receipt.problem
    assert sorted({span.name for span in sink.spans}) == sorted(names)
    assert len({span.stamp for span in sink.spans}) == 40
    assert len(sink.requests) < 25


def test_a_receiver_that_rejects_every_span_of_a_batch_is_not_asked_about_each(
    sink: Sink, ship: MakeSender
) -> None:
    sink.reject(10, "quota used up")
    sender, log = ship(Destination(sink.url))
    record(log, *[f"span {number}" for number in range(10)])

    receipt = sender.flush(10)

    assert (receipt.recorded, receipt.set_aside, receipt.delivered) == (10, 10, 0)
    assert "quota used up" in receipt.problem
    assert len(sink.requests) == 1


def test_a_receiver_that_rejects_some_spans_keeps_the_others(sink: Sink, ship: MakeSender) -> None:
    sink.reject(1, "one is bad")
    sender, log = ship(Destination(sink.url))
    record(log, "a", "b", "c", "d")

    receipt = sender.flush(10)

    assert receipt.complete
    assert {span.name for span in sink.spans} == {"a", "b", "c", "d"}


def test_other_receivers_only_get_spans_after_their_first_answer(sink: Sink, ship: MakeSender) -> None:
    sender, log = ship(Destination(sink.url))
    record(log, "first")
    sender.flush(10)

    begin(log, "unfinished")
    record(log, "second")
    receipt = sender.flush(10)

    kinds = [piece.header.kind for piece in pieces(sink.requests[-1].body) if piece.header]
    assert receipt.complete
    assert kinds == [Kind.SPAN]
    assert [span.name for span in sink.spans] == ["first", "second"]


def test_our_collector_gets_every_frame(tmp_path: Path, ship: MakeSender) -> None:
    with Sink(speaks_everyspan=True) as collector:
        sender, log = ship(Destination(collector.url))
        record(log, "first")
        sender.flush(10)

        begin(log, "unfinished")
        record(log, "second")
        sender.flush(10)

        bodies = [request.body for request in collector.requests]
        kinds = [piece.header.kind for body in bodies for piece in pieces(body) if piece.header]
        assert kinds == [Kind.HEADER, Kind.SPAN, Kind.START, Kind.SPAN]


def test_a_key_that_may_not_travel_in_clear_keeps_the_spans_here_and_says_why(ship: MakeSender) -> None:
    sender, log = ship(Destination("http://192.0.2.1:4318/v1/traces", headers=(KEY,)))
    record(log, "a")

    receipt = sender.flush(0.3)

    assert (receipt.delivered, receipt.pending) == (0, 1)
    assert "unencrypted" in receipt.problem


def test_a_problem_is_said_once_and_so_is_its_end_and_neither_tells_the_key(
    sink: Sink, ship: MakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="everyspan")
    echo = f"unknown key {KEY[1]}".encode()
    sink.answer(401, times=3, body=echo, headers={"Content-Type": "text/plain"})
    sender, log = ship(Destination(sink.url, headers=(KEY,)))
    record(log, "a")

    for _ in range(4):
        sender.flush(0.4)
    sender.flush(10)

    said = [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.name == "everyspan"]
    assert [level for level, _ in said] == ["WARNING", "INFO"]
    assert "401" in said[0][1]
    assert not any("secret-key" in words for _, words in said)


def test_a_flush_with_nothing_to_send_needs_no_destination(sink: Sink, ship: MakeSender) -> None:
    sender, _ = ship(Destination(sink.url))
    sink.close()

    began_s = time.monotonic()
    receipt = sender.flush(10)

    assert time.monotonic() - began_s < 1
    assert receipt.recorded == 0
    assert receipt.complete


def test_closing_delivers_ends_the_thread_and_leaves_no_directory(
    sink: Sink, ship: MakeSender, tmp_path: Path
) -> None:
    destination = Destination(sink.url)
    sender, log = ship(destination)
    record(log, "a", "b")

    receipt = sender.close(10)

    assert receipt.complete
    assert [span.name for span in sink.spans] == ["a", "b"]
    assert list(root_of(tmp_path, destination).iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name == "everyspan-sender"]


def test_closing_tells_our_collector_that_the_writer_is_finished(ship: MakeSender) -> None:
    with Sink(speaks_everyspan=True) as collector:
        sender, log = ship(Destination(collector.url))
        record(log, "a")

        sender.close(10)

        last = collector.requests[-1]
        kinds = [piece.header.kind for piece in pieces(last.body) if piece.header]
        assert kinds[-1] == Kind.CLOSE
        assert last.headers["everyspan-closed"] == "true"


def test_closing_beside_a_destination_that_hangs_takes_the_time_allowed_and_keeps_the_spans(
    sink: Sink, ship: MakeSender, tmp_path: Path
) -> None:
    sink.hang(times=10)
    destination = Destination(sink.url)
    sender, log = ship(destination, timeout_s=30)
    record(log, "a")

    began_s = time.monotonic()
    receipt = sender.close(0.5)

    assert time.monotonic() - began_s < 2.5
    assert (receipt.delivered, receipt.pending) == (0, 1)
    assert list(root_of(tmp_path, destination).glob("*/*.seg"))


def test_receipts_stay_true_while_several_threads_record_and_flush(sink: Sink, ship: MakeSender) -> None:
    sink.answer(503, times=3)
    sender, log = ship(Destination(sink.url))
    incomplete: list[int] = []

    def work(thread: int) -> None:
        for number in range(40):
            record(log, f"{thread}:{number}")
            sender.wake()
            if number % 10 == 9:
                receipt = sender.flush(15)
                if receipt.delivered < number + 1:
                    incomplete.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    receipt = sender.flush(15)
    assert incomplete == []
    assert (receipt.recorded, receipt.delivered, receipt.pending) == (160, 160, 0)
    assert len({span.stamp for span in sink.spans}) == 160
    assert not sender.errors
