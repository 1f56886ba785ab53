"""Every error that everyspan raises on purpose.

    EveryspanError
    ├── SettingsError          a setting, argument or command-line value cannot be used
    ├── WireError              bytes that are not what the format says
    │   └── FrameError         one record of a spool segment is damaged
    ├── SpoolError             the spool directory cannot be used
    │   └── SpoolFullError     the spool is at its limit
    ├── UsageError             token counts that contradict each other
    ├── BudgetExceeded         a limit of the user's own is reached; raised in place of their next call
    ├── PricesError            prices that the user gave, or a price table, cannot be used
    ├── StoreError             the store cannot be opened, read or written
    │   └── NotFoundError      the store does not hold what was asked for
    ├── CollectorError         a request to the collector cannot be accepted
    ├── AnswerError            a collector was asked and did not answer, or refused
    └── CommandError           a command cannot do what it was asked to; holds the exit code

A message holds what happened, the numbers, and what to do next. None of these reaches a user's LLM call, but the one
that is asked for with `everyspan.budget()`: inside an instrumented call a failure becomes a number in
`everyspan.stats()`.
"""

from __future__ import annotations

from decimal import Decimal


class EveryspanError(Exception):
    """The root of the family: catch this to catch whatever everyspan raises."""


class SettingsError(EveryspanError):
    """A setting, argument or command-line value cannot be used; the message names it and the values allowed."""


class WireError(EveryspanError):
    """Bytes that are not what the format says they are."""


class FrameError(WireError):
    """One record of a spool segment is damaged: its checksum, length or type is impossible."""


class SpoolError(EveryspanError):
    """The spool directory cannot be used: missing, read-only, foreign or unsafe."""


class SpoolFullError(SpoolError):
    """The spool is at its limit; this record was refused and counted."""

    def __init__(self, *, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"the spool has {free_bytes} bytes left and this record needs {needed_bytes}; "
            "let a sender run, or raise EVERYSPAN_SPOOL_BYTES"
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class UsageError(EveryspanError):
    """Token counts that contradict each other, such as more cached tokens than input tokens."""


class BudgetExceeded(EveryspanError):  # noqa: N818 - it is a refusal the user asked for, not a failure
    """A limit of `everyspan.budget()` is reached: the call that would have come next was not made.

    Attributes:
        name: the budget's, or empty.
        usd: the limit, in US dollars.
        spent: what the calls so far are known to have cost.
        calls: how many of them have ended.
        unpriced: how many of those have no price, or only a part of one, so that more may have been spent.
    """

    def __init__(self, *, name: str, usd: Decimal, spent: Decimal, calls: int, unpriced: int) -> None:
        unknown = f", {unpriced} of them without a whole price" if unpriced else ""
        super().__init__(
            f"the budget {name + ' ' if name else ''}of ${usd:f} is reached: {calls} calls cost ${spent:f}{unknown}; "
            "this one was not made. Raise the limit, or catch everyspan.BudgetExceeded"
        )
        self.name = name
        self.usd = usd
        self.spent = spent
        self.calls = calls
        self.unpriced = unpriced


class PricesError(EveryspanError):
    """Prices that the user gave, or a price table, cannot be used; the message names the file and the row."""


class StoreError(EveryspanError):
    """The store cannot be opened, read or written; the message says which and what to do."""


class NotFoundError(StoreError):
    """The store does not hold what was asked for, such as a trace id that never arrived."""


class CollectorError(EveryspanError):
    """A request that the collector cannot accept.

    Attributes:
        status: the HTTP status to answer with.
        retry_after_s: when to try again, where the status says that one may.
    """

    def __init__(self, message: str, *, status: int, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class AnswerError(EveryspanError):
    """A collector was asked, and did not answer or refused to.

    Attributes:
        reached: a collector of ours answered; what is wrong is the question or the key.
    """

    def __init__(self, message: str, *, reached: bool) -> None:
        super().__init__(message)
        self.reached = reached


class CommandError(EveryspanError):
    """A command cannot do what it was asked to: one line for people, a number for scripts.

    Attributes:
        exit_code: what the process ends with; docs/cli.md lists them.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
