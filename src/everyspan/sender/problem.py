"""What is wrong with a destination: remembered for the receipt, and said once in the log of the user's program."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from everyspan.model.destination import Destination

_SAY_AGAIN_AFTER_S = 600.0
"""A destination that comes and goes is not reported each time it does."""

_logger = logging.getLogger("everyspan")


class Failure(NamedTuple):
    """An attempt that failed: its number among those made, counted from 1, and a short name for the problem."""

    attempt: int
    kind: str


class Problems:
    """The problems of one destination. Written by the sending thread; `text` may be read from any thread."""

    def __init__(self, destination: Destination, *, clock: Callable[[], float]) -> None:
        self.url = shown_url(destination)
        self.text = ""
        self._clock = clock
        self._lasting = ""
        self._current: set[str] = set()
        self._said_at: dict[str, float] = {}
        self._said_now = False
        self._secrets = sorted(_secrets(destination), key=len, reverse=True)

    @property
    def failing(self) -> bool:
        """Whether the last attempt did not get through."""
        return bool(self._current)

    def delays(self, kind: str, words: str) -> None:
        """Spans have to wait because of `words`; says so when this kind of problem is new."""
        self.text = self._clean(words)
        if kind in self._current:
            return
        self._current.add(kind)
        if self._may_say(kind):
            self._said_now = True
            _logger.warning("everyspan: %s: %s; spans wait in the spool", self.url, self.text)

    def set_aside(self, spans: int, words: str) -> None:
        """The destination refused `spans` for good."""
        self.text = self._lasting = self._clean(words)
        if self._may_say("refused"):
            _logger.warning(
                "everyspan: %s refused %d span(s), which are kept aside in the spool: %s",
                self.url, spans, self.text,
            )  # fmt: skip

    def over(self) -> None:
        """The destination answered as it should: what remains to be said is what it refused."""
        self.text = self._lasting
        self._current.clear()
        if self._said_now:
            self._said_now = False
            _logger.info("everyspan: %s takes spans again", self.url)

    def _may_say(self, kind: str) -> bool:
        now = self._clock()
        if now - self._said_at.get(kind, -_SAY_AGAIN_AFTER_S) < _SAY_AGAIN_AFTER_S:
            return False
        self._said_at[kind] = now
        return True

    def _clean(self, words: str) -> str:
        # A server may echo the key it did not like; this text ends up in logs, receipts and the quarantine.
        for secret in self._secrets:
            words = words.replace(secret, "***")
        return words


def shown_url(destination: Destination) -> str:
    """The destination's URL without the user and password that it may hold."""
    parts = urlsplit(destination.url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _secrets(destination: Destination) -> set[str]:
    values = [value for _, value in destination.headers]
    values += [value.partition(" ")[2] for value in values]  # the token without its scheme
    values.append(urlsplit(destination.url).password or "")
    return {value for value in values if len(value) >= 8}
