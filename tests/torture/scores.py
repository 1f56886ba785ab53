"""What a torture scenario came to: the one table that `make test` and `make torture` print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

_HEADS = ("scenario", "ok", "lost", "recovered", "duplicated", "misparented", "cost difference", "figures")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One row. Every count is of calls, each counted once, but `duplicated`."""

    scenario: str
    ok: int
    """Calls that are one span with what was recorded in it."""
    lost: int = 0
    """Calls that were acknowledged to the caller and are neither a span nor explained."""
    recovered: int = 0
    """Calls among the rest whose process died first: spans *interrupted*."""
    duplicated: int = 0
    """Copies that reached the receiver, and that their stamps gave away."""
    misparented: int | None = None
    """Spans with another parent than the one they began under; None where all are roots."""
    cost_difference: Decimal | None = None
    """Stored less owed, in US dollars; None where nothing has a price."""
    figures: str = ""
    """How much was done to it, in words."""

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as it is printed."""
        return (
            self.scenario,
            *(str(count) for count in (self.ok, self.lost, self.recovered, self.duplicated)),
            "-" if self.misparented is None else str(self.misparented),
            "-" if self.cost_difference is None else f"{self.cost_difference.normalize():f}",
            self.figures,
        )


def table(scores: Sequence[Score]) -> list[str]:
    """The lines of the table."""
    rows = [_HEADS, *(score.cells for score in scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    numbers = range(1, len(_HEADS) - 1)
    return [
        "  ".join(
            cell.rjust(widths[at]) if at in numbers else cell.ljust(widths[at]) for at, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]
