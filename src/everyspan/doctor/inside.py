"""`python -m everyspan.doctor.inside FD SPOOL_DIR script.py [args]`: run a script, then look at its process.

The examination goes to descriptor FD as JSON, one finding a line, so that it mixes with nothing that the script prints. It
holds no keys.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator

from everyspan import client, run
from everyspan.doctor import program
from everyspan.doctor.examine import examine
from everyspan.doctor.finding import Finding
from everyspan.settings import from_environment, surroundings

_FLUSH_WITHIN_S = 10.0


def main(argv: list[str]) -> int:
    """Run `argv` as `everyspan run` would, and write down what there is to see when it has ended, however it did.

    Args:
        argv: the descriptor, and what stands behind `everyspan run`.
    """
    report_fd, words = int(argv[0]), argv[1:]
    os.set_inheritable(report_fd, False)  # what the script starts must not keep it open
    try:
        return run.main(words)
    finally:
        client.flush(_FLUSH_WITHIN_S)
        with open(report_fd, "w", encoding="utf-8") as report:
            for finding in _findings():
                report.write(json.dumps(finding.as_json()) + "\n")


def _findings() -> Iterator[Finding]:
    yield from program.look()
    yield from examine(from_environment(), surroundings(), destinations=program.destinations())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
