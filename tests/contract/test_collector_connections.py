"""Clients that open connections and do not go on: none of them keeps others from being served."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from everyspan.server import Server, running
from everyspan.web.connections import ConnectionLimits
from tests.collector_requests import body, get, post, span

HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the usual limits."""
    with running(tmp_path_factory.mktemp("patient")) as server:
        yield server


def opened(server: Server, sent: bytes = b"") -> socket.socket:
    where = urlsplit(server.url)
    connection = socket.create_connection((where.hostname, where.port), timeout=20)
    connection.sendall(sent)
    return connection


def answered(connection: socket.socket) -> bytes:
    """Everything until the server closes; a connection that it resets ends there too."""
    parts = []
    with connection:
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            parts.append(b"")
    return b"".join(parts)


def test_a_client_that_never_finishes_its_headers_is_sent_away(tmp_path: Path) -> None:
    with running(tmp_path, connections=ConnectionLimits(headers_s=0.2)) as server:
        silent, halfway = opened(server), opened(server, HEAD)

        assert answered(silent).startswith(b"HTTP/1.1 408 ")
        assert answered(halfway).startswith(b"HTTP/1.1 408 ")


def test_the_deadline_holds_for_the_second_request_of_a_connection_too(tmp_path: Path) -> None:
    content = body(span())
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content
    with running(tmp_path, connections=ConnectionLimits(headers_s=0.3)) as server:
        answer = answered(opened(server, whole + HEAD))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


@pytest.mark.parametrize(
    "ambiguous",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length: 5, 6",
        b"Content-Length : 5",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5",
        b"X\0: 5",
        b"X: 5\0",
    ],
)
def test_a_request_whose_end_two_servers_may_see_in_two_places_is_refused_and_its_connection_ends(
    patient: Server, ambiguous: bytes
) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

    answer = answered(opened(patient, HEAD + ambiguous + b"\r\n\r\n0\r\n\r\n" + hidden))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    with running(tmp_path, connections=ConnectionLimits(header_bytes=8 << 10)) as server:
        endless = opened(server, HEAD)
        try:
            for _ in range(100):
                endless.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
        except (ConnectionResetError, BrokenPipeError):
            pass  # it was cut off while it still wrote, which is the point
        assert get(f"{server.url}/api/public/health").status == 200
        assert server.collector.taken.requests == 0
        endless.close()


def test_connections_beyond_the_limit_are_told_to_come_back_and_room_is_given_again(tmp_path: Path) -> None:
    with running(tmp_path, connections=ConnectionLimits(most=40, most_per_address=30)) as server:
        idle = [opened(server) for _ in range(30)]

        refused = answered(opened(server))
        for connection in idle:
            connection.close()
        statuses = [post(f"{server.url}/v1/traces", body(span(number))).status for number in range(1, 4)]

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in refused
    assert statuses[-1] == 200


def test_a_crowd_of_stalled_clients_delays_nobody_else(tmp_path: Path) -> None:
    with running(tmp_path, connections=ConnectionLimits(headers_s=20)) as server:
        stalled = [opened(server, HEAD) for _ in range(100)]
        stalled += [opened(server, HEAD + b"Content-Length: 100\r\n\r\nsome") for _ in range(100)]

        assert post(f"{server.url}/v1/traces", body(span())).status == 200
        for connection in stalled:
            connection.close()
