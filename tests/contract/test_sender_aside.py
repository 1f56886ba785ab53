"""What a server in between refused for good: the collector hears which numbers, so that its audit can tell them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everyspan.model.destination import Destination
from everyspan.query.completeness import Audit, Verdict, audit
from everyspan.sender.drain import drain
from everyspan.sender.ship import Sender
from everyspan.server import Server, running
from everyspan.spool import Log
from everyspan.store.reads import Dropped
from everyspan.testing.sink import Sink
from tests.collector_requests import post, settled
from tests.sender_spans import begin, new_log, record, root_of
from tests.spool_frames import die, living, peek
from tests.torture.chaos import ChaosProxy

POISON = "poison"


class PickyProxy(ChaosProxy):
    """Forwards everything but what holds the poison: to that it answers 413."""

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream, elsewhere="", seed=0, stall_s=0.0)
        self.calm = True

    def _forward(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        if POISON.encode() not in body:
            return super()._forward(sock, head, body)
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        return True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def proxied(server: Server) -> Iterator[Destination]:
    with PickyProxy(server.url) as proxy:
        yield Destination(f"{proxy.url}/v1/traces")


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Callable[[Destination], tuple[Sender, Log]]]:
    made: list[Sender] = []

    def make(destination: Destination) -> tuple[Sender, Log]:
        made.append(Sender(timeout_s=5.0, linger_s=0.01, proxies={}))
        log = new_log(tmp_path, destination)
        made[-1].add(destination, log, root=root_of(tmp_path, destination))
        return made[-1], log

    yield make
    for sender in made:
        sender.close(0.0)


Ship = Callable[[Destination], tuple[Sender, Log]]


def audit_with(server: Server, *, dropped: int) -> Audit:
    """The audit once so many numbers are told as dropped and nothing waits; or as it is after ten seconds."""
    until = time.monotonic() + 10
    while True:
        found = audit(server.store, inbox_pending=server.collector.pending)
        if (found.dropped >= dropped and not found.inbox_pending) or time.monotonic() > until:
            return found
        time.sleep(0.01)


def set_aside(first: int, last: int) -> tuple[Dropped, ...]:
    return (Dropped(reason="set aside", first=first, last=last),)  # type: ignore[arg-type]


def test_a_span_that_a_proxy_refuses_is_told_by_number_and_everything_else_arrives(
    server: Server, proxied: Destination, ship: Ship
) -> None:
    sender, log = ship(proxied)
    record(log, "a", "b", POISON, "c", "d")

    receipt = sender.close(20)

    proof = audit_with(server, dropped=1)
    assert (receipt.delivered, receipt.set_aside, receipt.pending) == (4, 1, 0)
    assert (proof.verdict, proof.spans, proof.missing, proof.pending) == (Verdict.DROPPED, 4, 0, 0)
    assert proof.writers[0].dropped == set_aside(3, 3)


def test_the_collector_hears_of_the_last_span_though_nothing_follows_it(
    server: Server, proxied: Destination, ship: Ship
) -> None:
    sender, log = ship(proxied)
    record(log, "a", "b")
    sender.flush(10)
    record(log, POISON)

    sender.flush(10)

    proof = audit_with(server, dropped=1)
    assert (proof.verdict, proof.spans, proof.missing, proof.pending) == (Verdict.DROPPED, 2, 0, 0)
    assert proof.writers[0].dropped == set_aside(3, 3)


def test_the_begin_of_a_call_that_a_proxy_refuses_is_a_number_too(
    server: Server, proxied: Destination, ship: Ship
) -> None:
    sender, log = ship(proxied)
    record(log, "a")
    begin(log, POISON)

    sender.wake()

    proof = audit_with(server, dropped=1)
    assert (proof.missing, proof.pending, proof.open_calls) == (0, 0, 0)
    assert proof.writers[0].dropped == set_aside(2, 2)


@pytest.mark.parametrize("behind", [("b", "c"), ()])
def test_whoever_adopts_a_dead_writer_tells_what_its_process_set_aside(
    server: Server, tmp_path: Path, behind: tuple[str, ...]
) -> None:
    destination = Destination(f"{server.url}/v1/traces")
    log = new_log(tmp_path, destination)
    record(log, "a")
    living(log).ack(peek(living(log)))
    record(log, POISON)
    living(log).set_aside(peek(living(log)), reason="HTTP 413")
    record(log, *behind)
    die(log)

    drain(tmp_path, [destination], timeout_s=10)

    (writer,) = audit_with(server, dropped=1).writers
    assert writer.dropped == set_aside(2, 2)
    assert (writer.state.spans, writer.state.closed) == (len(behind), True)


def test_whoever_adopts_a_dead_writer_tells_what_it_sets_aside_itself(
    server: Server, proxied: Destination, tmp_path: Path
) -> None:
    log = new_log(tmp_path, proxied)
    record(log, "a", POISON)
    die(log)

    receipt = drain(tmp_path, [proxied], timeout_s=10)

    proof = audit_with(server, dropped=1)
    assert (receipt.delivered, receipt.set_aside, receipt.pending) == (1, 1, 0)
    assert (proof.verdict, proof.spans, proof.missing, proof.pending) == (Verdict.DROPPED, 1, 0, 0)


def test_what_arrives_after_all_was_received(server: Server, proxied: Destination, tmp_path: Path) -> None:
    log = new_log(tmp_path, proxied)
    record(log, "a", POISON)
    die(log)
    drain(tmp_path, [proxied], timeout_s=10)
    assert audit_with(server, dropped=1).dropped == 1
    (kept,) = tmp_path.rglob("refused/*.frame")

    post(f"{server.url}/v1/traces", kept.read_bytes())

    settled(server.url)
    proof = audit(server.store)
    assert (proof.verdict, proof.spans, proof.dropped) == (Verdict.COMPLETE, 2, 0)


def test_the_news_is_told_once_by_a_request_without_spans(ship: Ship) -> None:
    with Sink(speaks_everyspan=True) as collector:
        collector.refuse_when(lambda span: span.name == POISON, status=413)
        sender, log = ship(Destination(collector.url))
        record(log, "a")
        sender.flush(10)
        record(log, POISON)
        sender.flush(10)
        news = collector.wait_for_requests(3)[-1]
        record(log, "b")
        sender.flush(10)

        assert (news.body, news.headers["everyspan-set-aside"]) == (b"", "2")
        assert news.headers["everyspan-spooled-to"] == "2"
        assert [request.status for request in collector.requests] == [200, 413, 200, 200]
        assert "everyspan-set-aside" not in collector.requests[1].headers


def test_news_that_are_refused_are_not_told_again(ship: Ship) -> None:
    with Sink(speaks_everyspan=True) as collector:
        sender, log = ship(Destination(collector.url))
        record(log, "a")
        sender.flush(10)
        collector.answer(413, times=2)
        record(log, "b")
        sender.flush(10)
        collector.wait_for_requests(3)
        record(log, "c")
        receipt = sender.flush(10)

        assert (receipt.delivered, receipt.set_aside, receipt.pending) == (2, 1, 0)
        assert [request.status for request in collector.requests] == [200, 413, 413, 200]


def test_nobody_waits_for_news_that_get_no_answer(ship: Ship) -> None:
    with Sink(speaks_everyspan=True) as collector:
        sender, log = ship(Destination(collector.url))
        record(log, "a")
        sender.flush(10)
        collector.answer(413)
        collector.hang(times=10)
        record(log, "b")

        began_s = time.monotonic()
        receipt = sender.flush(10)
        closed = sender.close(0.5)

        assert time.monotonic() - began_s < 2.5
        assert (receipt.delivered, receipt.set_aside, receipt.pending) == (1, 1, 0)
        assert (closed.delivered, closed.set_aside, closed.pending) == (1, 1, 0)


def test_other_receivers_are_not_asked_for_what_only_our_collector_understands(ship: Ship) -> None:
    with Sink() as sink:
        sink.refuse_when(lambda span: span.name == POISON)
        sender, log = ship(Destination(sink.url))
        for name in ("a", POISON, "b"):
            record(log, name)
            sender.flush(10)
        sender.close(10)

        assert [request.status for request in sink.requests] == [200, 400, 200]
        assert not any("everyspan-set-aside" in request.headers for request in sink.requests)
