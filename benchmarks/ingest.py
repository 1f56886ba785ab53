"""How fast one collector takes spans in, durable and ready to be asked for, and how long that takes.

    python -m benchmarks.ingest [--seconds 20] [--rate 0] [--senders 2] [--phoenix BIN]

Bodies of 512 spans of 2 KB, gzip, every span with ids of its own and 0.2 ms later than the one before, made before the
clock starts; `everyspan serve` runs in a process of its own. The rate counts until the last span can be read; `--rate`
paces the senders. Meanwhile a probe sends one span at a time and asks for its trace until it is there.

`--phoenix` measures Arize Phoenix the same way instead; BIN is its command, in an environment of its own.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from benchmarks._spans import finished

SPANS_IN_BODY = 512
_PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
_PATH = "/v1/traces"
_PROBE_PAUSE_S = 0.2
_APART_NS = 200_000
_LASTED_NS = 1_300_000_000
_TIME = struct.Struct("<Q")
_MOST_WAIT_S = 600.0


class Collector:
    """`everyspan serve` on a free port, with a directory that goes with it."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.process, self.where = self.start()

    def start(self) -> tuple[subprocess.Popen[str], SplitResult]:
        """The process, and where it listens by now."""
        command = [sys.executable, "-m", "everyspan.cli.main", "serve", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--data-dir", self.directory.name], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, urlsplit(process.stdout.readline().split()[-1])

    def stored(self) -> int:
        """Spans that can be read."""
        return int(json.loads(ask(self, "GET", "/api/v1/health")[1])["stored_spans"])

    def visible(self, trace_id: str) -> bool:
        """Whether this trace can be read."""
        return ask(self, "GET", f"/api/v1/traces/{trace_id}?bodies=no")[0] == 200

    def cpu_s(self) -> float:
        """CPU of the process and its children so far, those that have ended included."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Memory of the process and its children."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def pids(self) -> list[int]:
        """The process and its children."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [
            self.process.pid,
            *(int(pid) for task in tasks for pid in (task / "children").read_text().split()),
        ]

    def close(self) -> None:
        """End it and remove its data."""
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


class Phoenix(Collector):
    """Arize Phoenix with its SQLite store."""

    def __init__(self, command: str, port: int = 16006) -> None:
        self._command, self._port = command, port
        super().__init__()

    def start(self) -> tuple[subprocess.Popen[str], SplitResult]:
        """The process, once it answers."""
        settings = {"PHOENIX_WORKING_DIR": self.directory.name, "PHOENIX_PORT": str(self._port)}
        settings |= {"PHOENIX_GRPC_PORT": str(self._port + 1), "PHOENIX_TELEMETRY_ENABLED": "false"}
        process = subprocess.Popen(
            [self._command, "serve"],
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.where = urlsplit(f"http://127.0.0.1:{self._port}")
        for _ in range(1200):
            try:
                if ask(self, "GET", "/healthz")[0] == 200:
                    return process, self.where
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("Phoenix did not start in two minutes")

    def stored(self) -> int:
        """Spans that its interface shows."""
        query = json.dumps({"query": "{ projects { edges { node { recordCount } } } }"}).encode()
        edges = json.loads(ask(self, "POST", "/graphql", query)[1])["data"]["projects"]["edges"]
        return sum(int(edge["node"]["recordCount"]) for edge in edges)


def ask(collector: Collector, method: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
    """One question."""
    connection = http.client.HTTPConnection(collector.where.netloc, timeout=60)
    connection.request(method, path, body=content, headers={"Content-Type": "application/json"})
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, found


def bodies(count: int, spans_each: int = SPANS_IN_BODY) -> list[bytes]:
    """Requests whose spans all have ids and times of their own: one template, these replaced in place."""
    request = encode_spans(finished(spans_each, size_bytes=2_000))
    spans = [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
    for index, span in enumerate(spans):
        span.trace_id, span.span_id = b"TRACE-ID%08d" % index, b"SP%06d" % index
        span.start_time_unix_nano, span.end_time_unix_nano = (
            int.from_bytes(b"%s%06d" % (edge, index), "little") for edge in (b"S@", b"E@")
        )
        for attribute in span.attributes:
            if attribute.key == "gen_ai.response.id":
                attribute.value.string_value = f"chatcmpl-{index:016d}"
    parts = request.SerializeToString()
    places = [
        (
            *(parts.index(span.trace_id), parts.index(span.span_id)),
            *(parts.index(b"%s%06d" % (edge, index)) for edge in (b"S@", b"E@")),
            parts.index(b"chatcmpl-%016d" % index) + 9,
        )
        for index, span in enumerate(spans)
    ]
    made, start_ns = [], time.time_ns()
    for _ in range(count):
        body = bytearray(parts)
        for trace_at, span_at, start_at, end_at, answer_at in places:
            start_ns += _APART_NS
            body[trace_at : trace_at + 16] = os.urandom(16)
            body[span_at : span_at + 8] = os.urandom(8)
            body[start_at : start_at + 8] = _TIME.pack(start_ns)
            body[end_at : end_at + 8] = _TIME.pack(start_ns + _LASTED_NS)
            body[answer_at : answer_at + 16] = os.urandom(8).hex().encode()
        made.append(gzip.compress(bytes(body), 1))
    return made


def send(collector: Collector, mine: Sequence[bytes], pause_s: float) -> None:
    """Post one after the other over one connection; every one has to be taken."""
    connection = http.client.HTTPConnection(collector.where.netloc, timeout=60)
    next_s = time.perf_counter()
    for body in mine:
        connection.request("POST", _PATH, body=body, headers=_PROTOBUF)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        next_s += pause_s
        time.sleep(max(0.0, next_s - time.perf_counter()))
    connection.close()


def probe(collector: Collector, stop: threading.Event) -> list[float]:
    """Seconds from the 200 to the span's being readable, sample after sample."""
    request = encode_spans(finished(1, size_bytes=2_000))
    (span,) = request.resource_spans[0].scope_spans[0].spans
    waits = []
    while not stop.wait(_PROBE_PAUSE_S):
        span.trace_id = os.urandom(16)
        send(collector, [gzip.compress(request.SerializeToString())], 0.0)
        began_s = time.perf_counter()
        while not collector.visible(span.trace_id.hex()):
            time.sleep(0.01)
        waits.append(time.perf_counter() - began_s)
    return waits


def measure(collector: Collector, made: list[bytes], *, senders: int, rate: int) -> None:
    """Send all of them and print what came of it."""
    stop, waits = threading.Event(), list[float]()
    probing = threading.Thread(target=lambda: waits.extend(probe(collector, stop)))
    pause_s = senders * SPANS_IN_BODY / rate if rate else 0.0
    threads = [
        threading.Thread(target=send, args=(collector, made[first::senders], pause_s))
        for first in range(senders)
    ]
    total = len(made) * SPANS_IN_BODY
    began_s, cpu_s = time.perf_counter(), collector.cpu_s()
    before = collector.stored()
    if rate:
        probing.start()  # at full speed there is a queue, and a probe measures its length
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged_s = time.perf_counter() - began_s
    stop.set()
    if rate:
        probing.join()
    while collector.stored() - before < total:
        assert time.perf_counter() - began_s < _MOST_WAIT_S, "the inbox was not moved in time"
        time.sleep(0.1)
    took_s, cpu_s = time.perf_counter() - began_s, collector.cpu_s() - cpu_s
    print(f"{total} spans, {senders} senders, {'as fast as it goes' if not rate else f'{rate} spans/s'}:")
    print(f"  acknowledged {total / acknowledged_s:8.0f} spans/s")
    print(f"  readable     {total / took_s:8.0f} spans/s")
    print(f"  CPU          {1e6 * cpu_s / total:8.1f} us per span, {collector.rss_mib():.0f} MiB")
    if waits:
        p95 = statistics.quantiles(waits, n=20)[-1]
        print(
            f"  200 to readable: p50 {statistics.median(waits):.2f} s, p95 {p95:.2f} s ({len(waits)} probes)"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="about how long, at 5,000 spans/s")
    parser.add_argument("--rate", type=int, default=0, help="spans per second; 0: as fast as it goes")
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--phoenix", metavar="BIN", help="measure Phoenix; without --rate only")
    options = parser.parse_args()
    made = bodies(max(2, (options.rate or 5_000) * options.seconds // SPANS_IN_BODY))
    collector = Phoenix(options.phoenix) if options.phoenix else Collector()
    try:
        measure(collector, made, senders=options.senders, rate=options.rate)
    finally:
        collector.close()


if __name__ == "__main__":
    main()
