"""Delivering what dead processes left behind, for `everyspan drain`: no thread, no living log."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from everyspan.errors import SettingsError
from everyspan.model.destination import Destination
from everyspan.model.receipt import Receipt
from everyspan.sender.attend import attend, suppress_instrumentation
from everyspan.sender.http import Poster
from everyspan.sender.lane import Lane, Timing
from everyspan.sender.owed import Owed
from everyspan.sender.problem import Problems


def drain(
    spool_dir: Path,
    destinations: Sequence[Destination],
    *,
    timeout_s: float,
    everything: bool = False,
    allow_key_in_clear: bool = False,
    on_progress: Callable[[Receipt], None] | None = None,
    timing: Timing | None = None,
) -> Receipt:
    """Adopt and ship dead writers' directories; returns when nothing is left, or after about `timeout_s`.

    The receipt counts the spans that were adopted: those of a process that lives are its own business. An
    unreachable destination is tried again until the time is over; `problem` says why, also on the way.

    Args:
        everything: ship every directory in `spool_dir`, whatever destination it was made for, to the one given.
        allow_key_in_clear: let a key travel over plain http to another machine.
        on_progress: called with the receipt so far whenever it has changed.

    Raises:
        SettingsError: `everything` without exactly one destination.
    """
    timing = timing or Timing(linger_s=0.0)
    if everything and len(destinations) != 1:
        raise SettingsError(
            f"draining everything takes one destination to send it to; {len(destinations)} were given"
        )
    lanes = [
        _lane(
            destination,
            _all_roots(spool_dir) if everything else [spool_dir / destination.id],
            timing,
            allow_key_in_clear,
        )
        for destination in destinations
    ]
    # In a context of its own, so that suppressing instrumentation ends with it.
    return contextvars.copy_context().run(_ship, lanes, timing, timing.clock() + timeout_s, on_progress)


def _ship(
    lanes: list[Lane], timing: Timing, deadline: float, on_progress: Callable[[Receipt], None] | None
) -> Receipt:
    suppress_instrumentation()
    told = Receipt()
    try:
        while True:
            for lane in lanes:
                lane.begin()
                if lane.idle:  # all that it had is settled: look for more, and end when there is none
                    lane.adopt()
                    lane.begin()
            now = Receipt.sum(lane.inherited() for lane in lanes)
            if on_progress is not None and now != told:
                on_progress(now)
            told = now
            left_s = deadline - timing.clock()
            if left_s <= 0 or all(lane.idle for lane in lanes):
                return now
            attend(lanes, bell=None, longest_s=left_s)
    finally:
        for lane in lanes:
            lane.stop()


def _lane(destination: Destination, roots: list[Path], timing: Timing, allow_key_in_clear: bool) -> Lane:
    return Lane(
        log=None,
        owed=Owed(None, roots=roots),
        poster=Poster(destination, allow_key_in_clear=allow_key_in_clear),
        problems=Problems(destination, clock=timing.clock),
        timing=timing,
        errors=Counter(),
    )


def _all_roots(spool_dir: Path) -> list[Path]:
    return sorted(path for path in spool_dir.iterdir() if path.is_dir()) if spool_dir.is_dir() else []
