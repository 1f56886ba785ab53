"""How a span is found by an id: indexes hold the ends of ids, and the few spans with that end are looked at.

An id of 32 digits in an index is as much to write and to keep as all numbers of a span; its last eight tell as well
where to look. The plus before a column keeps SQLite from another index, and from putting the value into `substr`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

ENDS = {"key": 12, "trace_id": 8, "span_id": 8, "parent_id": 8, "response_id": 10}
"""Characters of each that are in its index: as many as it takes to tell apart also ids that somebody counts."""

AT_ONCE = 500
"""Ids in one statement."""


def is_(column: str) -> str:
    """The condition that a span of project `?1` has the id `?2`."""
    return f"+project = ?1 AND +{column} = ?2 AND substr({column}, -{ENDS[column]}) = substr(?2, -{ENDS[column]})"


def one_of(column: str, count: int) -> str:
    """The condition that an id is one of so many, whose values are those of `sought`."""
    # SQLite cuts both: where an id holds a zero, it has its own mind about where that ends.
    ends = ", ".join([f"substr(?, -{ENDS[column]})"] * count)
    return f"substr({column}, -{ENDS[column]}) IN ({ends}) AND +{column} IN ({', '.join('?' * count)})"


def sought(ids: Sequence[str]) -> tuple[str, ...]:
    """The values of `one_of`."""
    return (*ids, *ids)


def portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many of the ids as one statement takes, and so on."""
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
