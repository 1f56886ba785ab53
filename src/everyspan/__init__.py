"""Every LLM call becomes exactly one span, with its parent and its cost, delivered, and provably so.

    import everyspan

    everyspan.init()              # every call of an instrumented library from here on

    @everyspan.observe            # spans of your own around them
    async def answer(question): ...

    print(everyspan.flush())      # what was recorded, delivered, and what waits

A script that nobody edits: `everyspan run script.py`.
"""

from __future__ import annotations

from everyspan.client import aflush, context, flush, init, observe, shutdown, span, stats
from everyspan.errors import EveryspanError
from everyspan.invocation import aws_lambda
from everyspan.model.receipt import Receipt
from everyspan.model.usage import Usage
from everyspan.version import __version__

__all__ = [
    "EveryspanError",
    "Receipt",
    "Usage",
    "__version__",
    "aflush",
    "aws_lambda",
    "context",
    "flush",
    "init",
    "observe",
    "shutdown",
    "span",
    "stats",
]
