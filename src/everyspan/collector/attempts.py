"""How often a body was tried, remembered across crashes: one that kills us must not do so for ever.

That the server died while it had a body in hand does not say that the body did it: somebody who kills the server again
and again meets the same body, the oldest one, each time. So a few deaths make a body suspect, and what is seen of it
decides: an error that it raises, or the end of another process that does nothing but read it. Only many deaths in a
row, more than anybody else is likely to cause, decide without that.
"""

from __future__ import annotations

import json
from pathlib import Path

from everyspan.model.ids import WriterId
from everyspan.spool.backlog import Batch

MOST_FAILURES = 3
"""Errors that a body may raise before it is set aside."""

_SUSPECT_AFTER = 3
_MOST_DEATHS = 30
"""Eight in a row were seen of a body that did nothing, where each server lived for less than a busy second."""


class Attempts:
    """Notes in a small file which batch is being moved, before it is touched.

    The file is not synced: it has to survive the death of the process, not of the machine. A note that is lost or
    torn costs one more attempt.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = ""
        self._tries = 0
        self._failures = 0
        self.careful = 0
        """Frames still to be moved one by one, because a batch with one of them failed."""
        try:
            said = json.loads(path.read_text())
            self._place, self._tries, self.careful = str(said[0]), int(said[1]), int(said[2])
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, LookupError):
            self._place, self._tries, self.careful = "", 0, 0

    def tries(self, writer: WriterId, batch: Batch) -> int:
        """How often this batch was begun and not finished."""
        return self._tries if self._place == _place(writer, batch) else 0

    def suspect(self, writer: WriterId, batch: Batch) -> bool:
        """Whether it is one body that others should read first: the server died several times with it in hand."""
        return batch.frames == 1 and self.tries(writer, batch) >= _SUSPECT_AFTER

    def guilty(self, writer: WriterId, batch: Batch) -> bool:
        """Whether it is one body that has failed often enough."""
        tries = self.tries(writer, batch)
        return batch.frames == 1 and (
            tries >= _MOST_DEATHS or (tries > 0 and self._failures >= MOST_FAILURES)
        )

    def begin(self, writer: WriterId, batch: Batch) -> None:
        """Note one more attempt, on disk before the batch is decoded."""
        self._tries = self.tries(writer, batch) + 1
        if self._tries == 1:
            self._failures = 0
        self._place = _place(writer, batch)
        self._write(self._tries, max(self.careful, batch.frames))

    def failed(self, batch: Batch) -> None:
        """It raised: look for the guilty frame one by one."""
        self._failures += 1
        self.careful = max(self.careful, batch.frames)

    def done(self, batch: Batch) -> None:
        """It is stored, or was set aside."""
        self._place, self._tries, self._failures = "", 0, 0
        self.careful = max(0, self.careful - batch.frames)

    def excused(self) -> None:
        """It was not the batch's fault: the store was unavailable."""
        self._place, self._tries, self._failures = "", 0, 0
        self._write(0, self.careful)

    def _write(self, tries: int, careful: int) -> None:
        self._path.write_text(json.dumps([self._place, tries, careful]))


def _place(writer: WriterId, batch: Batch) -> str:
    # Where it ends: where a batch begins is told differently before and after a restart.
    return f"{writer}/{batch.last.segment}/{batch.last.offset}"
