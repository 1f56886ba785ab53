"""What waits in a spool, for somebody who only wants to look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from everyspan.model.ids import WriterId


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One writer's directory, read without taking its lock: a moment's picture."""

    destination: str
    """The destination's id: the directory's name."""
    writer: WriterId
    alive: bool
    """Whether somebody holds its lock: its own process, or one that adopted it."""
    url: str
    """Where its frames go, as its HEADER says; empty when that can not be read."""
    spans: int
    """SPAN frames not yet acknowledged."""
    size_bytes: int
    """What its segments take on disk."""
    refused: int
    """Frames that the destination refused."""
    damaged: int
    """Damaged ranges in quarantine."""


def waiting(spool_dir: Path) -> list[Waiting]:
    """Every writer of every destination in `spool_dir`."""
    raise NotImplementedError
