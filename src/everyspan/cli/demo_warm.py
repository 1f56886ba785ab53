"""A Python that has imported litellm and langfuse, and forks itself for every run: `python -P demo_warm.py`.

Importing the two takes seconds of CPU, a hundred runs would spend minutes on it. A fork starts where the import ended:
it gets the run's environment, arguments and output, executes the script as `python script.py` would, and leaves in
its own way: by returning through the interpreter's normal end with its atexit handlers, by `os._exit`, or killed.

This file is run by its path and imports nothing of everyspan: a run without everyspan is without it.

Reads one JSON object a line: `{"script", "arguments", "environment", "log", "with_everyspan"}`; answers each with
`{"pid", "status"}` when that run has ended, `status` as `os.waitpid` reports it. First of all it writes `{"ready": …}`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

Order = dict[str, Any]

# What the two import in their first call, as far as no telemetry is among it: half of a short run.
LATE = (
    "httpcore",
    "litellm.litellm_core_utils.default_encoding",
    "litellm.llms.fal_ai.chat.transformation",
    "litellm.proxy._types",
    "tiktoken_ext.openai_public",
    "websockets.exceptions",
)


def main() -> int:
    """Serve orders until standard input ends; in a forked child: run one and return its exit code."""
    begun_s = time.monotonic()
    import langfuse  # noqa: F401
    import litellm  # noqa: F401

    late = sum(_imported(name) for name in LATE)
    # Out of the collector's sight, or the children's first collection copies every page of the import.
    gc.collect()
    gc.freeze()
    _say({"ready": True, "import_s": round(time.monotonic() - begun_s, 1), "late": late})
    while line := sys.stdin.readline():
        order: Order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            # Returning leads out of this process's main module: a normal end of the interpreter.
            return _become(order)
        _, status = os.waitpid(pid, 0)
        _say({"pid": pid, "status": status})
    return 0


def _imported(name: str) -> bool:
    """Import a module that other versions may not have; False when this one has not."""
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _say(what: Order) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _become(order: Order) -> int:
    """Take on the run's environment and output, then run its script."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    script, arguments = order["script"], order["arguments"]
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    if order["with_everyspan"]:
        from everyspan.run import main as run

        sys.path.pop(0)
        return run([script, *arguments])
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
