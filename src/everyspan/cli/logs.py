"""What the collector logs: one line for each event, whatever text of others is in it."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum

from everyspan.clock import monotonic_s

_MOST_KINDS = 1000


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


class OneLine(logging.Formatter):
    """Time, level, logger and message; a traceback behind it, on the same line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. Control characters are spelled out: a name that somebody sends can not begin a line of its own."""
        return "".join(_spelled_out(char) for char in f"{_time(record)} {record.levelname} {_said(record)}")


class AsJson(logging.Formatter):
    """One JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; JSON spells out control characters by itself."""
        said = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said)


class Seldom(logging.Filter):
    """Lets a kind of line through some times in ten seconds: nobody may fill a disk by what he sends.

    The first line after that says how many were left out.
    """

    def __init__(
        self, *, most: int = 20, within_s: float = 10.0, now_s: Callable[[], float] = monotonic_s
    ) -> None:
        super().__init__()
        self._most = most
        self._within_s = within_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}
        """When ten seconds began for a kind of line, and how many there were since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        kind, now_s = (record.name, str(record.msg)), self._now_s()
        with self._lock:
            began_s, lines = self._seen.get(kind, (now_s, 0))
            if now_s - began_s < self._within_s:
                self._seen[kind] = began_s, lines + 1
                return lines < self._most
            if len(self._seen) > _MOST_KINDS:
                self._seen.clear()
            self._seen[kind] = now_s, 1
        if lines > self._most:
            record.msg = f"{record.msg} ({lines - self._most} more like it were left out)"
        return True


def log_to_stderr(how: LogFormat) -> None:
    """Send what the collector logs, from `INFO` on, and warnings of libraries to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Seldom())
    handler.setFormatter(AsJson() if how is LogFormat.JSON else OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("everyspan").setLevel(logging.INFO)


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(record: logging.LogRecord) -> str:
    text = f"{record.name}: {record.getMessage()}"
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return text


def _spelled_out(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
