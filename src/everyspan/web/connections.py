"""Connections that may neither pile up nor stall: what uvicorn leaves to a proxy, for those who have none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many may be open, and how long one may take to say what it wants."""

    most: int = 512
    """All together; `most` files have to fit under the process's limit of open files beside our own."""
    most_per_address: int = 384
    """From one address, which may be a proxy that speaks for many."""
    headers_s: float = 10.0
    """From the connection, or the first byte of a further request, to the end of its headers."""
    header_bytes: int = 64 << 10


def limited(limits: ConnectionLimits) -> Callable[..., asyncio.Protocol]:
    """A protocol factory for uvicorn's `http` setting; its connections share one count."""
    by_address: Counter[str] = Counter()

    def connection(**wired: Any) -> asyncio.Protocol:
        return _Connection(limits, by_address, **wired)

    return connection


class _Connection(HttpToolsProtocol):
    """uvicorn's protocol with a deadline for headers and a place in the count."""

    def __init__(self, limits: ConnectionLimits, by_address: Counter[str], **wired: Any) -> None:
        super().__init__(**wired)
        self._limits = limits
        self._by_address = by_address
        self._address = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._by_address[self._address] += 1
        crowded = self._by_address[self._address] > self._limits.most_per_address
        if crowded or len(self.connections) > self._limits.most:
            self._refuse(b"503 Service Unavailable", "too many connections; try again", b"retry-after: 1\r\n")
        else:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_are_here()
        self._by_address[self._address] -= 1
        if not self._by_address[self._address]:
            del self._by_address[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # refused; what it still sends is of no interest
        super().data_received(data)
        if self._deadline is not None:
            self._unread_bytes += len(data)
            if self._unread_bytes > self._limits.header_bytes:
                self._refuse(b"431 Request Header Fields Too Large", "the headers are too long")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_are_here()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._unread_bytes = 0
        self._deadline = self.loop.call_later(self._limits.headers_s, self._too_slow)

    def _headers_are_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(b"408 Request Timeout", f"no request within {self._limits.headers_s:g} s")

    def _refuse(self, status: bytes, why: str, more: bytes = b"") -> None:
        self._headers_are_here()
        head = b"HTTP/1.1 %b\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n%b\r\n"
        self.transport.write(head % (status, len(why), more) + why.encode())
        self.transport.close()
