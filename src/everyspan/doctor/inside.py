"""`python -m everyspan.doctor.inside FD script.py [args]`: run a script, then look at its process.

The findings go to descriptor FD as JSON, one a line, so that they mix with nothing that the script prints. They hold
no keys.
"""

from __future__ import annotations

import json
import os
import sys

from everyspan import client, run
from everyspan.doctor import program
from everyspan.doctor.examine import examine
from everyspan.settings import surroundings

_FLUSH_WITHIN_S = 10.0


def main(argv: list[str]) -> int:
    """Run a script as `everyspan run` would, and write down what there is to see when it has ended, however it did.

    Args:
        argv: the descriptor, and what stands behind `everyspan run`.
    """
    report_fd = int(argv[0])
    os.set_inheritable(report_fd, False)  # what the script starts must not keep it open
    try:
        return run.main(argv[1:])
    finally:
        if program.is_recording():  # else the words were wrong, which has been said
            client.flush(_FLUSH_WITHIN_S)
            _report(report_fd)


def _report(report_fd: int) -> None:
    with open(report_fd, "w", encoding="utf-8") as report:
        for finding in (*program.look(), *examine(program.settings(), surroundings())):
            report.write(json.dumps(finding.as_json()) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
