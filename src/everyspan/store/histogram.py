"""How long calls took, in counts that can be added up: 32 buckets for each doubling.

A quantile read from them is the middle of its bucket, at most 1.6 % from the value that sorting all calls would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import orjson

from everyspan.store.groups import Quantiles

_BITS = 5  # 32 buckets for each doubling

Histogram = Counter[int]
"""Calls by bucket."""

Sums = dict[str, int]
"""A histogram in the form it has at rest: adding thousands of them, the numbers are better left as text."""


def bucket(value_ns: int) -> int:
    """The bucket of a length of time; 0 to 63 nanoseconds have one each."""
    shift = max(value_ns.bit_length() - _BITS - 1, 0)
    return (shift << _BITS) + (value_ns >> shift)


def middle(number: int) -> int:
    """The length of time in the middle of a bucket."""
    shift = max((number >> _BITS) - 1, 0)
    return ((number - (shift << _BITS)) << shift) + ((1 << shift) >> 1)


def quantiles(counts: Histogram) -> Quantiles:
    """What the counts say; all None when there are none."""
    total = sum(counts.values())
    if not total:
        return Quantiles()
    found = percentiles(counts, (50, 90, 95, 99))
    return Quantiles(count=total, p50_ns=found[50], p90_ns=found[90], p95_ns=found[95], p99_ns=found[99])


def percentiles(counts: Histogram, percents: Iterable[int]) -> dict[int, int]:
    """The length of time that so many percent do not exceed, for each of them; empty without any."""
    total, ordered, found = sum(counts.values()), sorted(counts.items()), {}
    for percent in percents if total else ():
        rank = -(-total * percent // 100)
        for number, count in ordered:
            rank -= count
            if rank <= 0:
                found[percent] = middle(number)
                break
    return found


def to_text(counts: Histogram) -> str:
    """The counts at rest; buckets without a call are left out."""
    return "{" + ",".join([f'"{number}":{count}' for number, count in sorted(counts.items()) if count]) + "}"


def from_text(text: str) -> Histogram:
    """The counts that `to_text` wrote."""
    return Counter({int(number): count for number, count in orjson.loads(text).items()})


def add_text(one: str, other: str) -> str:
    """The sum of two histograms at rest, for use inside SQL."""
    sums: Sums = orjson.loads(one)
    add_to(sums, other)
    return orjson.dumps({number: count for number, count in sums.items() if count}).decode()


def add_to(sums: Sums, text: str) -> None:
    """Add a histogram at rest."""
    # Written out: a report adds up thousands of them, with more than a hundred buckets each.
    counted = sums.get
    for number, count in orjson.loads(text).items():
        sums[number] = counted(number, 0) + count


def of_sums(sums: Sums) -> Histogram:
    """The histogram that was added up."""
    return Counter({int(number): count for number, count in sums.items()})


def of(values_ns: Iterable[int]) -> Histogram:
    """The histogram of these lengths of time."""
    return Counter(map(bucket, values_ns))


class TextHistogram:
    """An SQL aggregate: the histogram of whole numbers, NULL left out."""

    def __init__(self) -> None:
        self._counts: Histogram = Counter()

    def step(self, value: int | None) -> None:
        """Take one value of the group."""
        if value is not None:
            self._counts[bucket(value)] += 1

    def finalize(self) -> str:
        """The histogram at rest."""
        return to_text(self._counts)


class TextHistogramSum:
    """An SQL aggregate: the sum of histograms at rest."""

    def __init__(self) -> None:
        self._sums: Sums = {}

    def step(self, text: str) -> None:
        """Take one histogram of the group."""
        add_to(self._sums, text)

    def finalize(self) -> str:
        """The sum at rest."""
        return to_text(of_sums(self._sums))
