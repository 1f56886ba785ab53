"""How far a long command is: a bar on a terminal, after a second; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import click

from everyspan.clock import monotonic_s
from everyspan.model.receipt import Receipt

if TYPE_CHECKING:
    import rich.progress

_APPEARS_AFTER_S = 1.0


class Progress:
    """Shows receipts as a bar on stderr. Use it as a context manager; one thread at a time.

    Args:
        count: how many spans there are to deliver; asked once, before the first is.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._is_shown = sys.stderr.isatty()
        self._total = count() if self._is_shown else 0
        self._since_s = monotonic_s()
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, receipt: Receipt) -> None:
        """Move the bar, or make it appear when it has taken long enough."""
        if self._is_shown and self._bar is None and monotonic_s() - self._since_s >= _APPEARS_AFTER_S:
            self._bar = new_bar(self._total, doing="delivering")
            self._is_shown = self._bar is not None
        if self._bar is not None:
            settled = receipt.delivered + receipt.set_aside + receipt.dropped
            # What a process leaves that dies meanwhile comes on top.
            self._bar.update(
                self._bar.task_ids[0], completed=settled, total=max(self._total, receipt.recorded)
            )

    def say(self, line: str) -> None:
        """Print a line on stderr, above the bar when there is one."""
        if self._bar is None:
            click.echo(line, err=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


def new_bar(total: int, *, doing: str) -> rich.progress.Progress | None:
    """A bar on stderr that counts spans; None where rich is not installed."""
    try:
        from rich import progress
        from rich.console import Console
    except ModuleNotFoundError:
        return None  # `everyspan[server]` comes without rich: the receipt at the end has the numbers
    bar = progress.Progress(
        progress.TextColumn(doing),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} spans"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("", total=total)
    bar.start()
    return bar
