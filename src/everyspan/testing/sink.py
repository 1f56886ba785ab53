"""A real OTLP/HTTP receiver on a free port that remembers what it got, and fails exactly as told."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from everyspan.errors import WireError
from everyspan.testing.received import ReceivedSpan, decode_spans
from everyspan.version import __version__
from everyspan.wire.protobuf import delimited, varint

_OTLP = "application/x-protobuf"
_PAGE = b"<!doctype html><html><body><h1>Welcome to the guest network</h1></body></html>"


@dataclass(frozen=True, slots=True)
class SinkRequest:
    """One POST as it came, whatever was answered."""

    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    """After decompression; empty when the connection was dropped before it was read."""
    spans: tuple[ReceivedSpan, ...]
    """What the body holds; empty when it is not OTLP."""
    status: int
    """What was answered; 0 when nothing was."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to do with one request."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] | None = None
    keep: bool = False
    """Count the spans as received."""
    cut: bool = False
    """Close the connection instead of answering."""
    read: bool = True
    silent_s: float = 0.0
    """Say nothing for so long, or until the sink closes."""


class Sink:
    """A receiver of OTLP over HTTP, to run your own telemetry against: real sockets, real threads, no network.

        with Sink() as sink:
            sink.answer(503, times=2)
            ...  # export spans to sink.url
            assert [span.name for span in sink.wait_for(1)] == ["chat gpt-5"]

    It answers 200 as OTLP asks unless it was told otherwise; each fault is used up by one request, in the order
    in which they were given. `spans` are those it accepted, copies included, as a careless backend would.

    Args:
        port: 0 for a free one.
        speaks_everyspan: answer as everyspan's own collector does, so that senders send all frames.
        tls: serve https with this context.
    """

    def __init__(
        self, *, port: int = 0, speaks_everyspan: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self._port = port
        self._speaks_everyspan = speaks_everyspan
        self._tls = tls
        self._changed = threading.Condition()
        self._plans: deque[_Plan] = deque()
        self._refuses: tuple[Callable[[ReceivedSpan], bool], int] | None = None
        self._requests: list[SinkRequest] = []
        self._spans: list[ReceivedSpan] = []
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- life ---

    def open(self) -> None:
        """Listen; after a `close` on the same port again, with everything remembered."""
        self._server = _Server(self._port, self, self._tls)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut every open connection: from now on they are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def port(self) -> int:
        """The port it listens on, once it does."""
        return self._port

    @property
    def url(self) -> str:
        """The full URL to post to."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}/v1/traces"

    # --- what it got ---

    @property
    def requests(self) -> list[SinkRequest]:
        """Every request so far, in the order in which they were answered."""
        with self._changed:
            return list(self._requests)

    @property
    def spans(self) -> list[ReceivedSpan]:
        """Every span accepted so far."""
        with self._changed:
            return list(self._spans)

    def wait_for(self, count: int, timeout_s: float = 10.0) -> list[ReceivedSpan]:
        """At least `count` accepted spans, as soon as they are there.

        Raises:
            TimeoutError: there were fewer after `timeout_s`; the message says what did come.
        """
        self._wait_until(lambda: len(self._spans) >= count, f"{count} spans", timeout_s)
        return self.spans

    def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> list[SinkRequest]:
        """At least `count` requests, whatever was answered; fails like `wait_for`."""
        self._wait_until(lambda: len(self._requests) >= count, f"{count} requests", timeout_s)
        return self.requests

    # --- how it fails ---

    def answer(
        self, status: int, *, times: int = 1, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the next `times` requests with `status` and accept nothing."""
        self._plan(_Plan(status, body, headers), times)

    def answer_page(self, *, times: int = 1) -> None:
        """Answer 200 with a web page, as the login of a guest network does."""
        self._plan(_Plan(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"}), times)

    def redirect(self, to: str, *, status: int = 302, times: int = 1) -> None:
        """Point somewhere else."""
        self._plan(_Plan(status, headers={"Location": to}), times)

    def reject(self, spans: int, message: str = "", *, times: int = 1) -> None:
        """Answer 200 with a partial success that rejects `spans`; nothing of the request is accepted."""
        headers = {"Content-Type": _OTLP}
        self._plan(_Plan(200, _partial_success(spans, message), headers), times)

    def hang(self, *, times: int = 1) -> None:
        """Read the request and say nothing until the sink closes."""
        self._plan(_Plan(cut=True, silent_s=math.inf), times)

    def delay(self, seconds: float, *, times: int = 1) -> None:
        """Accept the spans at once and answer 200 only after `seconds`."""
        self._plan(_Plan(keep=True, silent_s=seconds), times)

    def drop(self, *, times: int = 1, after_reading: bool = True) -> None:
        """Close the connection, without an answer and without accepting anything."""
        self._plan(_Plan(cut=True, read=after_reading), times)

    def lose_answer(self, *, times: int = 1) -> None:
        """Accept the spans and close the connection before the answer: the sender can not know."""
        self._plan(_Plan(keep=True, cut=True), times)

    def refuse_when(self, is_bad: Callable[[ReceivedSpan], bool], *, status: int = 400) -> None:
        """From now on refuse, as a whole, each request that holds a bad span, as many backends do."""
        with self._changed:
            self._refuses = (is_bad, status)

    # --- the server's side ---

    def _plan(self, plan: _Plan, times: int) -> None:
        with self._changed:
            self._plans.extend([plan] * times)

    def _next_plan(self) -> _Plan:
        with self._changed:
            return self._plans.popleft() if self._plans else _Plan(keep=True)

    def _record(self, path: str, headers: Mapping[str, str], body: bytes, plan: _Plan) -> _Plan:
        """Note one request; returns what really to do with it, once its spans are known."""
        try:
            spans = tuple(decode_spans(body))
        except WireError as error:
            spans, plan = (), _Plan(400, str(error).encode(), {"Content-Type": "text/plain"})
        with self._changed:
            if plan.keep and self._refuses is not None and any(map(self._refuses[0], spans)):
                plan = _Plan(self._refuses[1], b"malformed span", {"Content-Type": "text/plain"})
            status = 0 if plan.cut else plan.status
            self._requests.append(SinkRequest(path, headers, body, spans, status))
            if plan.keep:
                self._spans.extend(spans)
            self._changed.notify_all()
        return plan

    def _answer_headers(self) -> dict[str, str]:
        return {"everyspan-collector": __version__} if self._speaks_everyspan else {}

    def _wait_until(self, reached: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not reached():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    answered = [request.status for request in self._requests]
                    raise TimeoutError(
                        f"waited {timeout_s:g} s for {what} and got {len(self._spans)} spans in "
                        f"{len(answered)} requests, answered {answered[-20:]}"
                    )
                self._changed.wait(left_s)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int, sink: Sink, tls: ssl.SSLContext | None) -> None:
        self.sink = sink
        self.stopped = threading.Event()
        self._tls = tls
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        sock, address = super().get_request()
        if self._tls is not None:
            # The handshake is left to the connection's own thread: a client that never begins it stops nobody else.
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        self._open.add(sock)
        return sock, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that vanish are what a sink is for."""

    def stop(self) -> None:
        self.stopped.set()
        self.shutdown()
        self.server_close()
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._open.discard(sock)  # gone already


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        plan = self.server.sink._next_plan()
        length = int(self.headers.get("Content-Length", "0")) if plan.read else 0
        body = self.rfile.read(length)
        if body and self.headers.get("Content-Encoding") == "gzip":
            body = zlib.decompress(body, 31)
        headers = {name.lower(): value for name, value in self.headers.items()}
        plan = self.server.sink._record(self.path, headers, body, plan)
        if plan.silent_s:
            self.server.stopped.wait(None if math.isinf(plan.silent_s) else plan.silent_s)
        if plan.cut:
            self._cut()
            return
        self.send_response(plan.status)
        sent = {"Content-Type": _OTLP, **(plan.headers or {}), **self.server.sink._answer_headers()}
        for name, value in sent.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(plan.body)))
        self.end_headers()
        self.wfile.write(plan.body)

    def do_GET(self) -> None:
        """A redirect that is followed ends here; it is recorded like any other request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.sink._record(self.path, headers, b"", _Plan(405))
        self.send_error(405)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are remembered, not printed."""

    def _cut(self) -> None:
        self.close_connection = True
        # With bytes unread, closing sends RST at once, as a process that is killed does.
        self.connection.shutdown(socket.SHUT_RDWR)


def _partial_success(rejected: int, message: str) -> bytes:
    inner = b"\x08" + varint(rejected) + delimited(b"\x12", message.encode())
    return delimited(b"\x0a", inner)
