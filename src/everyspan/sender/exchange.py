"""One HTTP/1.1 request and its answer over a socket that never blocks.

Every function here is a generator: it yields what it waits for, and whoever drives it polls the sockets of
all destinations at once. That is how a single thread serves a destination that hangs and one that does not:
the code reads like blocking code, and nothing blocks but the name look-up (`getaddrinfo` has no other form).
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import re
import select
import socket
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from everyspan.sender.outcome import Answer

if TYPE_CHECKING:
    import ssl

# `http.client` and `ssl` are not imported with this module: together they take a quarter of the time of `import
# everyspan`, and programs that are short-lived feel it. `import_the_rest` does it, before there is a thread.

_LONGEST_ANSWER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16

_INTERIM = re.compile(rb"HTTP/1\.[01] 1\d\d")

T = TypeVar("T")


class Wait(NamedTuple):
    """What a request in flight waits for.

    Attributes:
        sock: the socket to poll.
        events: `select.POLLIN` or `select.POLLOUT`.
        within_s: seconds after which waiting is pointless.
        doing: the same in words, for the problem that is reported then.
    """

    sock: socket.socket
    events: int
    within_s: float
    doing: str


class NotHttpError(Exception):
    """The answer is not HTTP."""


class ClosedEarlyError(ConnectionResetError):
    """The peer closed the connection before one byte of an answer, as happens to idle ones."""


def import_the_rest() -> None:
    """Import all that sending needs; call it before the thread that sends is started.

    A child that is forked while another thread imports a module has half of that module for ever (seen: "cannot access
    submodule 'client' of module 'http'", and the child delivered nothing).
    """
    for name in ("email.utils", "http.client", "ssl", "urllib.request"):
        importlib.import_module(name)


def connect(host: str, port: int, *, within_s: float) -> Generator[Wait, None, socket.socket]:
    """A connected, non-blocking socket; each address of `host` is tried for `within_s`.

    Raises:
        OSError: no address answered; the error is that of the last one.
    """
    last: OSError = OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                yield Wait(sock, select.POLLOUT, within_s, f"a connection to {host}:{port}")
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return sock
            sock.close()
            # OSError picks its subclass, such as ConnectionRefusedError
            last = OSError(code, os.strerror(code))
        except TimeoutError as error:  # thrown in by the driver: this address is dead, the next may not be
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
    raise last


def start_tls(
    sock: socket.socket, context: ssl.SSLContext, host: str, *, within_s: float
) -> Generator[Wait, None, ssl.SSLSocket]:
    """`sock` with TLS, its certificate verified for `host`."""
    wrapped = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        yield from _patiently(wrapped, wrapped.do_handshake, select.POLLIN, within_s, f"TLS with {host}")
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def request(sock: socket.socket, parts: Iterable[bytes], *, within_s: float) -> Generator[Wait, None, Answer]:
    """Send a request and read its whole answer. `within_s` bounds each silence, not the sum.

    Raises:
        ClosedEarlyError: the connection ended before the answer began.
        OSError: it broke in the middle.
        NotHttpError: the answer is not HTTP.
    """
    for part in parts:
        view = memoryview(part)
        while view:
            try:
                sent = yield from _patiently(
                    sock, partial(sock.send, view), select.POLLOUT, within_s, "to send"
                )
            except (BrokenPipeError, ConnectionResetError) as error:
                # The server may have answered (413, say) and closed without reading on: hear it first.
                return (yield from _answer(sock, within_s, cause=error))
            view = view[sent:]
    return (yield from _answer(sock, within_s))


def is_alive(sock: socket.socket) -> bool:
    """False when the peer has closed a kept-alive connection, or sent bytes that nobody asked for."""
    try:
        sock.recv(1)
    except OSError as error:
        return _wanted(error, select.POLLIN) is not None
    return False


def _answer(
    sock: socket.socket, within_s: float, *, cause: OSError | None = None
) -> Generator[Wait, None, Answer]:
    data = bytearray()
    while True:
        try:
            receive = partial(sock.recv, _CHUNK_BYTES)
            chunk = yield from _patiently(sock, receive, select.POLLIN, within_s, "an answer")
        except ConnectionResetError as error:
            chunk, cause = b"", error
        data += chunk
        answer = _parsed(data, ended=not chunk)
        if answer is not None:
            return answer
        if not chunk and not data:
            raise ClosedEarlyError("the connection was closed without an answer") from cause
        if not chunk:
            raise ConnectionResetError("the connection was closed in the middle of the answer")
        if len(data) > _LONGEST_ANSWER_BYTES:
            raise NotHttpError(f"the answer is longer than {_LONGEST_ANSWER_BYTES} bytes")


class _Received:
    """As much of a socket as `HTTPResponse` asks for."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parsed(data: bytearray, *, ended: bool) -> Answer | None:
    """The answer in `data`; None while it is not all there. Answers are short: parsing again is cheap."""
    import http.client

    start = 0
    while _INTERIM.match(data, start):  # `100 Continue` and `103 Early Hints` come before the answer itself
        end_of_head = data.find(b"\r\n\r\n", start)
        if end_of_head < 0:
            return None
        start = end_of_head + 4
    if b"\r\n\r\n" not in data[start:] and b"\n\n" not in data[start:]:
        return None
    response = http.client.HTTPResponse(_Received(data[start:]), method="POST")  # type: ignore[arg-type]
    try:
        response.begin()
        if response.length is None and not response.chunked and not ended:
            return None  # the end of the connection is the end of the body
        body = response.read()
    except (http.client.IncompleteRead, http.client.RemoteDisconnected):
        return None
    except http.client.HTTPException as error:
        raise NotHttpError(repr(error)) from error
    headers = {name.lower(): value for name, value in response.getheaders()}
    if response.will_close:
        headers["connection"] = "close"
    return Answer(response.status, headers, body)


def _patiently(
    sock: socket.socket, call: Callable[[], T], events: int, within_s: float, doing: str
) -> Generator[Wait, None, T]:
    """The result of `call`, tried again whenever the socket is ready. TLS may want the other direction."""
    while True:
        try:
            return call()
        except OSError as error:
            wanted = _wanted(error, events)
            if wanted is None:
                raise
        yield Wait(sock, wanted, within_s, doing)


def _wanted(error: OSError, events: int) -> int | None:
    """What a socket that does not block waits for; None when `error` is something worse."""
    if isinstance(error, BlockingIOError):
        return events
    # By name, so that a connection without TLS needs no `ssl`.
    return {"SSLWantReadError": select.POLLIN, "SSLWantWriteError": select.POLLOUT}.get(type(error).__name__)
