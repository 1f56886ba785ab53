"""An OTLP/HTTP receiver in a process of its own that only parses and counts, so that it is never what is measured."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class CountingSink:
    """The receiver's process. `with CountingSink() as sink:` gives its `url`; `taken` asks what it has parsed.

    Args:
        port: 0 for a free one.
    """

    def __init__(self, *, port: int = 0) -> None:
        self._port = port

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks._sink", str(self._port)]
        # It ends when its standard input does, so it is gone also when this process was killed, or failed just below.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert self._process.stdout is not None
            self._port = int(self._process.stdout.readline())
        except BaseException:
            self.__exit__()
            raise
        self.base = f"http://127.0.0.1:{self._port}"
        self.url = f"{self.base}/v1/traces"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def taken(self) -> int:
        """Spans parsed since the last time this was asked."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request("GET", "/")
        spans: int = json.loads(connection.getresponse().read())
        connection.close()
        return spans


def main() -> None:
    """Serve until standard input ends, on the port that the first argument names; it is printed first."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    spans = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            nonlocal spans
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = zlib.decompress(body, 31)
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    spans += len(scope_spans.spans)
            self._answer(b"", "application/x-protobuf")

        def do_GET(self) -> None:
            nonlocal spans
            told, spans = spans, 0
            self._answer(json.dumps(told).encode(), "application/json")

        def _answer(self, body: bytes, content_type: str) -> None:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
