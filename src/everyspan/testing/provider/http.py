"""As much of an HTTP/1.1 server as a fake provider needs: keep-alive, chunked answers, and rude endings.

A web framework would hide what the tests are about: whether the peer is still there, and what happens when the
connection breaks between two chunks. One `Connection` serves one request at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, cast

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
}
_HEAD_LIMIT_BYTES = 64 << 10


class Request(NamedTuple):
    """A complete request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """One request's way back. All methods are for the event loop's thread."""

    def __init__(self, transport: asyncio.Transport, gone: asyncio.Event) -> None:
        self._transport = transport
        self._gone = gone
        self.begun = False
        self.closing = False

    @property
    def gone(self) -> bool:
        """True when the client has left: it closed its side, or the connection broke."""
        return self._gone.is_set() or self._transport.is_closing()

    async def pause(self, seconds: float) -> bool:
        """Wait, but not longer than the client does; False when it has left."""
        if seconds > 0 and not self.gone:
            try:
                await asyncio.wait_for(self._gone.wait(), seconds)
            except TimeoutError:
                return not self.gone
        return not self.gone

    async def until_gone(self) -> None:
        """Wait for the client to leave."""
        await self._gone.wait()

    def answer(
        self, status: int, headers: Mapping[str, str], body: bytes, *, only_bytes: int | None = None
    ) -> None:
        """Send a whole answer, or (`only_bytes`) its head and a part of the body that was announced."""
        head = _head(status, {**headers, "content-length": str(len(body))})
        self.begun = True
        self._transport.write(head + (body if only_bytes is None else body[:only_bytes]))

    def begin_stream(self, headers: Mapping[str, str]) -> None:
        """Send the head of an answer that comes in chunks."""
        self.begun = True
        self._transport.write(_head(200, {**headers, "transfer-encoding": "chunked"}))

    def send_chunk(self, data: bytes) -> None:
        """Send a chunk; empty data ends the answer."""
        self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def break_off(self) -> None:
        """Close the connection after what was written so far, whatever the head announced."""
        self.closing = True
        self._transport.close()


Handler = Callable[[Request, Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client connection: reads requests and gives them to the handler, one after the other."""

    def __init__(self, handler: Handler, open_connections: set[Connection]) -> None:
        self._handler = handler
        self._open = open_connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._buffer += data
        self._serve_next()

    def eof_received(self) -> None:
        """Called by the event loop. No LLM client half-closes: one that stops writing has left."""
        self._gone.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._gone.set()
        self._open.discard(self)

    def close(self) -> None:
        """Break off, in the middle of an answer too."""
        self._gone.set()
        self._transport.abort()

    def _serve_next(self) -> None:
        if self._task is not None or self._transport.is_closing():
            return
        try:
            found = take_request(self._buffer)
        except ValueError as error:
            self._transport.write(
                _head(400, {"content-length": "0", "x-problem": str(error), "connection": "close"})
            )
            self._transport.close()
            return
        if found is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(found))

    async def _serve(self, request: Request) -> None:
        exchange = Exchange(self._transport, self._gone)
        try:
            await self._handler(request, exchange)
        finally:
            self._task = None
            if not exchange.begun and not exchange.closing:
                # The handler failed before it said anything: the client must not wait for ever, and the loop's
                # exception handler prints what happened.
                exchange.break_off()
        self._serve_next()


def take_request(buffer: bytearray) -> Request | None:
    """Cut the first complete request off `buffer`; None while there is none.

    Raises:
        ValueError: these bytes are no HTTP/1.1 request.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > _HEAD_LIMIT_BYTES:
            raise ValueError("head too long")
        return None
    start_line, *lines = buffer[:end].decode("latin-1").split("\r\n")
    method, path, *_ = [*start_line.split(" "), ""]
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body, used = _chunked(buffer, end + 4)
    else:
        length = int(headers.get("content-length", "0"))
        used = end + 4 + length
        body = bytes(buffer[end + 4 : used]) if len(buffer) >= used else None
    if body is None:
        return None
    del buffer[:used]
    return Request(method, path.partition("?")[0], headers, body)


def _chunked(buffer: bytearray, at: int) -> tuple[bytes | None, int]:
    """The decoded body and where it ends; None while it is incomplete."""
    body = bytearray()
    while True:
        line_end = buffer.find(b"\r\n", at)
        if line_end < 0:
            return None, 0
        size = int(bytes(buffer[at:line_end]).partition(b";")[0], 16)
        at = line_end + 2 + size + 2
        if len(buffer) < at:
            return None, 0
        if size == 0:
            return bytes(body), at
        body += buffer[line_end + 2 : at - 2]


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\n{''.join(lines)}\r\n".encode("latin-1")
