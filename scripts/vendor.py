"""Fetch the JavaScript that others wrote and we ship: by name, in one version, held to one hash.

    python scripts/vendor.py            # `npm pack` each package, check it, write the files
    python scripts/vendor.py --check    # without network: are the files in place the ones that were written?

Nothing is built: files are taken as the packages hold them, apart from the changes in `Taken.changes`, which are needed
because a page under our content security policy can have no import map. Licences come along.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEB = Path("src/everyspan/web/static/vendor")
TESTS = Path("tests/assets")


@dataclass(frozen=True, slots=True)
class Taken:
    """One file of a package, where it goes, and the hash of what is written there."""

    source: str
    target: Path
    sha256: str
    changes: tuple[tuple[str, str], ...] = ()
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A package, and the hash of the archive that holds it."""

    name: str
    version: str
    sha256: str
    files: tuple[Taken, ...]


PACKAGES = (
    Package(
        "preact",
        "11.2.0",
        "3c4456766bd32b6b534d52bf4e9c2a29b33e7eedf6e96ed479300ba1a7888ebf",
        (
            Taken(
                "dist/preact.mjs",
                WEB / "preact.js",
                "225d7a773766e6fb2cfcc45274fe41d2059f5782f3f2c4569aa5132a2d3a2902",
                (("//# sourceMappingURL=preact.mjs.map", ""),),
            ),
            Taken(
                "hooks/dist/hooks.mjs",
                WEB / "hooks.js",
                "5c65ab263688d0805862fd0807c779af02c2799c44fda0873dfcb870d0da70a0",
                (('from"preact"', 'from"./preact.js"'), ("//# sourceMappingURL=hooks.mjs.map", "")),
            ),
            Taken(
                "LICENSE",
                WEB / "preact.LICENSE.txt",
                "1fe6958409c8c257a70c587a18b6f7f412b179b456630790d30b2ec9a8e4b7d4",
            ),
        ),
    ),
    Package(
        "htm",
        "3.1.1",
        "2425b9bee11409177bcabc7f32e319926fc6690c1701c0b257c88bdff2d5ba90",
        (
            Taken(
                "dist/htm.module.js",
                WEB / "htm.js",
                "ab33dd3f38059b9be4d5f5350128eefb2356639c4e0bbe9d9e8b3ba75847e9e4",
            ),
            Taken(
                "LICENSE",
                WEB / "htm.LICENSE.txt",
                "991e82b20ea949fbc98923edc2e4253fe177181bc50ff5383a325e58924ba7c2",
            ),
        ),
    ),
    Package(
        "uplot",
        "1.6.32",
        "4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d",
        (
            Taken(
                "dist/uPlot.iife.min.js",
                WEB / "uplot.js",
                "073f022c867cb9c40f0be28f5d680830857a5b3a04082c2473880c8328a12e04",
                ending="export default uPlot;\n",
            ),
            Taken(
                "dist/uPlot.min.css",
                WEB / "uplot.css",
                "0cf09be05fa0760ca9a3330ea374f6655f08766c7b2b370e462afe98852147ce",
            ),
            Taken(
                "LICENSE",
                WEB / "uplot.LICENSE.txt",
                "3421f0033bae76860e165efab33d4bbbcc2d8fc1a4a708ef4f6742eef434ab47",
            ),
        ),
    ),
    Package(
        "axe-core",
        "4.14.1",
        "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        (
            Taken(
                "axe.min.js",
                TESTS / "axe.min.js",
                "188dc50c7c68617d089b37fcb2d6376ce35488958baa977cd7c35cc1391e592e",
            ),
            Taken(
                "LICENSE",
                TESTS / "axe.LICENSE.txt",
                "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
            ),
        ),
    ),
)


class UnexpectedError(Exception):
    """Something is not what it was when it was written down here."""


def main() -> int:
    """Write or check; 1 and the reasons when something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, use no network")
    check = parser.parse_args().check
    if not check:
        with tempfile.TemporaryDirectory() as folder:
            for package in PACKAGES:
                write(package, Path(folder))
    problems = differences()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def differences() -> list[str]:
    """What in the tree is not what this script wrote, in words."""
    found = []
    for package in PACKAGES:
        for taken in package.files:
            path = ROOT / taken.target
            if not path.is_file():
                found.append(f"{taken.target} is not there")
            elif sha256(path.read_bytes()) != taken.sha256:
                found.append(f"{taken.target} has the hash {sha256(path.read_bytes())}, not {taken.sha256}")
    return found


def write(package: Package, folder: Path) -> None:
    """Fetch a package and write its files.

    Raises:
        UnexpectedError: the archive has another hash, or a text that was to be changed is not in it.
    """
    wanted = f"{package.name}@{package.version}"
    done = subprocess.run(
        ["npm", "pack", "--silent", "--ignore-scripts", wanted],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    archive = folder / done.stdout.split()[-1]
    if sha256(archive.read_bytes()) != package.sha256:
        raise UnexpectedError(f"{wanted} has the hash {sha256(archive.read_bytes())}, not {package.sha256}")
    with tarfile.open(archive) as opened:
        for taken in package.files:
            member = opened.extractfile(f"package/{taken.source}")
            if member is None:
                raise UnexpectedError(f"{wanted} has no file {taken.source}")
            text = member.read().decode("utf-8")
            for before, after in taken.changes:
                if text.count(before) != 1:
                    raise UnexpectedError(f"{taken.source} of {wanted} holds {before!r} not exactly once")
                text = text.replace(before, after)
            (ROOT / taken.target).write_text(text.rstrip() + "\n" + taken.ending, encoding="utf-8")


def sha256(content: bytes) -> str:
    """The hash, as hex."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
