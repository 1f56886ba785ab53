"""What telemetry adds to one litellm call: nothing, everyspan, and litellm's own langfuse_otel, side by side.

    python -m benchmarks.litellm_call [--rounds 15] [--calls 200]

Three processes, one for each variant, make the same mock calls in turn (A B C, A B C, ...), so that a change in the
machine's speed meets all three. Reported per call: the time the caller waits, and the CPU time of the whole process
until its background work is done. Both deliver to the same receiver, which is a process of its own and only parses;
langfuse_otel exports every 200 ms instead of every 5 s, so that its work falls into its own turn.
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
from dataclasses import dataclass
from typing import IO

from benchmarks._sink import CountingSink

VARIANTS = ("none", "everyspan", "langfuse_otel")


@dataclass
class Child:
    """One variant in its own process; makes a round of calls for each line it reads."""

    process: subprocess.Popen[str]
    commands: IO[str]
    answers: IO[str]

    def measure(self, calls: int) -> tuple[float, float]:
        """Microseconds per call: (the caller's wait, CPU of the process)."""
        self.commands.write(f"{calls}\n")
        self.commands.flush()
        wall_us, cpu_us = json.loads(self.answers.readline())
        return wall_us, cpu_us


def start(variant: str, sink: CountingSink, spool: str) -> Child:
    """A warm child process of one variant."""
    environment = {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "EVERYSPAN_ENDPOINT": sink.url,
        "EVERYSPAN_SPOOL_DIR": spool,
    }
    if variant == "langfuse_otel":
        environment |= {
            "LANGFUSE_PUBLIC_KEY": "pk",
            "LANGFUSE_SECRET_KEY": "sk",
            "LANGFUSE_HOST": sink.base,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.litellm_call", "--child", variant],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return Child(process, process.stdin, process.stdout)


def child(variant: str) -> None:
    """Make rounds of calls until standard input ends."""
    import litellm

    if variant == "everyspan":
        import everyspan

        everyspan.init()
    if variant == "langfuse_otel":
        litellm.success_callback = ["langfuse_otel"]
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is a span? " * 12}]}
    answer = "A span is one unit of work in a trace. " * 5
    for line in sys.stdin:
        cpu_ns, spent_ns = time.process_time_ns(), 0
        for _ in range(int(line)):
            started_ns = time.perf_counter_ns()
            litellm.completion(**request, mock_response=answer)
            spent_ns += time.perf_counter_ns() - started_ns
        _settle()
        calls = int(line)
        cpu_us = (time.process_time_ns() - cpu_ns) / calls / 1000
        print(json.dumps([spent_ns / calls / 1000, cpu_us]), flush=True)


def _settle() -> None:
    """Wait until the background threads have nothing to do: a quarter of a second with almost no CPU used."""
    while True:
        before_ns = time.process_time_ns()
        time.sleep(0.25)
        if time.process_time_ns() - before_ns < 5_000_000:
            return


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--child", choices=VARIANTS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    delivered = dict.fromkeys(VARIANTS, 0)
    with CountingSink() as sink, tempfile.TemporaryDirectory() as spool:
        children = {variant: start(variant, sink, spool) for variant in VARIANTS}
        for each in children.values():
            each.measure(options.calls)  # warm up
        sink.taken()
        figures: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
        for _ in range(options.rounds):
            for variant, each in children.items():
                figures[variant].append(each.measure(options.calls))
                delivered[variant] += sink.taken()
        for each in children.values():
            each.commands.close()
            each.process.wait()
    report(figures, options.rounds, options.calls)
    made = options.rounds * options.calls
    print(
        f"spans that arrived from {made} calls: " + ", ".join(f"{name} {n}" for name, n in delivered.items())
    )


def report(figures: dict[str, list[tuple[float, float]]], rounds: int, calls: int) -> None:
    """Print medians, and what each variant adds to the bare call in the same round."""
    print(f"{rounds} rounds of {calls} calls; microseconds per call, medians")
    print(f"{'':14} {'caller waits':>13} {'adds':>8} {'CPU':>8} {'adds':>8}")
    added: dict[str, tuple[float, float]] = {}
    for variant, measured in figures.items():
        pairs = list(zip(measured, figures["none"], strict=True))
        wall = statistics.median(wall for wall, _ in measured)
        cpu = statistics.median(cpu for _, cpu in measured)
        more_wall = statistics.median(mine[0] - bare[0] for mine, bare in pairs)
        more_cpu = statistics.median(mine[1] - bare[1] for mine, bare in pairs)
        added[variant] = (more_wall, more_cpu)
        print(f"{variant:14} {wall:13.0f} {more_wall:8.0f} {cpu:8.0f} {more_cpu:8.0f}")
    ours, theirs = added["everyspan"], added["langfuse_otel"]
    print(
        f"everyspan adds {ours[0] / theirs[0]:.2f} x the wait and {ours[1] / theirs[1]:.2f} x the CPU of langfuse_otel"
    )


if __name__ == "__main__":
    main()
