"""The POST itself, over real sockets: what travels, what must not, and what ends it."""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from everyspan.errors import SettingsError
from everyspan.model.destination import Destination
from everyspan.sender.exchange import Wait
from everyspan.sender.http import Poster, is_loopback
from everyspan.sender.outcome import Answer
from everyspan.testing.sink import Sink
from everyspan.wire.protobuf import delimited

KEY = ("Authorization", "Bearer secret-key-of-the-project")
# An ExportTraceServiceRequest with one resource_spans message of one nameless resource.
BODY = delimited(b"\x0a", delimited(b"\x0a", b""))
LONG_BODY = delimited(b"\xda\x3e", b"x" * 3_000_000)


def drive(flight: Generator[Wait, None, Answer]) -> Answer:
    """The sender's loop for a single POST."""
    error: Exception | None = None
    while True:
        try:
            wait = next(flight) if error is None else flight.throw(error)
        except StopIteration as done:
            answer = done.value
            assert isinstance(answer, Answer)
            return answer
        poller = select.poll()
        poller.register(wait.sock, wait.events)
        error = None if poller.poll(wait.within_s * 1000) else TimeoutError(wait.doing)


def post(poster: Poster, body: bytes = BODY, *, within_s: float = 5.0) -> Answer:
    return drive(poster.post(body, {"everyspan-writer": "0000001-aaaaaaaaaaaa"}, within_s=within_s))


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def test_a_post_carries_the_body_the_headers_and_who_we_are(sink: Sink) -> None:
    poster = Poster(Destination(sink.url, headers=(KEY,)), proxies={})

    answer = post(poster)

    request = sink.requests[0]
    assert answer.status == 200
    assert request.body == BODY
    assert request.path == "/v1/traces"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["user-agent"].startswith("everyspan/")
    assert request.headers["everyspan-writer"] == "0000001-aaaaaaaaaaaa"
    assert request.headers["authorization"] == KEY[1]
    assert "content-encoding" not in request.headers


def test_a_long_body_to_another_machine_travels_compressed_and_arrives_whole(sink: Sink) -> None:
    proxies = {"http": sink.url}  # the name need not exist: the proxy gets the request

    answer = post(Poster(Destination("http://collector.example/v1/traces"), proxies=proxies), LONG_BODY)

    assert answer.status == 200
    assert sink.requests[0].headers["content-encoding"] == "gzip"
    assert int(sink.requests[0].headers["content-length"]) < len(LONG_BODY) // 10
    assert sink.requests[0].body == LONG_BODY


def test_what_stays_on_this_machine_is_not_compressed(sink: Sink) -> None:
    answer = post(Poster(Destination(sink.url), proxies={}), LONG_BODY)

    assert answer.status == 200
    assert "content-encoding" not in sink.requests[0].headers
    assert sink.requests[0].body == LONG_BODY


def test_the_connection_is_kept_and_replaced_when_the_server_gave_it_up(sink: Sink) -> None:
    poster = Poster(Destination(sink.url), proxies={})

    post(poster)
    first = poster._sock
    post(poster)
    kept = poster._sock is first
    sink.close()
    sink.open()
    answer = post(poster)

    assert kept
    assert answer.status == 200
    assert len(sink.requests) == 3


def test_a_redirect_is_not_followed_so_the_key_stays_here(sink: Sink) -> None:
    with Sink() as stranger:
        sink.redirect(stranger.url)

        answer = post(Poster(Destination(sink.url, headers=(KEY,)), proxies={}))

        assert answer.status == 302
        assert stranger.requests == []


@pytest.mark.parametrize("after_reading", [True, False])
def test_a_connection_dropped_before_the_answer_is_an_error_and_not_a_success(
    sink: Sink, after_reading: bool
) -> None:
    sink.drop(after_reading=after_reading)

    with pytest.raises(ConnectionError):
        post(Poster(Destination(sink.url), proxies={}), LONG_BODY)


def test_a_server_that_says_nothing_is_given_up_after_the_time_allowed(sink: Sink) -> None:
    sink.hang()
    poster = Poster(Destination(sink.url), proxies={})

    with pytest.raises(TimeoutError):
        post(poster, within_s=0.1)

    assert post(poster).status == 200


def test_a_refusal_to_connect_is_named_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(ConnectionRefusedError):
        post(Poster(Destination(f"http://127.0.0.1:{port}/v1/traces"), proxies={}))


def test_an_answer_in_small_pieces_chunked_and_after_an_interim_one_is_read_whole() -> None:
    pieces = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2",
        b"02 Accepted\r\nTransfer-Enc",
        b"oding: chunked\r\nRetry-After: 3\r\n\r\n2\r\n{",
        b"}\r\n0\r\n",
        b"\r\n",
    ]

    answer = post(Poster(Destination(_server_that_says(pieces)), proxies={}))

    assert (answer.status, answer.body, answer.headers["retry-after"]) == (202, b"{}", "3")


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    answer = post(Poster(Destination(_server_that_says([b"HTTP/1.1 400 Bad\r\n\r\nno ", b"id"])), proxies={}))

    assert (answer.status, answer.body) == (400, b"no id")


@pytest.mark.parametrize(
    "broken", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"]
)
def test_half_an_answer_is_no_answer(broken: bytes) -> None:
    with pytest.raises(ConnectionError):
        post(Poster(Destination(_server_that_says([broken])), proxies={}))


@pytest.mark.parametrize(
    "destination",
    [
        Destination("http://collector.example/v1/traces", headers=(KEY,)),
        Destination("http://192.0.2.7:4318/v1/traces", headers=(("x-api-key", "k"),)),
        Destination("http://me:password@collector.example/v1/traces"),
    ],
)
def test_a_key_never_travels_in_clear_to_another_machine(destination: Destination) -> None:
    flight = Poster(destination, proxies={"http": "http://127.0.0.1:9"}).post(BODY, {}, within_s=1)

    with pytest.raises(SettingsError, match="unencrypted"):
        next(flight)


def test_a_key_in_clear_can_be_allowed_and_goes_to_the_proxy_then() -> None:
    with Sink() as proxy:
        poster = Poster(
            Destination("http://collector.example/v1/traces?x=1", headers=(KEY,)),
            proxies={"http": f"http://user:pass@127.0.0.1:{proxy.port}"},
            allow_key_in_clear=True,
        )

        answer = post(poster)

        assert answer.status == 200
        assert proxy.requests[0].path == "http://collector.example/v1/traces?x=1"
        assert proxy.requests[0].headers["host"] == "collector.example"
        assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")


def test_this_machine_is_never_reached_through_a_proxy(sink: Sink) -> None:
    answer = post(Poster(Destination(sink.url), proxies={"http": "http://127.0.0.1:9"}))

    assert answer.status == 200


@pytest.mark.parametrize("header", [("x-tenant", "a\r\nEvil: 1"), ("x tenant", "a"), ("", "a")])
def test_a_header_that_would_write_another_one_is_not_sent(sink: Sink, header: tuple[str, str]) -> None:
    flight = Poster(Destination(sink.url, headers=(header,)), proxies={}).post(BODY, {}, within_s=1)

    with pytest.raises(SettingsError):
        next(flight)

    assert sink.requests == []


def test_only_names_and_addresses_of_this_machine_are_loopback() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.9.9.9", "::1", "app.localhost"]))
    assert not any(map(is_loopback, ["localhost.example", "10.0.0.1", "::", "0.0.0.0", "collector"]))


def test_https_works_and_an_unknown_certificate_is_refused(tmp_path: Path) -> None:
    context, certificate = _self_signed(tmp_path)
    with Sink(tls=context) as sink:
        known = Poster(Destination(sink.url, headers=(KEY,)), proxies={})
        known._tls = ssl.create_default_context(cafile=str(certificate))
        stranger = Poster(Destination(sink.url, headers=(KEY,)), proxies={})

        answers = [post(known, LONG_BODY), post(known)]
        with pytest.raises(ssl.SSLCertVerificationError):
            post(stranger)

        assert [answer.status for answer in answers] == [200, 200]
        assert len(sink.requests) == 2


def test_https_goes_through_a_proxy_as_a_tunnel(tmp_path: Path) -> None:
    context, certificate = _self_signed(tmp_path)
    with Sink(tls=context) as sink:
        asked: list[bytes] = []
        proxy_port = _tunnel_to(sink.port, asked)
        destination = Destination("https://collector.example/v1/traces", headers=(KEY,))
        poster = Poster(destination, proxies={"https": f"http://127.0.0.1:{proxy_port}"})
        poster._tls = ssl.create_default_context(cafile=str(certificate))

        answer = post(poster)

        assert answer.status == 200
        assert asked[0].startswith(b"CONNECT collector.example:443 HTTP/1.1\r\n")
        assert b"secret-key" not in asked[0]
        assert sink.requests[0].headers["authorization"] == KEY[1]


def _server_that_says(pieces: list[bytes]) -> str:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server, server.accept()[0] as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not connection.recv(1 << 16).endswith(BODY):
                continue
            for piece in pieces:
                connection.sendall(piece)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces"


def _tunnel_to(port: int, asked: list[bytes]) -> int:
    server = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        client, _ = server.accept()
        asked.append(client.recv(1 << 16))
        upstream = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
        threading.Thread(target=pump, args=(client, upstream), daemon=True).start()
        pump(upstream, client)

    threading.Thread(target=serve, daemon=True).start()
    return int(server.getsockname()[1])


def _self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sink"
    )
    names = "subjectAltName=IP:127.0.0.1,DNS:collector.example"
    arguments = [*command.split(), "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(arguments, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate
