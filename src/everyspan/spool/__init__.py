"""A crash-safe log of frames on disk: `Log` writes, a `Backlog` reads, `adopt` takes over from the dead."""

from __future__ import annotations

from everyspan.spool.adopted import adopt
from everyspan.spool.aside import Aside
from everyspan.spool.backlog import Backlog, Batch, Position
from everyspan.spool.log import Kept, Log
from everyspan.spool.survey import Waiting, waiting
from everyspan.spool.tally import Counts

__all__ = ["Aside", "Backlog", "Batch", "Counts", "Kept", "Log", "Position", "Waiting", "adopt", "waiting"]
