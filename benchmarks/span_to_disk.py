"""What the end of a span costs the thread that ends it: our processor, which writes it to disk, and the alternatives.

    python -m benchmarks.span_to_disk [--rounds 7] [--spans 400]

- everyspan: `EveryspanProcessor.on_end`: on return the span is in the kernel's page cache.
- os.write: the same, with `os.write` in place of the write that keeps the GIL.
- batch: OpenTelemetry's `BatchSpanProcessor.on_end`: on return the span is in a queue in memory.
- encode_spans: what the stock exporter does with a span later, before it is sent.

Each span has begun through the same processor before, as it does in a program: what its START frame holds is not judged
and written again. By turns within one process. Alone, the spans end one right after another. "busy" means that one more
thread computes without a pause, as a tokenizer or a pandas job does, and that the spans end a millisecond apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from benchmarks._spans import made, prompt_length, resource, text
from everyspan.model.destination import Destination
from everyspan.record.processor import EveryspanProcessor
from everyspan.record.registry import Registry
from everyspan.record.shadows import Shadows
from everyspan.settings import Fsync
from everyspan.spool import Log

End = Callable[[ReadableSpan], object]


class Subject(NamedTuple):
    """What is told of a span's start, which is not timed, and of its end, which is."""

    end: End
    begin: Callable[[Span], object] = lambda span: None


_PAUSE_S = 0.001


class Began(SpanProcessor):
    """Tells of each start and of no end."""

    def __init__(self, begin: Callable[[Span], object]) -> None:
        self._begin = begin

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell of it."""
        self._begin(span)


class Nowhere(SpanExporter):
    """Takes the spans out of the stock queue and forgets them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Forget them."""
        return SpanExportResult.SUCCESS


def our_processor(spool: Path, *, keeps_gil: bool = True) -> EveryspanProcessor:
    """As `everyspan.init()` puts it together, apart from the sender: nobody is woken."""

    def open_log(destination: Destination) -> Log:
        log = Log(spool, about={}, fsync=Fsync.NONE, cap_bytes=32 << 30)
        if not keeps_gil:
            log._keeper._write._write = None
        return log

    registry = Registry(open_log=open_log, wake=lambda: None, flush=lambda timeout_s: True)
    registry.add(Destination("http://127.0.0.1:4319/v1/traces"))
    provider = TracerProvider(shutdown_on_exit=False)
    processor = EveryspanProcessor(provider, registry, Shadows())
    provider.add_span_processor(processor)
    return processor


def timed(subject: Subject, prompts: list[str], count: int, *, pause_s: float) -> list[int]:
    """Nanoseconds of each of `count` ends."""
    provider = TracerProvider(resource=resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(Began(subject.begin))
    tracer = provider.get_tracer("benchmark", "1.0")
    spent = []
    for number in range(count):
        span = made(tracer, prompts[number % len(prompts)])
        began_ns = time.perf_counter_ns()
        subject.end(span)
        spent.append(time.perf_counter_ns() - began_ns)
        if pause_s:
            time.sleep(pause_s)
    return spent


def from_threads(
    subject: Subject, prompts: list[str], count: int, *, threads: int, pause_s: float
) -> list[int]:
    """The same from several threads at once, `count` ends in each."""
    if threads == 1:
        return timed(subject, prompts, count, pause_s=pause_s)
    spent: list[list[int]] = []
    together = threading.Barrier(threads)

    def work() -> None:
        together.wait()
        spent.append(timed(subject, prompts, count, pause_s=pause_s))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [each for own in spent for each in own]


@contextmanager
def a_busy_thread() -> Iterator[None]:
    """A thread that computes and never waits."""
    ending = False

    def compute() -> None:
        number = 1
        while not ending:
            for _ in range(1_000):
                number = number * 3 % 1_000_003

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        ending = True
        thread.join()


def percentile_us(spent: list[int], percent: int) -> float:
    """Microseconds."""
    return statistics.quantiles(spent, n=100, method="inclusive")[percent - 1] / 1_000


def compare(
    subjects: dict[str, Subject], prompts: list[str], *, rounds: int, count: int, threads: int, busy: bool
) -> dict[str, list[int]]:
    """Nanoseconds by subject, over all rounds but the first, which warms up."""
    spent: dict[str, list[int]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name, subject in subjects.items():
            pause_s = _PAUSE_S if busy else 0.0
            figures = from_threads(subject, prompts, count, threads=threads, pause_s=pause_s)
            if number:
                spent[name] += figures
    return spent


def measure(size_bytes: int, *, threads: int, busy: bool, rounds: int, count: int) -> None:
    """One table."""
    prompts = [text(prompt_length(size_bytes)) for _ in range(64)]
    with tempfile.TemporaryDirectory() as spool:
        batch = BatchSpanProcessor(Nowhere())
        ours = our_processor(Path(spool) / "a")
        plain = our_processor(Path(spool) / "b", keeps_gil=False)
        subjects = {
            "everyspan": Subject(ours.on_end, ours.on_start),
            "os.write": Subject(plain.on_end, plain.on_start),
            "batch": Subject(batch.on_end),
            "encode_spans": Subject(lambda span: encode_spans((span,)).SerializeToString()),
        }
        if busy:
            with a_busy_thread():
                spent = compare(subjects, prompts, rounds=rounds, count=count, threads=threads, busy=True)
        else:
            spent = compare(subjects, prompts, rounds=rounds, count=count, threads=threads, busy=False)
        batch.shutdown()  # type: ignore[no-untyped-call]
    company = "beside a busy thread" if busy else "alone"
    print(f"\n{size_bytes // 1000} KB, {threads} thread{'s' if threads > 1 else ''}, {company}; microseconds")
    print(f"{'':14} {'p50':>9} {'p90':>9} {'p99':>9} {'p50: x encode_spans':>21} {'p90: x os.write':>17}")
    encode_us = percentile_us(spent["encode_spans"], 50)
    write_us = percentile_us(spent["os.write"], 90)
    for name, figures in spent.items():
        p50, p90, p99 = (percentile_us(figures, percent) for percent in (50, 90, 99))
        print(f"{name:14} {p50:9.0f} {p90:9.0f} {p99:9.0f} {p50 / encode_us:21.2f} {p90 / write_us:17.2f}")


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--spans", type=int, default=400, help="ends in each thread and round")
    options = parser.parse_args()
    for size_bytes in (2_000, 20_000):
        for busy in (False, True):
            for threads in (1, 8):
                count = options.spans // (8 if busy else 1) // (4 if threads > 1 else 1) + 25
                measure(size_bytes, threads=threads, busy=busy, rounds=options.rounds, count=count)


if __name__ == "__main__":
    main()
