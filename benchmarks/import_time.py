"""What `import everyspan` and `everyspan.init()` cost, against OpenTelemetry's SDK alone, which is needed anyway.

    python -m benchmarks.import_time [--runs 15]

Fresh interpreters by turns: CPU time of the whole process and its resident size, less those of an empty one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile

STATEMENTS = {
    "empty": "pass",
    "opentelemetry": "import opentelemetry.sdk.trace.export",
    "everyspan": "import everyspan",
    "everyspan.init": "import everyspan; everyspan.init()",
}
_TELL_RSS = "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"


def run(statement: str, spool: str) -> tuple[float, float]:
    """Milliseconds of CPU and MiB of memory of one interpreter that runs `statement`."""
    # Compiled once, as in an installation; with PYTHONDONTWRITEBYTECODE a checkout would be compiled at each run.
    environment = {**os.environ, "EVERYSPAN_SPOOL_DIR": spool, "PYTHONPYCACHEPREFIX": f"{spool}/bytecode"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", statement + _TELL_RSS],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * spent_s, int(done.stdout.split()[-1]) / 1024


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory() as spool:
        for statement in STATEMENTS.values():
            run(statement, spool)  # compile and cache
        for _ in range(runs):
            for name, statement in STATEMENTS.items():
                figures[name].append(run(statement, spool))
    cpu_ms = {name: statistics.median(cpu for cpu, _ in measured) for name, measured in figures.items()}
    mib = {name: statistics.median(size for _, size in measured) for name, measured in figures.items()}
    print(
        f"{runs} runs, medians, less an empty interpreter ({cpu_ms['empty']:.0f} ms, {mib['empty']:.1f} MiB)"
    )
    print(f"{'':16} {'CPU ms':>7} {'x SDK':>7} {'MiB':>7} {'x SDK':>7}")
    sdk_ms, sdk_mib = cpu_ms["opentelemetry"] - cpu_ms["empty"], mib["opentelemetry"] - mib["empty"]
    for name in list(STATEMENTS)[1:]:
        own_ms, own_mib = cpu_ms[name] - cpu_ms["empty"], mib[name] - mib["empty"]
        print(f"{name:16} {own_ms:7.0f} {own_ms / sdk_ms:7.2f} {own_mib:7.1f} {own_mib / sdk_mib:7.2f}")


if __name__ == "__main__":
    main()
