"""How often a body was tried, remembered across crashes: one that kills us must not do so for ever."""

from __future__ import annotations

import json
from pathlib import Path

from everyspan.model.ids import WriterId
from everyspan.spool.backlog import Batch


class Attempts:
    """Notes in a small file which batch is being moved, before it is touched.

    The file is not synced: it has to survive the death of the process, not of the machine. A note that is lost or
    torn costs one more attempt.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = ""
        self._tries = 0
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

    def begin(self, writer: WriterId, batch: Batch) -> None:
        """Note one more attempt, on disk before the batch is decoded."""
        self._tries = self.tries(writer, batch) + 1
        self._place = _place(writer, batch)
        self._write(self._tries, max(self.careful, batch.frames))

    def failed(self, batch: Batch) -> None:
        """It raised: look for the guilty frame one by one."""
        self.careful = max(self.careful, batch.frames)

    def done(self, batch: Batch) -> None:
        """It is stored, or was set aside."""
        self._place, self._tries = "", 0
        self.careful = max(0, self.careful - batch.frames)

    def excused(self) -> None:
        """It was not the batch's fault: the store was unavailable."""
        self._place, self._tries = "", 0
        self._write(0, self.careful)

    def _write(self, tries: int, careful: int) -> None:
        self._path.write_text(json.dumps([self._place, tries, careful]))


def _place(writer: WriterId, batch: Batch) -> str:
    # Where it ends: where a batch begins is told differently before and after a restart.
    return f"{writer}/{batch.last.segment}/{batch.last.offset}"
