"""Tools for testing LLM telemetry, ours or yours: a fake provider with honest books, and a fake receiver of spans.

Everything here runs offline, on free ports, with the standard library only.
"""

from __future__ import annotations

from everyspan.testing.ledger import Bill, Entry, Ledger, Outcome, account_of, read_ledger
from everyspan.testing.provider import FakeProvider, ProviderProcess, Script
from everyspan.testing.rates import LIST_PRICES, Rates, Tokens
from everyspan.testing.received import ReceivedSpan
from everyspan.testing.sink import Sink

__all__ = [
    "LIST_PRICES",
    "Bill",
    "Entry",
    "FakeProvider",
    "Ledger",
    "Outcome",
    "ProviderProcess",
    "Rates",
    "ReceivedSpan",
    "Script",
    "Sink",
    "Tokens",
    "account_of",
    "read_ledger",
]
