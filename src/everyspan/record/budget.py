"""`everyspan.budget()`: a limit on what the calls of a block may cost, which the next call after it does not pass."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from typing import Self

from everyspan.cost.rates import EXACT
from everyspan.errors import BudgetExceeded, SettingsError
from everyspan.model.money import Cost, CostState
from everyspan.record.tally import TALLY

_log = logging.getLogger("everyspan")

_active: ContextVar[tuple[SpendingLimit, ...]] = ContextVar("everyspan_budgets", default=())
_WHOLE = frozenset({CostState.COMPUTED, CostState.STATED, CostState.ESTIMATED})


class SpendingLimit:
    """A limit in US dollars on the model calls that begin inside; a context manager, plain and async.

    Follows the context as `everyspan.context` does: tasks of `asyncio.gather` and threads that are started inside
    spend from the same limit. Blocks nest, and a call counts towards all that are around it. Entered again, or by
    several tasks, one object goes on counting. A forked child goes on from what was spent before, by itself.
    """

    def __init__(self, usd: Decimal | int | float | str, *, name: str = "") -> None:
        try:
            # Through its text, so that 0.1 is a tenth and not the float next to it.
            limit = Decimal(str(usd))
        except InvalidOperation:
            limit = Decimal("NaN")
        if isinstance(usd, bool) or not limit.is_finite() or limit < 0:
            raise SettingsError(f"usd is {usd!r}; a budget takes a number of US dollars that is not negative")
        self.usd = limit
        self.name = name
        # What ends a call may be a finalizer in the middle of anything: it only appends, which takes no lock.
        self._told: deque[tuple[Decimal | None, bool]] = deque()
        """Amount, and whether it is all of the price."""
        self._lock = threading.RLock()
        self._spent = Decimal(0)
        self._calls = self._unpriced = 0
        _all.add(self)

    @property
    def spent(self) -> Decimal:
        """US dollars of the calls that have ended and whose cost is known, exact."""
        self._add_up()
        return self._spent

    @property
    def remaining(self) -> Decimal:
        """US dollars; 0 when the limit is reached."""
        return max(EXACT.subtract(self.usd, self.spent), Decimal(0))

    @property
    def calls(self) -> int:
        """Calls that have ended, those without a price included."""
        self._add_up()
        return self._calls

    @property
    def unpriced(self) -> int:
        """Those of them whose cost is not known, or only in part: what they cost is not all in `spent`."""
        self._add_up()
        return self._unpriced

    def check(self) -> None:
        """Raise BudgetExceeded when the limit is reached; each call that begins inside does this first."""
        if self.spent >= self.usd:
            raise BudgetExceeded(
                name=self.name, usd=self.usd, spent=self.spent, calls=self.calls, unpriced=self.unpriced
            )

    def __enter__(self) -> Self:
        _active.set((*_active.get(), self))
        return self

    def __exit__(self, *exc_info: object) -> None:
        # No token: another task, with a context of its own, may be inside the same object.
        around = list(_active.get())
        if self in around:
            del around[len(around) - 1 - around[::-1].index(self)]
            _active.set(tuple(around))
        if self.unpriced and self not in around:
            _log.warning(
                "everyspan: %d of %d calls in the budget %s have no whole price; $%f is what is known of them",
                *(self.unpriced, self.calls, self.name or f"of ${self.usd:f}", self.spent),
            )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__(*exc_info)

    def _add_up(self) -> None:
        with self._lock:
            while self._told:
                amount, is_whole = self._told.popleft()
                self._calls += 1
                self._unpriced += not is_whole
                if amount is not None:
                    self._spent = EXACT.add(self._spent, amount)

    def _forked(self) -> None:
        self._lock = threading.RLock()


Limits = tuple[SpendingLimit, ...]

_all: weakref.WeakSet[SpendingLimit] = weakref.WeakSet()


def limits() -> Limits:
    """The limits that stand around a call which begins now.

    Raises:
        BudgetExceeded: one of them is reached; nothing was sent.
    """
    found = _active.get()
    if not found:
        return ()
    for each in found:
        try:
            each.check()
        except BudgetExceeded:
            TALLY.over_budget += 1
            raise
    return tuple(dict.fromkeys(found))


def is_limited() -> bool:
    """True inside a budget."""
    return bool(_active.get())


def charge(around: Limits, bill: Cost | None) -> None:
    """Tell the limits what a call cost; None when nobody knows. From any thread, also in a finalizer."""
    told = (None, False) if bill is None else (bill.total, bill.state in _WHOLE)
    for each in around:
        each._told.append(told)


def _forked() -> None:
    for each in list(_all):
        each._forked()


os.register_at_fork(after_in_child=_forked)
