"""`everyspan tail`: traces as they arrive."""

from __future__ import annotations

import sys
import time

import click

from everyspan.cli.ask import Answer, Collector, Parameter
from everyspan.cli.questions import asking, narrowing_traces, print_json
from everyspan.cli.terminal import at, lasting, money, one_line
from everyspan.errors import AnswerError

_PAGE = 100
_AGAIN_S = 2.0


@click.command()
@click.option("--count", type=click.IntRange(1), help="End after so many lines.")
@narrowing_traces
@asking
def tail(*, count: int | None, wanted: dict[str, Parameter], collector: Collector, as_json: bool) -> None:
    """Follow traces as they arrive, until Ctrl-C. A trace that gets more calls or errors is printed again, with a `~`.

    Begins with what arrives from now on; --since 1h begins earlier. A collector that goes away is waited for.
    """
    followed = _Followed(collector, wanted, as_json=as_json, count=count)
    while True:
        reached = False
        try:
            for _ in collector.follow():
                reached = True
                if followed.look():
                    return
        except AnswerError as lost:
            # One that never answered is a mistake in the address; one that went away will be back.
            if not followed.looked:
                raise
            reached = lost.reached
        if not reached:
            time.sleep(_AGAIN_S)


class _Followed:
    """What was printed so far."""

    def __init__(
        self, collector: Collector, wanted: dict[str, Parameter], *, as_json: bool, count: int | None
    ) -> None:
        self.looked = False
        self._collector = collector
        self._wanted = wanted
        self._as_json = as_json
        self._left = count
        self._known: dict[tuple[str, str], tuple[int, int]] = {}

    def look(self) -> bool:
        """Print what is new, oldest first; True when enough was printed."""
        found = self._collector.ask("traces", limit=_PAGE, **self._wanted)["traces"]
        quiet = not self.looked and self._wanted.get("since_ns") is None
        self.looked = True
        for trace in reversed(found):
            key, state = (trace["project"], trace["trace_id"]), (trace["calls"], trace["errors"])
            before = self._known.get(key)
            self._known[key] = state
            if quiet or before == state:
                continue
            self._print(trace, grown=before is not None)
            if self._left is not None:
                self._left -= 1
                if not self._left:
                    return True
        return False

    def _print(self, trace: Answer, *, grown: bool) -> None:
        if self._as_json:
            print_json(trace, indent=None)
        else:
            click.echo(_line(trace, grown=grown))
        sys.stdout.flush()  # into a pipe, too: what is followed is read now


def _line(trace: Answer, *, grown: bool) -> str:
    errors = int(trace["errors"])
    words = [
        "~" if grown else "+",
        at(int(trace["started_ns"])),
        one_line(trace["trace_id"]),
        one_line(trace["name"], width=32).ljust(32),
        lasting(int(trace["ended_ns"]) - int(trace["started_ns"])).rjust(8),
        f"{trace['calls']:,} calls".rjust(9),
        money(trace["cost"], states=trace["states"]),
        f"{errors:,} error{'' if errors == 1 else 's'}" if errors else "",
    ]
    return "  ".join(words).rstrip()
