"""A ClickHouse server as far as clickhouse-connect can tell: its HTTP interface over the embedded engine.

It can be told to misbehave, once for each word in `faults`, when the next insert or question arrives.
"""

from __future__ import annotations

import email
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame  # type: ignore[import-untyped]
import zstandard

_TRANSPORT = frozenset(
    {
        "database",
        "query",
        "compress",
        "decompress",
        "wait_end_of_query",
        "client_protocol_version",
        "session_id",
    }
    | {"query_id", "role", "quota_key", "send_progress_in_http_headers", "http_headers_progress_interval_ms"}
    | {"enable_http_compression", "cancel_http_readonly_queries_on_client_close", "date_time_input_format"}
    # The engine in this process has neither replicas nor a queue of inserts.
    | {"async_insert", "wait_for_async_insert", "session_timeout"}
)
_NATIVE = b"FORMAT Native\n"


class Front(ThreadingHTTPServer):
    """Answers until it is shut down; see `front`."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.faults: deque[str] = deque()
        self.requests: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def address(self) -> str:
        """Without a database."""
        return f"clickhouse://someone:secret-word@127.0.0.1:{self.server_address[1]}"


@contextmanager
def front(directory: Path) -> Iterator[Front]:
    """A running one, over the engine's directory."""
    server = Front(directory)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests say what they expect."""

    def _answer(self, body: bytes) -> None:
        said = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "multipart/form-data" in self.headers.get("content-type", ""):
            said |= self._fields(body)
            body = b""
        statement = body or said.get("query", "").encode()
        counts = not statement.startswith(b"SELECT version()")
        fault = self.server.faults.popleft() if self.server.faults and counts else ""
        self.server.requests.append({**said, "statement": statement[:40].decode(errors="replace")})
        if fault == "refuse":
            return self._send(
                500, b"Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"
            )
        if fault == "hang":
            self.server.released.wait(30)
        status, answer = self._run(statement, said)
        if fault == "lose":
            self.close_connection = True
            self.connection.close()
            return None
        if fault == "garble":
            answer = b"\xff" * 40
        if fault == "cut":
            self.close_connection = True
            return self._send(status, answer[: len(answer) // 2], length=len(answer) + 10)
        return self._send(status, answer)

    def _run(self, statement: bytes, said: dict[str, str]) -> tuple[int, bytes]:
        handle = chdb.connect(str(self.server.directory))
        try:
            for name, value in said.items():
                if not name.startswith("param_") and name not in _TRANSPORT:
                    handle.query(f"SET {name} = '{value}'")
            if said.get("database"):
                handle.query(f"USE `{said['database']}`")
            if statement.startswith(b"INSERT") and _NATIVE in statement:
                return 200, self._insert(handle, statement)
            sql = statement.decode().strip()
            kind = "Native" if sql.endswith("FORMAT Native") else "TabSeparated"
            values = {name[6:]: value for name, value in said.items() if name.startswith("param_")}
            found = handle.query(sql.removesuffix("FORMAT Native"), kind, params=values)
            return 200, bytes(found.bytes() or b"")
        except Exception as error:  # noqa: BLE001 - whatever the engine says, the client is told
            return 500, str(error).encode()
        finally:
            handle.close()

    def _insert(self, handle: Any, statement: bytes) -> bytes:
        head, _, block = statement.partition(_NATIVE)
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(block)
            file.flush()
            handle.query(f"{head.decode()} FROM INFILE '{file.name}' FORMAT Native")
        return b""

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
        encoding = self.headers.get("content-encoding", "")
        if encoding == "lz4":
            return bytes(lz4.frame.decompress(body))
        if encoding == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
        return body

    def _fields(self, body: bytes) -> dict[str, str]:
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + body).get_payload()
        assert isinstance(parts, list)
        found = {}
        for part in parts:
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            found[str(name)] = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        return found

    def _send(self, status: int, body: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        if status != 200:
            self.send_header("x-clickhouse-exception-code", "241")
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
