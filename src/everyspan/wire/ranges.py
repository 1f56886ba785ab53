"""Numbers of frames as one line of text, `5,9-11`: how a request's header tells which ones are set aside."""

from __future__ import annotations

import re
from collections.abc import Iterable

from everyspan.errors import WireError

MOST_RANGES = 50
"""In one header: 2 KB with the longest numbers, 800 bytes with those of the ten-millionth span. Servers take 8 KB."""

_RANGE = r"[0-9]{1,19}(?:-[0-9]{1,19})?"
_RANGES = re.compile(rf"{_RANGE}(?:,{_RANGE}){{0,{MOST_RANGES - 1}}}")


def write_ranges(ranges: Iterable[tuple[int, int]]) -> str:
    """The text of ascending ranges, both ends included; empty for none."""
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)


def read_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """What `write_ranges` wrote.

    Raises:
        WireError: it is something else: no numbers from 1 on, not ascending, or too many ranges.
    """
    if not _RANGES.fullmatch(text):
        raise WireError(f"{text[:50]!r} is not 1 to {MOST_RANGES} ranges of numbers")
    ranges = []
    least = 1
    for each in text.split(","):
        first, _, last = each.partition("-")
        range_ = int(first), int(last or first)
        if not least <= range_[0] <= range_[1]:
            raise WireError(f"{each} does not come after what stands before it")
        least = range_[1] + 1
        ranges.append(range_)
    return tuple(ranges)
