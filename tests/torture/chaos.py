"""A TCP proxy between a sender and its collector that does what networks and gateways do."""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

_PAGE = b"<!doctype html><html><body>Sign in to the guest network</body></html>"
_RESET = struct.pack("ii", 1, 0)
_UNAUTHORIZED_IN_A_ROW = 3
_PATIENCE_S = 20.0


class ChaosProxy:
    """Forwards each POST to `upstream`, or does something else to it, chosen at random but for the seed.

    Of a hundred requests about 20 meet a 503, 10 are lost, 10 lose their answer, and 5 each meet a reset in the middle
    of the answer, a stall, a redirect to `elsewhere`, a login page, a row of 401, a body that is cut short on its way,
    an answer with a wrong length.

    Args:
        elsewhere: where redirects point; nobody who holds a key may come there.
        stall_s: how long a stalled connection is held.
    """

    def __init__(self, upstream: str, *, elsewhere: str, seed: int, stall_s: float) -> None:
        self.upstream = upstream
        self.calm = False
        """Forward everything."""
        self.done: Counter[str] = Counter()
        """What was done to requests, by name."""
        self._elsewhere = elsewhere
        self._stall_s = stall_s
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._unauthorized = 0
        self._closed = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._faults: list[tuple[int, str, Callable[[socket.socket, bytes, bytes], bool]]] = [
            (20, "503", self._unavailable),
            (10, "request lost", self._lose_request),
            (10, "answer lost", self._lose_answer),
            (5, "reset", self._reset),
            (5, "stall", self._stall),
            (5, "302", self._redirect),
            (5, "page", self._page),
            (5, "401", self._refuse_key),
            (5, "cut short", self._cut_short),
            (5, "wrong length", self._wrong_length),
            (25, "forwarded", self._forward),
        ]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._listening.close()

    @property
    def faults(self) -> int:
        """Requests that were not simply forwarded."""
        return self.done.total() - self.done["forwarded"]

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        """One connection: request after request, until one of them ends it."""
        sock.settimeout(_PATIENCE_S)
        with sock:
            try:
                while (request := _read_message(sock)) is not None:
                    if not self._next()(sock, *request):
                        return
            except OSError:
                return

    def _next(self) -> Callable[[socket.socket, bytes, bytes], bool]:
        with self._lock:
            _, name, fault = self._faults[-1]
            if self._unauthorized and not self.calm:
                self._unauthorized -= 1
                name, fault = "401", self._unauthorized_answer
            elif not self.calm:
                weights = [weight for weight, _, _ in self._faults]
                ((_, name, fault),) = self._random.choices(self._faults, weights)
            self.done[name] += 1
        return fault

    # Each takes the connection, head and body; returns whether the connection goes on.

    def _forward(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        answer = self._exchange(head, body)
        if answer is None:
            return False  # nobody listens there: as a gateway does that is away itself
        sock.sendall(b"".join(answer))
        return True

    def _unavailable(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        return _answer(sock, "503 Service Unavailable")

    def _lose_request(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        return False

    def _lose_answer(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        self._exchange(head, body)
        return False

    def _reset(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        answer = self._exchange(head, body)
        if answer is not None:
            sock.sendall(answer[0][: len(answer[0]) // 2])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return False

    def _stall(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        self._closed.wait(self._stall_s)
        return False

    def _redirect(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        return _answer(sock, "302 Found", f"Location: {self._elsewhere}")

    def _page(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        return _answer(sock, "200 OK", "Content-Type: text/html", body=_PAGE)

    def _refuse_key(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        with self._lock:
            self._unauthorized = _UNAUTHORIZED_IN_A_ROW - 1
        return self._unauthorized_answer(sock, head, body)

    def _unauthorized_answer(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        return _answer(sock, "401 Unauthorized", "WWW-Authenticate: Bearer")

    def _cut_short(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        """The request breaks off behind us: the collector gets half of it and must keep none of it."""
        upstream = self._connect()
        if upstream is not None:
            with upstream:
                upstream.sendall(head + body[: len(body) // 2])
        return False

    def _wrong_length(self, sock: socket.socket, head: bytes, body: bytes) -> bool:
        """The spans are stored; the answer promises more bytes than come, and so is none."""
        self._exchange(head, body)
        sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 99\r\n\r\n\x0a"
        )
        return False

    def _connect(self) -> socket.socket | None:
        to = urlsplit(self.upstream)
        try:
            return socket.create_connection((to.hostname, to.port or 80), timeout=_PATIENCE_S)
        except OSError:
            return None

    def _exchange(self, head: bytes, body: bytes) -> tuple[bytes, bytes] | None:
        upstream = self._connect()
        if upstream is None:
            return None
        with upstream:
            try:
                upstream.sendall(head + body)
                return _read_message(upstream)
            except OSError:
                return None


def _read_message(sock: socket.socket) -> tuple[bytes, bytes] | None:
    """Head and body of a request or an answer that tells its length; None at the end of the connection."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1 << 16)
        if not piece:
            return None
        data += piece
    head_bytes = data.index(b"\r\n\r\n") + 4
    length = 0
    for line in bytes(data[:head_bytes]).split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(data) < head_bytes + length:
        piece = sock.recv(1 << 16)
        if not piece:
            return None
        data += piece
    return bytes(data[:head_bytes]), bytes(data[head_bytes : head_bytes + length])


def _answer(sock: socket.socket, status: str, *headers: str, body: bytes = b"") -> bool:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    sock.sendall("\r\n".join(lines).encode() + body)
    return True
