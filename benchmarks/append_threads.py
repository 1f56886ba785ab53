"""Eight threads that do nothing but append: how long one append takes when all of them want the log's lock.

    python -m benchmarks.append_threads [--rounds 7] [--appends 12000]

Prints a line for each round, one thread first; medians of all would hide the rounds in which threads fall into step.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

from benchmarks._spans import finished
from everyspan.settings import Fsync
from everyspan.spool import Log
from everyspan.wire.encode import encode_span
from everyspan.wire.frame import Kind


def measure(log: Log, *, threads: int, appends: int) -> list[float]:
    """Microseconds that each append took, in ascending order."""
    spans = finished(200, size_bytes=2_000)
    took_us: list[float] = []
    together = threading.Barrier(threads)

    def work() -> None:
        mine = []
        together.wait()
        for number in range(appends // threads):
            encoded = encode_span(spans[number % len(spans)])
            began_ns = time.perf_counter_ns()
            log.append(Kind.SPAN, encoded.payload, stamp_at=encoded.stamp_at)
            mine.append((time.perf_counter_ns() - began_ns) / 1_000)
        took_us.extend(mine)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(took_us)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--appends", type=int, default=12_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder) / "spool", about={}, fsync=Fsync.NONE, cap_bytes=1 << 40)
        for threads in (1, *[8] * options.rounds):
            took_us = measure(log, threads=threads, appends=options.appends)
            p50, p90, p99 = (took_us[int(len(took_us) * share)] for share in (0.5, 0.9, 0.99))
            print(f"{threads} threads: {p50:6.0f} {p90:6.0f} {p99:6.0f} us (p50, p90, p99)", flush=True)


if __name__ == "__main__":
    main()
