"""How often a body was tried, remembered across crashes: one that kills us must not do so for ever.

That the server died while it had a body in hand does not say that the body did it: somebody who kills the server again
and again meets the same body, the oldest one, each time. So a few deaths make a body suspect, and what is seen of it
decides: an error that it raises, or the end of another process that does nothing but read it. Only many deaths in a
row, more than anybody else is likely to cause, decide without that.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from everyspan.model.ids import WriterId
from everyspan.spool.backlog import Batch
from everyspan.wire.frame import HEADER_BYTES

MOST_FAILURES = 3
"""Errors that a body may raise before it is set aside."""

_MOST_NOTES = 100
_SUSPECT_AFTER = 3
_MOST_DEATHS = 30
"""Eight in a row were seen of a body that did nothing, where each server lived for less than a busy second."""


class Attempts:
    """Notes in a small file which batch is being moved, before it is touched.

    The file is not synced: it has to survive the death of the process, not of the machine. A note that is lost or
    torn costs one more attempt. One body alone is known by its content, wherever in the inbox it stands.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tries: dict[str, int] = {}
        self._failures: dict[str, int] = {}
        self._named: tuple[Batch | None, str] = None, ""
        self._careful = 0
        try:
            tries, careful = json.loads(path.read_text())
            self._tries = {str(name): int(count) for name, count in tries.items()}
            self._careful = int(careful)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError):
            self._tries, self._careful = {}, 0

    @property
    def careful(self) -> int:
        """Whether frames are to be moved one by one: how many, because a batch with one of them failed."""
        return max(self._careful, self.suspects)

    @property
    def suspects(self) -> int:
        """How many bodies are suspect."""
        return sum(tries >= _SUSPECT_AFTER for tries in self._tries.values())

    def tries(self, writer: WriterId, batch: Batch) -> int:
        """How often this batch was begun and not finished."""
        return self._tries.get(self._name(writer, batch), 0)

    def suspect(self, writer: WriterId, batch: Batch) -> bool:
        """Whether it is one body that others should read first: the server died several times with it in hand."""
        return batch.frames == 1 and self.tries(writer, batch) >= _SUSPECT_AFTER

    def guilty(self, writer: WriterId, batch: Batch) -> bool:
        """Whether it is one body that has failed often enough."""
        tries, failures = self.tries(writer, batch), self._failures.get(self._name(writer, batch), 0)
        return batch.frames == 1 and (tries >= _MOST_DEATHS or (tries > 0 and failures >= MOST_FAILURES))

    def begin(self, writer: WriterId, batch: Batch) -> None:
        """Note one more attempt, on disk before the batch is decoded."""
        name = self._name(writer, batch)
        # What was begun last stands last, so the oldest note goes first when there are too many.
        self._tries[name] = self._tries.pop(name, 0) + 1
        while len(self._tries) > _MOST_NOTES:
            self._drop(next(iter(self._tries)))
        self._careful = max(self._careful, batch.frames)
        self._write()

    def failed(self, writer: WriterId, batch: Batch) -> None:
        """It raised: look for the guilty frame one by one."""
        name = self._name(writer, batch)
        self._failures[name] = self._failures.get(name, 0) + 1
        self._careful = max(self._careful, batch.frames)

    def done(self, writer: WriterId, batch: Batch) -> None:
        """It is stored, or was set aside."""
        was_suspect = self.suspect(writer, batch)
        self._drop(self._name(writer, batch))
        self._careful = max(0, self._careful - batch.frames)
        if was_suspect:
            self._write()  # as long as there are suspects, the others go one by one

    def excused(self, writer: WriterId, batch: Batch) -> None:
        """It was not the batch's fault: the store was unavailable."""
        self._drop(self._name(writer, batch))
        self._write()

    def nothing_left(self) -> None:
        """All is moved: what is noted is about nothing."""
        if self._tries or self._careful:
            self._tries, self._failures, self._careful = {}, {}, 0
            self._write()

    def _drop(self, name: str) -> None:
        self._tries.pop(name, None)
        self._failures.pop(name, None)

    def _write(self) -> None:
        self._path.write_text(json.dumps([self._tries, self._careful]))

    def _name(self, writer: WriterId, batch: Batch) -> str:
        if self._named[0] is not batch:
            self._named = batch, _name(writer, batch)
        return self._named[1]


def _name(writer: WriterId, batch: Batch) -> str:
    if batch.frames == 1:
        return hashlib.blake2b(memoryview(batch.body)[HEADER_BYTES:], digest_size=16).hexdigest()
    # Where it ends: where a batch begins is told differently before and after a restart.
    return f"{writer}/{batch.last.segment}/{batch.last.offset}"
