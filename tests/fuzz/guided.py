"""A fuzzer that is guided by what its inputs reach in our code: Atheris, which is libFuzzer for Python.

    .venv/bin/python -m tests.fuzz.guided TARGET [-max_total_time=600] [further options of libFuzzer] [FILE ...]

TARGET is one of `tests.fuzz.targets`. Inputs that reached something new are kept in `.fuzz/TARGET`, and the next run
goes on from there. An input that makes the target fail is left in `.fuzz`; named as FILE it is run again, alone.
Atheris is got on first use, into a directory of its own: 35 MB that no test of `make test` needs.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tests.clients.environments import python_with

ATHERIS = "atheris==3.0.0"
ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".fuzz"
_OPTIONS = ("-max_len=8192", "-timeout=60", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=1")


def command(target: str, *options: str) -> list[str]:
    """What runs the fuzzer, in a process whose environment is `environment()`."""
    return [sys.executable, "-m", "tests.fuzz.guided", target, *options]


def environment() -> dict[str, str]:
    """This interpreter with Atheris beside its own packages."""
    asked = [python_with(ATHERIS), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{found}"}


def fuzz(target: str, options: list[str]) -> None:
    """Does not return: libFuzzer ends the process, with 0 when nothing was found."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["everyspan", "google.protobuf.json_format"]):
        from tests.fuzz.seeds import seeds
        from tests.fuzz.targets import TARGETS, bounded
    corpus = KEPT / target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds(target)):
        (corpus / f"seed-{number}").write_bytes(content)
    where = [] if any(Path(option).is_file() for option in options) else [str(corpus)]
    prefix = f"-artifact_prefix={KEPT}/{target}-"
    atheris.Setup([sys.argv[0], *_OPTIONS, prefix, *options, *where], bounded(TARGETS[target]))
    atheris.Fuzz()


def main() -> None:
    """See above."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    if importlib.util.find_spec("atheris") is None:
        os.execve(sys.executable, command(*sys.argv[1:]), environment())
    fuzz(sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    main()
