"""Deletes what a project keeps no longer, once a day, beside whoever writes and reads."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence

from everyspan.clock import NowNs, now_ns
from everyspan.errors import EveryspanError, SettingsError
from everyspan.store.store import Store
from everyspan.store.upkeep import Deleted, Deletion

_LOGGER = logging.getLogger(__name__)

EVERY_PROJECT = "*"
"""Stands for the projects that are not named."""

_DAY_S = 86_400
_EACH_S = float(_DAY_S)


def days_by_project(said: Sequence[str]) -> dict[str, int]:
    """What `PROJECT=DAYS` means, for each of them; `30d` alone is for every project.

    Raises:
        SettingsError: one is not written so.
    """
    found: dict[str, int] = {}
    for each in said:
        project, separator, days = each.strip().rpartition("=")
        match = re.fullmatch(r"([1-9]\d{0,4})d?", days)
        if not match or (separator and not project):
            raise SettingsError(
                f"{each[:80]!r} does not say how long to keep; write PROJECT=30d, or 30d for every project"
            )
        if found.setdefault(project or EVERY_PROJECT, int(match[1])) != int(match[1]):
            raise SettingsError(f"project {project or EVERY_PROJECT!r} is given two times to keep its traces")
    return found


class Retention:
    """Traces go when they ended longer ago than their project keeps them."""

    def __init__(self, store: Store, days: Mapping[str, int], *, now: NowNs = now_ns) -> None:
        self._store = store
        self._days = days
        self._now = now
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.deleted = Deleted()
        """Since the start."""
        self.failures = 0

    def start(self) -> None:
        """Run now and then once a day, in a thread; nothing is started when everything is kept."""
        if self._days:
            self._thread = threading.Thread(target=self._run, name="everyspan-retention", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Come to an end after the project at hand."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def run_once(self) -> None:
        """Delete what is too old now. What fails is counted, logged, and tried again the next time."""
        at_ns = self._now()
        try:
            projects = self._store.projects()
        except EveryspanError as failure:
            self._failed(failure)
            return
        for project in projects:
            days = self._days.get(project, self._days.get(EVERY_PROJECT))
            if days is None or self._stopping.is_set():
                continue
            before_ns = max(0, at_ns - days * _DAY_S * 10**9)
            try:
                done = self._store.delete(Deletion(project=project, before_ns=before_ns))
            except EveryspanError as failure:
                self._failed(failure)
                continue
            self.deleted = Deleted(
                traces=self.deleted.traces + done.traces, spans=self.deleted.spans + done.spans
            )
            if done.traces:
                _LOGGER.info(
                    "deleted %d traces of project %r that are older than %d days", done.traces, project, days
                )

    def _run(self) -> None:
        while True:
            self.run_once()
            if self._stopping.wait(_EACH_S):
                return

    def _failed(self, failure: EveryspanError) -> None:
        self.failures += 1
        _LOGGER.warning("what is too old could not be deleted: %s", failure)
