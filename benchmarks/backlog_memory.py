"""How much a process grows while 1 GiB of spans waits for a collector that is away, and while it is delivered.

    python -m benchmarks.backlog_memory [--gib 1]

One process makes spans of 20 KB with everyspan recording and nothing listening; then the receiver starts, in a process
of its own, and takes them all. Told is the resident size (VmRSS) over what it was before the first span of the backlog.
"""

from __future__ import annotations

import argparse
import gc
import os
import socket
import tempfile
import threading
import time

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

import everyspan
from benchmarks._sink import CountingSink
from benchmarks._spans import make, prompt_length, resource, text
from everyspan.client import _running

_SIZE_BYTES = 20_000
_WARM_UP = 200
_LOOK_EVERY_S = 0.05


def rss_mib() -> float:
    """This process's resident size."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


class Watch:
    """The largest resident size since it was last asked, looked at twenty times a second."""

    def __init__(self) -> None:
        self._most = 0.0
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while True:
            self._most = max(self._most, rss_mib())
            time.sleep(_LOOK_EVERY_S)

    def most_mib(self) -> float:
        """Since the last call."""
        most, self._most = max(self._most, rss_mib()), 0.0
        return most


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def measure(gib: float) -> None:
    """Build the backlog, deliver it, print the growth."""
    port = free_port()
    provider = TracerProvider(resource=resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    everyspan.init(f"http://127.0.0.1:{port}")
    tracer = provider.get_tracer("benchmark", "1.0")
    prompts = [text(prompt_length(_SIZE_BYTES)) for _ in range(16)]
    for number in range(_WARM_UP):
        make(tracer, prompts[number % len(prompts)])
    log = _running().registry.outlets[0].log
    gc.collect()
    before_mib, watch = rss_mib(), Watch()
    spans = _WARM_UP
    while log.counts().unacknowledged_bytes < gib * (1 << 30):
        make(tracer, prompts[spans % len(prompts)])
        spans += 1
    waiting = log.counts()
    assert waiting.on_disk == spans, waiting
    print(f"{spans} spans and their starts wait: {waiting.unacknowledged_bytes / (1 << 20):.0f} MiB on disk")
    print(
        f"growth while they piled up: {watch.most_mib() - before_mib:.1f} MiB of {before_mib:.0f} MiB before"
    )
    with CountingSink(port=port) as sink:
        began_s = time.perf_counter()
        receipt = everyspan.flush(600)
        took_s = time.perf_counter() - began_s
        assert receipt.delivered == spans, receipt
        assert sink.taken() == spans
    print(f"growth while they were delivered ({took_s:.0f} s): {watch.most_mib() - before_mib:.1f} MiB")


def main() -> None:
    """Measure in a directory that is removed afterwards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as spool_dir:
        os.environ |= {"EVERYSPAN_SPOOL_DIR": spool_dir, "EVERYSPAN_SPOOL_BYTES": str(8 << 30)}
        measure(options.gib)


if __name__ == "__main__":
    main()
