"""The collector as one piece: door, inbox and mover, opened and closed in the right order."""

from __future__ import annotations

from pathlib import Path

from everyspan.collector.attempts import Attempts
from everyspan.collector.inbox import Inbox
from everyspan.collector.intake import Intake, Taken
from everyspan.collector.keys import Keys
from everyspan.collector.limits import Limits
from everyspan.collector.mover import Moved, Mover
from everyspan.collector.otlp_http import Door
from everyspan.store.store import Store


class Collector:
    """Takes spans and moves them into a store. One per directory; opening it starts its two threads."""

    def __init__(self, directory: Path, store: Store, keys: Keys, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.keys = keys
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._inbox = Inbox(directory, cap_bytes=limits.inbox_bytes, arrived=self._arrived)
        self._mover = Mover(self._inbox, store, Attempts(directory / "attempts"), limits)
        self.intake = Intake(self._inbox, limits)
        """What other doors hand their bodies to."""
        self.door = Door(self.intake, keys)
        """The ASGI application for the OTLP paths."""
        self._mover.start()

    @property
    def moved(self) -> Moved:
        """What the mover did so far."""
        return self._mover.moved

    @property
    def taken(self) -> Taken:
        """What came through the doors so far."""
        return self.intake.taken

    @property
    def pending(self) -> int:
        """Requests that were acknowledged and are not yet in the store."""
        return self._mover.pending

    def refusal(self) -> str:
        """Why a request would be refused now, empty when it would be kept. May wait for the disk."""
        return self._inbox.refusal()

    @property
    def quarantined(self) -> int:
        """Requests that were set aside."""
        return self._mover.quarantined

    @property
    def syncs(self) -> tuple[int, float]:
        """How often the inbox was synced, and the seconds that took."""
        return self._inbox.syncs, self._inbox.sync_s

    def close(self) -> None:
        """Stop moving, then stop keeping. What is not yet in the store is moved by the next start."""
        self._mover.stop()
        self._inbox.close()

    def _arrived(self) -> None:
        self._mover.wake()
