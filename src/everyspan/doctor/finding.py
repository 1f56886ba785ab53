"""What an examination finds: one sentence about how it is, and one about what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Good to know; nothing to do."""
    WARNING = "warning"
    """Nothing is lost by it now; it can be, or something waits."""
    PROBLEM = "problem"
    """Spans are lost, come double, or do not arrive until somebody changes something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        code: a name for this sort of finding that stays the same between versions, such as `destination.refused`; the
            part before the dot is the topic.
        says: how it is, in a sentence.
        do: what to do about it; empty when nothing is to be done.
    """

    level: Level
    code: str
    says: str
    do: str = ""

    @property
    def topic(self) -> str:
        """What it is about: the first part of the code."""
        return self.code.partition(".")[0]

    def as_json(self) -> dict[str, str]:
        """Plain values, in the order in which they are read."""
        return {**asdict(self), "level": self.level.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Finding:
        """The finding that `as_json` made these values of."""
        return cls(level=Level(value["level"]), code=value["code"], says=value["says"], do=value["do"])


def ok(code: str, says: str) -> Finding:
    """Something that is as it should be."""
    return Finding(level=Level.OK, code=code, says=says)


def note(code: str, says: str, do: str = "") -> Finding:
    """Something good to know."""
    return Finding(level=Level.NOTE, code=code, says=says, do=do)


def warning(code: str, says: str, do: str) -> Finding:
    """Something that can cost spans, or makes them wait."""
    return Finding(level=Level.WARNING, code=code, says=says, do=do)


def problem(code: str, says: str, do: str) -> Finding:
    """Something by which spans are lost, come double or do not arrive."""
    return Finding(level=Level.PROBLEM, code=code, says=says, do=do)


def many(count: int, thing: str) -> str:
    """`1 span`, `1,234 spans`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
