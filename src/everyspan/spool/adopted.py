"""The backlog of a dead writer: what it left behind, and the calls that it did not live to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from everyspan.model.ids import WriterId
from everyspan.spool.backlog import Backlog


def adopt(root: Path, *, living: WriterId | None) -> Iterator[Backlog]:
    """The backlog of every dead writer under `root`, each now locked by us."""
    raise NotImplementedError
