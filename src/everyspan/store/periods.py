"""Hours and days in UTC, and what of a stretch of time is made of whole ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from everyspan.store.groups import Each
from everyspan.store.limits import LATEST_NS

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
LENGTH_NS = {Each.HOUR: HOUR_NS, Each.DAY: DAY_NS}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def label(number: int, each: Each) -> str:
    """What the hour or day is called that is the `number`th since 1970."""
    if each is Each.DAY:
        return (_EPOCH + timedelta(days=number)).date().isoformat()
    return (_EPOCH + timedelta(hours=number)).strftime("%Y-%m-%dT%H:00Z")


def whole_and_edges(
    since_ns: int | None, until_ns: int | None, length_ns: int
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """The whole periods in a stretch of time, first to end, and what is left of it at both edges in nanoseconds."""
    since = min(max(since_ns or 0, 0), LATEST_NS + 1)
    until = LATEST_NS + 1 if until_ns is None else min(max(until_ns, 0), LATEST_NS + 1)
    first, end = -(-since // length_ns), until // length_ns
    edges = [(since, until)]
    if first < end:
        edges = [(since, first * length_ns), (end * length_ns, until)]
    return (first, max(first, end)), [edge for edge in edges if edge[0] < edge[1]]
