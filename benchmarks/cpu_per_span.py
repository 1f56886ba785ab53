"""Client CPU for each delivered span, all in: everyspan against BatchSpanProcessor with the OTLP/HTTP exporter.

    python -m benchmarks.cpu_per_span [--rounds 9] [--spans 2000]

One process for each; by turns they make the same spans of 2 KB through OpenTelemetry's API, flush every 500, and tell
the CPU time of the whole process until the receiver, in a process of its own that only parses, has all of them.
`nobody` makes the spans and has no processor: what the API and the SDK take anyway.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from benchmarks._sink import CountingSink
from benchmarks._spans import make, prompt_length, resource, text

VARIANTS = ("nobody", "everyspan", "stock")
_BURST = 500
"""The stock queue takes 2048 spans and drops what is more."""


def child(variant: str, url: str) -> None:
    """Make as many spans as each line of standard input says, and answer with nanoseconds of CPU."""
    provider = TracerProvider(resource=resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    flush = _prepared(variant, url, provider)
    tracer = provider.get_tracer("benchmark", "1.0")
    prompts = [text(prompt_length(2_000)) for _ in range(64)]
    for line in sys.stdin:
        cpu_ns = time.process_time_ns()
        for number in range(int(line)):
            make(tracer, prompts[number % len(prompts)])
            if number % _BURST == _BURST - 1:
                flush()
        flush()
        print(json.dumps(time.process_time_ns() - cpu_ns), flush=True)


def _prepared(variant: str, url: str, provider: TracerProvider) -> Callable[[], object]:
    if variant == "everyspan":
        from opentelemetry import trace

        import everyspan

        trace.set_tracer_provider(provider)
        everyspan.init(url)
        return everyspan.flush
    if variant == "stock":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        return provider.force_flush
    return lambda: None


def start(variant: str, sink: CountingSink, spool: str) -> subprocess.Popen[str]:
    """The process of one variant."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cpu_per_span", "--child", variant, "--url", sink.url],
        env={**os.environ, "EVERYSPAN_SPOOL_DIR": spool},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def measure(process: subprocess.Popen[str], count: int) -> float:
    """Microseconds of CPU for each of `count` spans."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    spent_ns: int = json.loads(process.stdout.readline())
    return spent_ns / count / 1_000


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--spans", type=int, default=2_000)
    parser.add_argument("--child", choices=VARIANTS)
    parser.add_argument("--url")
    options = parser.parse_args()
    if options.child:
        child(options.child, options.url)
        return
    figures: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with CountingSink() as sink, tempfile.TemporaryDirectory() as spool:
        processes = {variant: start(variant, sink, spool) for variant in VARIANTS}
        for number in range(options.rounds + 1):
            for variant, process in processes.items():
                cpu_us = measure(process, options.spans)
                expected = 0 if variant == "nobody" else options.spans
                taken = sink.taken()
                assert taken == expected, f"{variant} delivered {taken} of {expected}"
                if number:  # the first round warms up
                    figures[variant].append(cpu_us)
        for process in processes.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    print(
        f"{options.rounds} rounds of {options.spans} spans; microseconds of CPU per delivered span, medians"
    )
    for variant, measured in figures.items():
        print(f"{variant:10} {statistics.median(measured):7.1f}")
    rounds = list(zip(figures["nobody"], figures["everyspan"], figures["stock"], strict=True))
    whole = statistics.median(ours / stock for _, ours, stock in rounds)
    beyond = statistics.median((ours - bare) / (stock - bare) for bare, ours, stock in rounds)
    print(f"everyspan takes {whole:.2f} x the CPU of the stock pipeline, {beyond:.2f} x beyond the SDK's own")


if __name__ == "__main__":
    main()
