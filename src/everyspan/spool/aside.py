"""Which numbers of a writer are set aside: what its destination is told of frames that it will never see."""

from __future__ import annotations

from collections.abc import Iterable

from everyspan.wire.ranges import MOST_RANGES, write_ranges


class Aside:
    """The numbers of one writer's frames in quarantine, in no more ranges than a header holds. For one thread.

    Beyond that the lowest fall out. They have been told by then, with every request that got through since they came,
    and the collector forgets none. Only of more ranges than that between two requests the audit names some as missing.
    """

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._ranges: list[tuple[int, int]] = []
        self.text = ""
        """As the header tells them; empty for none."""
        self._take_in((number, number) for number in numbers if number > 0)

    @property
    def highest(self) -> int:
        """The highest of them, 0 for none."""
        return self._ranges[-1][1] if self._ranges else 0

    def add(self, number: int) -> None:
        """One more. Frames without a number of their own have 0, and nobody misses it."""
        if number > 0:
            self._take_in([(number, number)])

    def _take_in(self, ranges: Iterable[tuple[int, int]]) -> None:
        merged: list[tuple[int, int]] = []
        for first, last in sorted([*self._ranges, *ranges]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        self._ranges = merged[-MOST_RANGES:]
        self.text = write_ranges(self._ranges)
