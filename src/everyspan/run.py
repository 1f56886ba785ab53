"""`everyspan run script.py [args]`: record the calls of a script that nobody edits, in the same process.

Neither a `.pth` file nor a `sitecustomize` is used: both change programs that did not ask for it.
"""

from __future__ import annotations

import builtins
import io
import runpy
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from everyspan import client
from everyspan.errors import SettingsError

_USAGE = "usage: everyspan run [--endpoint URL] [--api-key KEY] (script.py | -m module) [args ...]"


def main(argv: list[str]) -> int:
    """Run a script or module as `python` would, instrumented. Its exceptions and exit codes pass through.

    Args:
        argv: what stands behind `everyspan run`.

    Returns:
        2 when the words cannot be used (said on stderr); else 0, when the program ended without SystemExit.
    """
    options: dict[str, str] = {}
    words = list(argv)
    while words and words[0] in ("--endpoint", "--api-key") and len(words) > 1:
        options[words[0]] = words[1]
        del words[:2]
    is_module = bool(words) and words[0] == "-m"
    if is_module:
        del words[0]
    if not words or words[0] in ("-h", "--help") or words[0].startswith("-"):
        print(_USAGE, file=sys.stderr)
        return 0 if words and words[0] in ("-h", "--help") else 2
    if not is_module and not Path(words[0]).exists():
        print(f"everyspan run: there is no file {words[0]!r}", file=sys.stderr)
        return 2
    try:
        client.init(options.get("--endpoint"), api_key=options.get("--api-key"))
    except SettingsError as error:
        print(f"everyspan run: {error}", file=sys.stderr)
        return 2
    sys.argv = words
    if is_module:
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif Path(words[0]).suffix == ".py":
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        _run_script(words[0])
    else:  # a directory or an archive with a `__main__.py`, or compiled code
        sys.path.insert(0, str(Path(words[0]).resolve().parent))
        runpy.run_path(words[0], run_name="__main__")
    return 0


def _run_script(path: str) -> None:
    """Run a script as the module `__main__`, which it stays.

    `runpy.run_path` puts our own `__main__` back when the script's last line has run; but its threads and `atexit`
    functions go on, and whoever of them starts a process would have the child import the wrong program.
    """
    with io.open_code(path) as file:
        source = file.read()
    module = ModuleType("__main__")
    module.__dict__.update(
        __builtins__=builtins, __file__=path, __loader__=SourceFileLoader("__main__", path), __cached__=None
    )
    sys.modules["__main__"] = module
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
