"""How fast one process delivers a backlog: everyspan's sender and OpenTelemetry's exporter, by turns.

    python -m benchmarks.drain_rate [--rounds 5] [--spans 20000]

Spans of 2 KB wait before the clock starts: in a spool directory whose writer is dead, and in memory for the stock
exporter, which is the best that it can have. The receiver runs in another process and only parses.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from benchmarks._sink import CountingSink
from benchmarks._spans import finished
from everyspan.model.destination import Destination
from everyspan.sender.drain import drain
from everyspan.settings import Fsync
from everyspan.spool import Kept, Log
from everyspan.wire.encode import encode_span
from everyspan.wire.frame import Kind

_STOCK_BATCH = 512
"""What BatchSpanProcessor gives its exporter at once."""


def fill(spool: Path, destination: Destination, spans: list[ReadableSpan], count: int) -> None:
    """Leave `count` spans behind as a process does that dies."""
    log = Log(spool / destination.id, about={}, fsync=Fsync.NONE, cap_bytes=8 << 30)
    for number in range(count):
        payload, stamp_at, *_ = encode_span(spans[number % len(spans)])
        assert log.append(Kind.SPAN, payload, stamp_at=stamp_at) is Kept.DISK
    log.close()


def everyspan_rate(sink: CountingSink, spans: list[ReadableSpan], count: int) -> tuple[float, float]:
    """Spans per second, and microseconds of CPU for each."""
    destination = Destination(url=sink.url)
    with tempfile.TemporaryDirectory() as spool:
        fill(Path(spool), destination, spans, count)
        began_s, cpu_s = time.perf_counter(), time.process_time()
        receipt = drain(Path(spool), [destination], timeout_s=300)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    assert receipt.delivered == count, receipt
    assert sink.taken() == count
    return count / took_s, 1e6 * cpu_s / count


def stock_rate(sink: CountingSink, spans: list[ReadableSpan], count: int) -> tuple[float, float]:
    """The same for OpenTelemetry's OTLP/HTTP exporter with its default settings."""
    exporter = OTLPSpanExporter(endpoint=sink.url)
    began_s, cpu_s = time.perf_counter(), time.process_time()
    for start in range(0, count, _STOCK_BATCH):
        batch = [spans[number % len(spans)] for number in range(start, min(start + _STOCK_BATCH, count))]
        assert exporter.export(batch) is SpanExportResult.SUCCESS
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    exporter.shutdown()
    assert sink.taken() == count
    return count / took_s, 1e6 * cpu_s / count


def main() -> None:
    """Measure and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--spans", type=int, default=20_000)
    options = parser.parse_args()
    spans = finished(256, size_bytes=2_000)
    ours: list[tuple[float, float]] = []
    stock: list[tuple[float, float]] = []
    with CountingSink() as sink:
        for _ in range(options.rounds + 1):
            ours.append(everyspan_rate(sink, spans, options.spans))
            stock.append(stock_rate(sink, spans, options.spans // 4))
    # The first round warms everything up.
    ratios = [mine[0] / theirs[0] for mine, theirs in zip(ours[1:], stock[1:], strict=True)]
    size = len(encode_span(spans[0]).payload)
    print(f"{options.rounds} rounds of {options.spans} spans of {size} bytes; medians")
    for name, figures in (("everyspan", ours), ("stock exporter", stock)):
        rate = statistics.median(rate for rate, _ in figures[1:])
        cpu_us = statistics.median(cpu_us for _, cpu_us in figures[1:])
        print(f"{name:14} {rate:8.0f} spans/s {cpu_us:8.1f} us CPU per span")
    print(f"everyspan delivers {statistics.median(ratios):.1f} x as many spans per second")


if __name__ == "__main__":
    main()
