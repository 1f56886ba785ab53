"""What `import everyspan` costs, against OpenTelemetry's SDK alone, which it needs anyway.

    python benchmarks/import_time.py [--runs 15]

Fresh interpreters in turn; CPU time of the whole process, less that of an empty one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

STATEMENTS = {
    "empty": "pass",
    "opentelemetry": "import opentelemetry.sdk.trace.export",
    "everyspan": "import everyspan",
}


def cpu_ms(statement: str) -> float:
    """CPU milliseconds of one interpreter that runs `statement`."""
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return 1000 * spent


def main() -> None:
    """Measure and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    figures: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(runs):
        for name, statement in STATEMENTS.items():
            figures[name].append(cpu_ms(statement))
    for name, measured in figures.items():
        print(f"{name:14} {statistics.median(measured):6.0f} ms CPU")
    bare = statistics.median(figures["empty"])
    ratio = (statistics.median(figures["everyspan"]) - bare) / (
        statistics.median(figures["opentelemetry"]) - bare
    )
    print(f"import everyspan takes {ratio:.2f} x import opentelemetry.sdk.trace.export")


if __name__ == "__main__":
    main()
