"""Numbers about the recording itself, so that a failure of ours is something a user can read."""

from __future__ import annotations

import logging
import os
from collections import Counter

_log = logging.getLogger("everyspan")


class Tally:
    """Counts of calls opened and ended, and of our own failures. Safe from any thread: counts may lag, never break."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget everything: a forked child counts what it does itself, as its logs do."""
        self.opened = 0
        """LLM calls whose span was opened."""
        self.ended: Counter[str] = Counter()
        """LLM calls whose span ended, by how (`complete`, `cancelled`, ...)."""
        self.absorbed = 0
        """Entries into an instrumented library that were a deeper layer of a call already open."""
        self.over_budget = 0
        """Calls that were not made because a limit of the user's own was reached."""
        self.sampled_out = 0
        """Calls whose span the user's own sampler declined: only their usage and cost are kept."""
        self.unsampled = 0
        """Calls of which nothing is kept: a sampler declined them and the user wants no ledger, or tracing is off."""
        self.disowned = 0
        """Ends of spans that somebody else tells of: the parent of a forked child, or the log that was closed."""
        self.shed = 0
        """Spans whose texts were left out because the spool was nearly full."""
        self.faults: Counter[str] = Counter()
        """Failures inside everyspan, by place and kind of error. The user's call went on in each."""

    def fault(self, place: str, error: BaseException) -> None:
        """Count a failure of ours; say it once per place and kind of error."""
        name = f"{place}: {type(error).__name__}"
        self.faults[name] += 1
        if self.faults[name] == 1:
            _log.warning(
                "everyspan could not %s (%r); the call went on. Counted in everyspan.stats().", place, error
            )
            _log.debug("details", exc_info=error)


TALLY = Tally()
"""The tally of this process."""

os.register_at_fork(after_in_child=TALLY.begin_anew)
