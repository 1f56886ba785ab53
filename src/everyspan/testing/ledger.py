"""The fake provider's own books: what it answered, to the token, and what that costs, exactly.

A line is in the file before the first byte of the answer leaves, so the file is right whatever becomes of the
client. An answer in one piece is one line, `whole`. A stream is two: `begin`, with what is owed from the first byte
on, and `end`, with what was owed at the end; without its `end` it was still being sent when the file was read.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Self

from everyspan.testing.rates import LIST_PRICES, Rates, Tokens, undated


class Outcome(StrEnum):
    """What became of one request."""

    SENDING = "sending"
    SERVED = "served"
    """The whole answer went to the network; written down just before its last byte."""
    CUT = "cut"
    """The provider broke the connection off in the middle of the answer, as its script says."""
    FAILED = "failed"
    """The provider sent an error event in the middle of the stream, as its script says."""
    ABORTED = "aborted"
    """The client went away before the answer was complete."""
    REFUSED = "refused"
    """Answered with an HTTP error; nothing is owed."""
    DROPPED = "dropped"
    """The connection was closed without an answer; nothing is owed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request. `tokens` and `cost_usd` are what is owed for what was sent."""

    request_id: str
    """As in the header `request-id` (Anthropic) or `x-request-id` (OpenAI)."""
    response_id: str = ""
    """`msg_…` or `chatcmpl-…`; empty when there was no answer."""
    provider: str
    """`anthropic` or `openai`: whose API was called."""
    model: str
    """As it was asked for."""
    stream: bool = False
    status: int = 200
    """The HTTP status of the answer; 0 when the connection was closed without one."""
    outcome: Outcome = Outcome.SENDING
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: Decimal | None = Decimal(0)
    """None when the provider has no price for the model."""
    account: str = ""
    """A digest of the API key, `account_of(key)`: who is billed."""
    prompt: str = ""
    """The first 200 characters of the last user message."""

    @property
    def billed(self) -> bool:
        """True for a call of the model: an answer was begun, and is owed for."""
        return self.response_id != ""


class Bill:
    """Entries with their sums. Immutable."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)

    @property
    def calls(self) -> tuple[Entry, ...]:
        """The calls of the model: every request that was answered with something to pay for."""
        return tuple(entry for entry in self.entries if entry.billed)

    @property
    def tokens(self) -> Tokens:
        """The sum over all calls."""
        return sum((entry.tokens for entry in self.calls), Tokens())

    @property
    def cost(self) -> Decimal:
        """US dollars for all calls that have a price; `unpriced` counts the others."""
        return sum((entry.cost_usd for entry in self.calls if entry.cost_usd is not None), Decimal(0))

    @property
    def unpriced(self) -> int:
        """Calls of models that the provider has no price for."""
        return sum(1 for entry in self.calls if entry.cost_usd is None)

    def of(self, api_key: str) -> Bill:
        """The part that this API key owes."""
        account = account_of(api_key)
        return Bill(entry for entry in self.entries if entry.account == account)


class Ledger:
    """The books of a running provider. Written by its one thread, readable from any."""

    def __init__(self, path: Path | None = None, *, prices: Mapping[str, Rates] = LIST_PRICES) -> None:
        self._entries: dict[str, Entry] = {}
        self._prices = prices
        self._changed = threading.Condition()
        self._fd = -1
        if path is not None:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, entry: Entry) -> None:
        """Write down a request whose outcome is known; on return the line is with the operating system."""
        self._put(replace(entry, cost_usd=self._price(entry.model, entry.tokens)), event="whole")

    def begin(self, entry: Entry) -> None:
        """Write down what is owed from the first byte on; on return the line is with the operating system."""
        self._put(replace(entry, cost_usd=self._price(entry.model, entry.tokens)), event="begin")

    def end(self, request_id: str, *, outcome: Outcome, tokens: Tokens) -> None:
        """Write down how it ended and what is owed in the end."""
        entry = self._entries[request_id]
        cost = self._price(entry.model, tokens)
        self._put(replace(entry, outcome=outcome, tokens=tokens, cost_usd=cost), event="end")

    def bill(self) -> Bill:
        """Everything so far; what comes later is not in it."""
        with self._changed:
            return Bill(self._entries.values())

    def wait_until(self, holds: Callable[[Bill], bool], *, timeout_s: float = 10.0) -> Bill:
        """Wait until something is true of the bill, such as that a client's departure was noticed.

        Raises:
            TimeoutError: it did not become true; the message lists what is in the books.
        """
        give_up_s = time.monotonic() + timeout_s
        with self._changed:
            while not holds(bill := Bill(self._entries.values())):
                if not self._changed.wait(give_up_s - time.monotonic()):
                    told = ", ".join(f"{entry.model} {entry.outcome}" for entry in bill.entries)
                    raise TimeoutError(f"not so after {timeout_s} s; the books have: {told or 'nothing'}")
            return bill

    @property
    def calls(self) -> tuple[Entry, ...]:
        """The calls of the model so far."""
        return self.bill().calls

    @property
    def tokens(self) -> Tokens:
        """The tokens of all calls so far."""
        return self.bill().tokens

    @property
    def cost(self) -> Decimal:
        """US dollars owed so far."""
        return self.bill().cost

    def close(self) -> None:
        """Close the file; what was written stays readable."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _price(self, model: str, tokens: Tokens) -> Decimal | None:
        rates = self._prices.get(undated(model))
        if rates is None:
            return None if tokens != Tokens() else Decimal(0)
        return rates.cost(tokens)

    def _put(self, entry: Entry, *, event: str) -> None:
        if self._fd >= 0:
            # One write for a whole line to a file opened for appending: a reader never sees half of it, and
            # there is no buffer of ours that a crash could take along.
            os.write(self._fd, _line(entry, event).encode())
        with self._changed:
            self._entries[entry.request_id] = entry
            self._changed.notify_all()


def read_ledger(path: Path) -> Bill:
    """The bill in a file that a provider wrote, or is writing.

    Raises:
        ValueError: a line is not one of ours.
    """
    entries: dict[str, Entry] = {}
    for line in path.read_text().splitlines():
        entry = _entry(json.loads(line))
        entries[entry.request_id] = entry
    return Bill(entries.values())


def account_of(api_key: str) -> str:
    """How an API key appears in the ledger: a digest, so that books can be shared."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:12]


def _line(entry: Entry, event: str) -> str:
    fields = {"event": event} | asdict(entry)
    fields["cost_usd"] = None if entry.cost_usd is None else format(entry.cost_usd, "f")
    return json.dumps(fields) + "\n"


def _entry(fields: dict[str, object]) -> Entry:
    known = dict(fields)
    known.pop("event")
    cost, tokens = known.pop("cost_usd"), known.pop("tokens")
    if not isinstance(tokens, dict):
        raise ValueError(f"not a ledger line: tokens is {tokens!r}")
    return Entry(
        **(known | {"outcome": Outcome(str(known["outcome"]))}),  # type: ignore[arg-type]  # mypy sees object
        tokens=Tokens(**tokens),
        cost_usd=None if cost is None else Decimal(str(cost)),
    )
