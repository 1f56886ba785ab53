"""Make a virtual environment that holds exactly what a lock file says, and this project in editable form.

    python3 scripts/environment.py .venv requirements/dev.txt

Runs with the standard library alone, under any Python 3.8 or newer, so that a machine with an old `python3`
is told what is missing instead of being shown a traceback. Does nothing when the environment is already right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = ROOT / "requirements" / "bootstrap.txt"
PIP_INSTALL = ("pip", "install", "--quiet", "--disable-pip-version-check")
LOCKED = ("--no-deps", "--require-hashes", "-r")
LEAST = (3, 11)
NAMES = ("python3.11", "python3.12", "python3.13", "python3.14")

HOW_TO_GET_PYTHON = """everyspan needs Python 3.11 or newer, and {found} is {version}.
Install one (Debian 12 or newer: apt-get install python3 python3-venv), or name it:
    make demo PYTHON=/path/to/python3.11"""
HOW_TO_GET_VENV = """{python} can not make a virtual environment with pip in it,
and there is no virtualenv or uv here.
Install one of them (Debian: apt-get install python3-venv) and run the command again."""
HOW_TO_REACH_PACKAGES = """could not install {lock} (the reason is above).
If the machine reaches packages through a mirror, tell pip (PIP_INDEX_URL) or uv (UV_DEFAULT_INDEX)
and run the command again."""


def main(arguments: list[str]) -> int:
    """Set up environment `arguments[0]` from lock `arguments[1]`; 0 when it is ready, 2 when it is not."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    venv, lock = ROOT / arguments[0], ROOT / arguments[1]
    started_s = time.monotonic()
    try:
        python = interpreter()
        if stamp(venv).is_file() and stamp(venv).read_text() == fingerprint(lock, python):
            stamp(venv).touch()
            return 0
        say(f"setting up {arguments[0]} from {arguments[1]} (once; about a minute) ...")
        stamp(venv).unlink(missing_ok=True)
        create(venv, python)
        install(venv, lock)
        stamp(venv).write_text(fingerprint(lock, python))
    except UnreadyError as reason:
        say(str(reason))
        return 2
    say(f"{arguments[0]} is ready after {time.monotonic() - started_s:.0f} s")
    return 0


class UnreadyError(Exception):
    """Something the machine lacks; the message says what to do about it."""


def interpreter() -> str:
    """A Python of at least 3.11: the one that runs this script, else one found on the PATH."""
    if sys.version_info >= LEAST:
        # Not the interpreter of a virtual environment: the new one would break when that one is deleted.
        return getattr(sys, "_base_executable", None) or sys.executable
    found = next((path for path in map(shutil.which, NAMES) if path and quiet([path, "-c", ""])), None)
    if found is None:
        version = ".".join(map(str, sys.version_info[:3]))
        raise UnreadyError(HOW_TO_GET_PYTHON.format(found=sys.executable, version=version))
    return found


def create(venv: Path, python: str) -> None:
    """Make sure that `venv` is a virtual environment of `python`; one that works already is kept."""
    if quiet([str(binary(venv)), "-c", f"import sys; sys.exit(sys.version_info < {LEAST})"]):
        return
    # Debian splits pip out of the venv module (python3-venv), so each way may be missing on its own.
    ways = [[python, "-m", "venv", "--clear", str(venv)]]
    if shutil.which("virtualenv"):
        ways.append(["virtualenv", "--quiet", "--python", python, str(venv)])
    if shutil.which("uv"):
        ways.append(["uv", "venv", "--quiet", "--clear", "--python", python, str(venv)])
    if quiet([python, "-m", "pip", "--version"]):
        ways.append([python, "-m", "venv", "--clear", "--without-pip", str(venv)])
    if not any(quiet(way) for way in ways):
        shutil.rmtree(venv, ignore_errors=True)
        raise UnreadyError(HOW_TO_GET_VENV.format(python=python))


def install(venv: Path, lock: Path) -> None:
    """Install the lock and the project with uv, or with pip where uv can not be had or fails."""
    python = str(binary(venv))
    project = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    uv = find_uv(venv, python)
    if uv is not None:
        to_venv = ["--quiet", "--python", python]
        sync = [uv, "pip", "sync", *to_venv, "--require-hashes", "--compile-bytecode", str(lock)]
        if loud(sync) and loud([uv, "pip", "install", *to_venv, *project]):
            return
        say("uv could not do it; trying pip with the same lock ...")
    pip = [python, "-m", *PIP_INSTALL]
    if not (loud([*pip, *LOCKED, str(lock)]) and loud([*pip, *project])):
        raise UnreadyError(HOW_TO_REACH_PACKAGES.format(lock=lock.name))


def find_uv(venv: Path, python: str) -> str | None:
    """A uv that works: the environment's own, newly installed there, or the machine's; None without any."""
    own = venv / "bin" / "uv"
    # The machine's pip can install into an environment that has none of its own.
    for pip in ([python, "-m", "pip"], [interpreter(), "-m", "pip", "--python", python]):
        if not own.exists():
            quiet([*pip, *PIP_INSTALL[1:], *LOCKED, str(BOOTSTRAP)])
    return str(own) if own.exists() else shutil.which("uv")


def fingerprint(lock: Path, python: str) -> str:
    """Changes whenever the environment has to be made again."""
    digest = hashlib.sha256(python.encode())
    for path in (lock, BOOTSTRAP, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def stamp(venv: Path) -> Path:
    """The file that says what `venv` was made from; `make` compares its age."""
    return venv / ".ready"


def binary(venv: Path) -> Path:
    """The interpreter of `venv`."""
    return venv / "bin" / "python"


def quiet(command: list[str]) -> bool:
    """Run a command that is allowed to fail; True when it succeeded."""
    try:
        return run(command, output=subprocess.DEVNULL)
    except OSError:
        return False


def loud(command: list[str]) -> bool:
    """Run a command whose errors the user should read; True when it succeeded."""
    return run(command, output=None)


def run(command: list[str], *, output: int | None) -> bool:
    """Run `command` untouched by the caller's Python settings, with `output` as its stdout and stderr."""
    environ = {"UV_LINK_MODE": "copy", **os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    # A user's PYTHONPATH or active environment must not decide what is installed here.
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PIP_USER"):
        environ.pop(name, None)
    stdin = subprocess.DEVNULL
    done = subprocess.run(
        command, stdin=stdin, stdout=output, stderr=output, env=environ, cwd=ROOT, check=False
    )
    return done.returncode == 0


def say(text: str) -> None:
    """Print a line for whoever typed `make`."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
