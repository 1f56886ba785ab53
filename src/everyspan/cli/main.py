"""Where `everyspan …` begins: `run` goes straight to the core, everything else to click."""

from __future__ import annotations

import sys
from collections.abc import Sequence

MISSING_EXTRA = "everyspan: this command needs {name}, which is not installed: pip install 'everyspan[all]'"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what `arguments` (default: the command line) say; the exit code, as docs/cli.md lists them.

    `everyspan run` works with the core alone, and neither imports nor parses anything more: the script that is
    run decides what else gets loaded into its process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        from everyspan.run import main as run

        return run(words[1:])
    try:
        from everyspan.cli.commands import dispatch

        return dispatch(words)
    except ModuleNotFoundError as error:
        # A module of our own that is missing is a broken installation, not a missing extra.
        if error.name is None or error.name.startswith("everyspan"):
            raise
        print(MISSING_EXTRA.format(name=error.name), file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
