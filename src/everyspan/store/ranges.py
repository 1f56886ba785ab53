"""Arithmetic on sets of sequence numbers, kept as ranges with both ends included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from everyspan.store.reads import Range


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers as ascending ranges that neither overlap nor touch."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


def subtract(ranges: Iterable[Range], other: Iterable[Range]) -> list[Range]:
    """The numbers of `ranges` that are not in `other`, as merged ranges."""
    holes = merge(other)
    left: list[Range] = []
    at = 0
    for first, last in merge(ranges):
        # Holes before this range are also before every later one.
        while at < len(holes) and holes[at][1] < first:
            at += 1
        here = at
        while here < len(holes) and holes[here][0] <= last:
            if holes[here][0] > first:
                left.append((first, holes[here][0] - 1))
            first = holes[here][1] + 1
            here += 1
        if first <= last:
            left.append((first, last))
    return left


def intersect(ranges: Sequence[Range], other: Sequence[Range]) -> list[Range]:
    """The numbers that are in both, as merged ranges."""
    return subtract(ranges, subtract(ranges, other))


def size(ranges: Iterable[Range]) -> int:
    """How many numbers; the ranges must not overlap."""
    return sum(last - first + 1 for first, last in ranges)
