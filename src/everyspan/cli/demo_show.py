"""What the demo prints: progress while it works, then the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Self

import click

from everyspan.cli.demo_check import Finding
from everyspan.cli.demo_lanes import Ended
from everyspan.cli.demo_plan import EXITS, ROWS, Side
from everyspan.cli.terminal import table

_HEAD = ("ROW", "EXIT", "CALLS", "SPANS", "RIGHT PARENT", "EXACTLY ONE", "COST", "OF", "AUDIT", "")
_NUMBERS = frozenset({"CALLS", "SPANS", "RIGHT PARENT", "EXACTLY ONE", "COST", "OF"})
_LEAVING = {"return": "return", "_exit": "os._exit", "sigkill": "SIGKILL"}


class Progress:
    """A bar on a terminal that rich can draw on, a line for every tenth of the way elsewhere."""

    def __init__(self, words: str, total: int) -> None:
        self._words = words
        self._total = total
        self._done = 0
        self._bar: Any = _rich_bar() if sys.stdout.isatty() else None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._bar is None:
            click.echo(f"{self._words} ({self._total} runs)")
        else:
            self._bar.start()
            self._task = self._bar.add_task(self._words, total=self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, ended: Ended) -> None:
        """One run has ended."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1)
        elif (
            self._done == self._total or self._done * 10 // self._total > (self._done - 1) * 10 // self._total
        ):
            click.echo(f"  {self._done} of {self._total}, last {ended.scenario.name}: {ended.took_s:.1f} s")


def show(findings: Sequence[Finding], side: Side) -> None:
    """Print the table of one side, in the report's order."""
    order = {name: place for place, name in enumerate((*ROWS, *EXITS))}
    by_row = sorted(
        findings,
        key=lambda one: (one.scenario.calls, order[one.scenario.row], order[one.scenario.how]),
    )
    head = _HEAD if side is Side.WITH else tuple(name for name in _HEAD if name != "AUDIT")
    rows = [_cells(one, side) for one in by_row]
    table(head, [*rows, _sum(findings, side)], right=_NUMBERS)


def _cells(one: Finding, side: Side) -> tuple[str, ...]:
    wanted = f"/{one.calls}"
    mark = "ok" if one.whole else "LOST" if one.stored < one.calls else "WRONG"
    if not one.left_as_told:
        mark = f"ENDED {one.ended.exit_code}"
    return (
        one.scenario.row,
        _LEAVING[one.scenario.how],
        f"{one.calls}",
        f"{one.stored}{wanted}",
        f"{one.below_parent}{wanted}",
        f"{one.once}{wanted}",
        dollars(one.cost),
        dollars(one.owed),
        *((one.verdict,) if side is Side.WITH else ()),
        mark,
    )


def _sum(findings: Sequence[Finding], side: Side) -> tuple[str, ...]:
    calls = sum(one.calls for one in findings)
    return (
        "all",
        "",
        f"{calls}",
        f"{sum(one.stored for one in findings)}/{calls}",
        f"{sum(one.below_parent for one in findings)}/{calls}",
        f"{sum(one.once for one in findings)}/{calls}",
        dollars(sum((one.cost for one in findings), Decimal(0))),
        dollars(sum((one.owed for one in findings), Decimal(0))),
        *(("",) if side is Side.WITH else ()),
        f"{sum(one.whole for one in findings)} of {len(findings)} rows whole",
    )


def dollars(amount: Decimal) -> str:
    """Without zeros at the end; exact, but for the tail of a sum that somebody made of floats."""
    text = format(round(amount, 12), "f")
    return "$" + (text.rstrip("0").rstrip(".") if "." in text else text)


def _rich_bar() -> Any:
    try:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
    except ImportError:
        # An installation without the extra `all`: plain lines say the same.
        return None
    return Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
