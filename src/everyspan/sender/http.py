"""Posting to one destination: what goes into a request, over which connection, and what must not."""

from __future__ import annotations

import base64
import ipaddress
import re
import select
import socket
import zlib
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from everyspan.errors import SettingsError
from everyspan.model.destination import Destination
from everyspan.sender.exchange import ClosedEarlyError, Wait, connect, is_alive, request, start_tls
from everyspan.sender.outcome import Answer
from everyspan.version import __version__

if TYPE_CHECKING:
    import ssl

CONNECT_WITHIN_S = 5.0
_COMPRESS_FROM_BYTES = 1024
_GZIP = 31  # zlib's window bits for a gzip header
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOLDS_A_KEY = re.compile("auth|key|token|secret|cookie|password", re.IGNORECASE)


class Poster:
    """POSTs to one destination over one kept-alive connection, driven by one thread.

    Nothing in here blocks but name look-up: `post` is a generator of `Wait`s. Redirects are not followed, so
    a key never reaches a host that the user did not name.

    Args:
        proxies: proxy URL by scheme, as `urllib.request.getproxies` finds them in the environment when None.
        allow_key_in_clear: let a key travel over plain http to another machine.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        proxies: Mapping[str, str] | None = None,
        allow_key_in_clear: bool = False,
    ) -> None:
        self._url = urlsplit(destination.url)
        self._host = self._url.hostname or ""
        self._headers = destination.headers
        self._allow_key_in_clear = allow_key_in_clear
        self._proxies = proxies
        self._tls: ssl.SSLContext | None = None
        self._sock: socket.socket | None = None

    def post(
        self, body: bytes, headers: Mapping[str, str], *, within_s: float
    ) -> Generator[Wait, None, Answer]:
        """Send `body`; the generator returns the answer.

        Args:
            within_s: the longest silence to bear, from the last byte sent to the answer.

        Raises:
            SettingsError: this must not or can not be sent at all; nothing was.
            OSError, NotHttpError: there was no answer.
        """
        self._check_key()
        # What does not leave the machine is not worth compressing: that takes longer than all the rest of sending.
        sent = body if is_loopback(self._host) else compressed(body)
        head = self._head(len(sent), headers, encoded=sent is not body)
        if self._sock is not None and is_alive(self._sock):
            try:
                return (yield from self._exchange([head, sent], within_s))
            except ClosedEarlyError:
                # The server gave an idle connection up just now; a fresh one tells whether it lives.
                self.close()
        self.close()
        self._sock = yield from self._connect()
        return (yield from self._exchange([head, sent], within_s))

    def close(self) -> None:
        """Close the connection; the next POST opens another.

        A forked child does it at once with its copy. Nothing goes over the wire by that, neither a FIN nor TLS's
        goodbye, since the parent still holds the connection.
        """
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _exchange(self, parts: list[bytes], within_s: float) -> Generator[Wait, None, Answer]:
        assert self._sock is not None
        try:
            answer = yield from request(self._sock, parts, within_s=within_s)
        except BaseException:
            self.close()  # half an answer may still be under way on it
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def _check_key(self) -> None:
        if self._url.scheme == "https" or self._allow_key_in_clear or is_loopback(self._host):
            return
        named = [name for name, _ in self._headers if _HOLDS_A_KEY.search(name)]
        if self._url.password:
            named.append("a password")
        if named:
            raise SettingsError(
                f"{', '.join(named)} would travel unencrypted over http to {self._host}; "
                "use https, or allow keys in clear if that network is yours"
            )

    def _head(self, length: int, extra: Mapping[str, str], *, encoded: bool) -> bytes:
        headers = [
            ("Host", self._url.netloc.rpartition("@")[2]),
            ("User-Agent", f"everyspan/{__version__}"),
            ("Content-Type", "application/x-protobuf"),
            ("Content-Length", str(length)),
            *([("Content-Encoding", "gzip")] if encoded else []),
            *extra.items(),
            *self._headers,
        ]
        if self._url.username and not any(name.lower() == "authorization" for name, _ in self._headers):
            headers.append(("Authorization", _basic(self._url)))
        path = quote(self._url.path or "/", safe="/%:@!$&'()*+,;=~")
        if self._url.query:
            path += "?" + quote(self._url.query, safe="/%:@!$&'()*+,;=~?")
        proxy = self._proxy()
        if proxy is not None and self._url.scheme == "http":
            path = f"http://{headers[0][1]}{path}"
            headers += [("Proxy-Authorization", _basic(proxy))] if proxy.username else []
        lines = [f"POST {path} HTTP/1.1".encode("ascii")]
        lines += [_header(name, value) for name, value in headers]
        return b"\r\n".join([*lines, b"", b""])

    def _connect(self) -> Generator[Wait, None, socket.socket]:
        secure = self._url.scheme == "https"
        own_port = self._url.port or (443 if secure else 80)
        proxy = self._proxy()
        if proxy is None:
            sock = yield from connect(self._host, own_port, within_s=CONNECT_WITHIN_S)
        else:
            sock = yield from connect(proxy.hostname or "", proxy.port or 80, within_s=CONNECT_WITHIN_S)
            if secure:
                yield from self._tunnel(sock, proxy, f"{self._host}:{own_port}")
        if not secure:
            return sock
        if self._tls is None:
            import ssl  # not before it is needed: see exchange.py

            self._tls = ssl.create_default_context()
        return (yield from start_tls(sock, self._tls, self._host, within_s=CONNECT_WITHIN_S))

    def _tunnel(self, sock: socket.socket, proxy: SplitResult, to: str) -> Generator[Wait, None, None]:
        lines = [f"CONNECT {to} HTTP/1.1".encode("ascii"), _header("Host", to)]
        if proxy.username:
            lines.append(_header("Proxy-Authorization", _basic(proxy)))
        try:
            yield from _ask_for_tunnel(sock, b"\r\n".join([*lines, b"", b""]), proxy.hostname or "")
        except BaseException:
            sock.close()
            raise

    def _proxy(self) -> SplitResult | None:
        if is_loopback(self._host):
            return None
        from urllib.request import getproxies, proxy_bypass  # 4 ms that few programs need

        if self._proxies is None:
            self._proxies = getproxies()
        url = self._proxies.get(self._url.scheme) or self._proxies.get("all")
        if not url or proxy_bypass(self._host):
            return None
        return urlsplit(url if "://" in url else f"http://{url}")


def compressed(body: bytes) -> bytes:
    """`body` as gzip, level 1, or `body` itself when it is too short for that to pay."""
    return zlib.compress(body, 1, _GZIP) if len(body) > _COMPRESS_FROM_BYTES else body


def is_loopback(host: str) -> bool:
    """True for names and addresses that do not leave this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask_for_tunnel(sock: socket.socket, head: bytes, proxy: str) -> Generator[Wait, None, None]:
    # The answer to CONNECT has no body, and what follows it belongs to TLS: read to the blank line only.
    sock.send(head)  # a few hundred bytes into an empty buffer
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        yield Wait(sock, select.POLLIN, CONNECT_WITHIN_S, f"the proxy {proxy}")
        byte = sock.recv(1)
        if not byte or len(answer) > 1 << 14:
            raise ConnectionResetError(f"the proxy {proxy} closed the connection")
        answer += byte
    status = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(status) < 2 or status[1] != b"200":
        raise ConnectionError(f"the proxy {proxy} says: {b' '.join(status[1:]).decode('latin-1')[:100]}")


def _header(name: str, value: str) -> bytes:
    # A line break in a value would let it write headers, or a second request, of its own.
    if not _HEADER_NAME.fullmatch(name) or any(char in value for char in "\r\n\0"):
        raise SettingsError(f"the header {name!r} can not be sent: it holds characters that HTTP forbids")
    return f"{name}: {value}".encode()


def _basic(url: SplitResult) -> str:
    pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
