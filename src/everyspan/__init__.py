"""Every LLM call becomes exactly one span, with its parent and its cost, delivered, and provably so.

    import everyspan

    everyspan.init()              # every call of an instrumented library from here on

    @everyspan.observe            # spans of your own around them
    async def answer(question): ...

    print(everyspan.flush())      # what was recorded, delivered, and what waits

A script that nobody edits: `everyspan run script.py`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from everyspan.version import __version__

if TYPE_CHECKING:
    from everyspan.client import aflush, budget, context, flush, init, observe, shutdown, span, stats
    from everyspan.errors import BudgetExceeded, EveryspanError
    from everyspan.invocation import aws_lambda
    from everyspan.model.receipt import Receipt
    from everyspan.model.usage import Usage
    from everyspan.reading.client import Client
    from everyspan.record.headers import headers
    from everyspan.record.propagate import propagate

__all__ = [
    "BudgetExceeded",
    "Client",
    "EveryspanError",
    "Receipt",
    "Usage",
    "__version__",
    "aflush",
    "aws_lambda",
    "budget",
    "context",
    "flush",
    "headers",
    "init",
    "observe",
    "propagate",
    "shutdown",
    "span",
    "stats",
]

_MODULES = {
    "Client": "everyspan.reading.client",
    "BudgetExceeded": "everyspan.errors",
    "EveryspanError": "everyspan.errors",
    "Receipt": "everyspan.model.receipt",
    "Usage": "everyspan.model.usage",
    "aws_lambda": "everyspan.invocation",
    "headers": "everyspan.record.headers",
    "propagate": "everyspan.record.propagate",
}
"""Where the names above are; those that are not listed are in `everyspan.client`."""


def __getattr__(name: str) -> object:
    # A collector, the command line and a program that only mentions us load neither OpenTelemetry nor the recorder.
    if name not in __all__:
        raise AttributeError(f"module 'everyspan' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_MODULES.get(name, "everyspan.client")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
