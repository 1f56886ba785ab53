"""What of a spool has reached stable storage, and what is left of it when the power goes."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

PAGE_BYTES = 4096


class Platters:
    """Stands in for fdatasync and fsync: notes how much of which file, and which names, are safe from now on."""

    def __init__(self) -> None:
        self._synced_bytes: dict[int, int] = {}
        self._names: dict[Path, int] = {}
        self._real: dict[str, Callable[..., None]] = {}

    def install(self) -> None:
        """Take the place of both system calls."""
        for name in ("fdatasync", "fsync"):
            self._real[name] = getattr(os, name)
            setattr(os, name, self._sync)

    def remove(self) -> None:
        """Give both back."""
        for name, real in self._real.items():
            setattr(os, name, real)

    def sync_tree(self, directory: Path) -> None:
        """Everything in a directory, and its own name, is safe: another process synced it."""
        for path in (directory, *directory.rglob("*")):
            found = path.stat()
            self._names[path] = found.st_ino
            self._synced_bytes[found.st_ino] = found.st_size

    def cut_power(self, root: Path, rng: random.Random) -> None:
        """Drop a random part of what is not safe: names of files, and pages of 4 KiB, which come back as zeros."""
        for directory in [path for path in root.iterdir() if path.is_dir()]:
            if not self._has_name(directory) and rng.random() < 0.5:
                shutil.rmtree(directory)
                continue
            for path in [path for path in directory.rglob("*") if path.is_file()]:
                if not self._has_name(path) and rng.random() < 0.5:
                    path.unlink()
                else:
                    self._drop_pages(path, rng)

    def _has_name(self, path: Path) -> bool:
        return self._names.get(path) == path.stat().st_ino

    def _drop_pages(self, path: Path, rng: random.Random) -> None:
        found = path.stat()
        safe = min(self._synced_bytes.get(found.st_ino, 0), found.st_size)
        end = rng.choice([found.st_size, rng.randint(safe, found.st_size)])
        os.truncate(path, end)
        with path.open("r+b") as file:
            for page in range(safe // PAGE_BYTES, -(-end // PAGE_BYTES)):
                start, stop = max(safe, page * PAGE_BYTES), min(end, (page + 1) * PAGE_BYTES)
                if rng.random() < 0.5:
                    file.seek(start)
                    file.write(bytes(stop - start))

    def _sync(self, fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_dir():
            self._names |= {entry: entry.stat().st_ino for entry in path.iterdir()}
        else:
            found = os.fstat(fd)
            self._synced_bytes[found.st_ino] = found.st_size
