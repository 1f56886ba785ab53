"""Bytes that nobody will send again, kept for somebody to look at: frames refused, and damage."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from everyspan.clock import now_ns
from everyspan.errors import SpoolError
from everyspan.model.ids import Seq, WriterId
from everyspan.spool.backlog import Batch
from everyspan.spool.durable import reach_disk
from everyspan.wire.frame import walk

REFUSED = "refused"
QUARANTINE = "quarantine"

_FRAME = re.compile(r"[0-9]+-[0-9]+-([0-9a-f]{16})\.frame")


def keep_refused(
    directory: Path, writer: WriterId, batch: Batch, *, reason: str, durable: bool = False
) -> Seq:
    """Keep the one frame of `batch` and, beside it, why the destination would not take it; returns its number.

    Args:
        durable: return after both are on stable storage. The frame was there before, and its segment goes.

    Raises:
        SpoolError: there is more than one frame, or it could not be written; it is to be offered again.
    """
    if batch.frames != 1:
        raise SpoolError(f"only a single frame can be set aside, and the batch has {batch.frames}")
    (frame,) = walk(batch.body)
    name = f"{batch.last.segment:08d}-{batch.last.offset:012d}-{frame.seq:016x}"
    about = {
        "writer": writer,
        "seq": frame.seq,
        "kind": frame.kind,
        "reason": reason,
        "set_aside_ns": now_ns(),
    }
    try:
        _keep(directory / REFUSED, f"{name}.json", json.dumps(about, indent=2).encode())
        _keep(directory / REFUSED, f"{name}.frame", batch.body)
        if durable:
            aside = directory / REFUSED
            reach_disk([aside / f"{name}.json", aside / f"{name}.frame"], [aside, directory])
    except OSError as error:
        raise SpoolError(f"a refused frame could not be set aside in {directory}: {error}") from error
    return frame.seq


def keep_damaged(directory: Path, segment: Path, start: int, damaged: bytes) -> None:
    """Keep a range of a segment that is no frame, named by where it was.

    Raises:
        OSError: it is not kept.
    """
    _keep(directory / QUARANTINE, f"{segment.stem}-{start:012d}.bytes", damaged)


def refused_in(directory: Path) -> int:
    """Frames set aside in a writer's directory."""
    return sum(name.endswith(".frame") for name in _names(directory / REFUSED))


def refused_numbers(directory: Path) -> list[int]:
    """The numbers of the frames set aside in a writer's directory, by the names of their files."""
    found = (_FRAME.fullmatch(name) for name in _names(directory / REFUSED))
    return [int(name[1], 16) for name in found if name]


def damaged_in(directory: Path) -> int:
    """Damaged ranges kept in a writer's directory."""
    return sum(name.endswith(".bytes") for name in _names(directory / QUARANTINE))


def tidy(directory: Path) -> bool:
    """Remove the quarantine directories that are empty; whether none is left."""
    for name in (REFUSED, QUARANTINE):
        if not _names(directory / name) and (directory / name).is_dir():
            (directory / name).rmdir()
    return not any((directory / name).exists() for name in (REFUSED, QUARANTINE))


def _keep(directory: Path, name: str, content: bytes) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    # Written aside and renamed: after a crash the name stands for all of it, and doing it again changes nothing.
    building = directory / f".{name}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(building, flags, 0o600), "wb") as file:
        file.write(content)
    os.replace(building, directory / name)


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
