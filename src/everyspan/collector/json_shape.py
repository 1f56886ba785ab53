"""How many values a text of JSON holds, before it is parsed: `[[],[],…` grows twenty-fold when it becomes objects."""

from __future__ import annotations

import re

from everyspan.errors import CollectorError

MOST_VALUES = 1_000_000
"""In one body; about 100 MB once they are objects."""

_MARKS = (b",", b":", b"[", b"{")
# Possessive, and with an end that may be missing: each byte is looked at once, whatever somebody sends.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


def check_values(body: bytes, *, most: int = MOST_VALUES) -> None:
    """See that a body is worth parsing.

    Raises:
        CollectorError: 413, it holds too many values.
    """
    # Most bodies have fewer marks than that even with those inside their texts, and counting them costs nothing.
    if _count(body) <= most:
        return
    count = _count(_STRING.sub(b"", body))
    if count > most:
        raise CollectorError(f"the body holds {count} values; the limit is {most}", status=413)


def _count(body: bytes) -> int:
    return sum(body.count(mark) for mark in _MARKS)
