"""`python -m everyspan.testing.provider`: the fake provider as a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from everyspan.testing.provider.limits import raise_open_files_limit
from everyspan.testing.provider.server import FakeProvider


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted, or until standard input ends: whoever started us has died."""
    parser = argparse.ArgumentParser(prog="everyspan.testing.provider", description="A fake LLM provider.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--ledger", type=Path, help="append a JSON line for each request to this file")
    options = parser.parse_args(arguments)
    raise_open_files_limit()
    with FakeProvider(port=options.port, ledger_path=options.ledger) as provider:
        print(
            json.dumps({"url": provider.url, "openai_url": provider.openai_url, "pid": os.getpid()}),
            flush=True,
        )
        try:
            sys.stdin.read()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
