"""What the collector logs: one line for each event, whatever text of others is in it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum


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


def log_to_stderr(how: LogFormat) -> None:
    """Send what the collector logs, from `INFO` on, and warnings of libraries to stderr."""
    handler = logging.StreamHandler(sys.stderr)
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
