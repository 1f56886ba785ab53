"""How long do calls take, how soon does the first token come, and how many fail?"""

from __future__ import annotations

from dataclasses import dataclass

from everyspan.store.groups import Each, LatencyBy, LatencyFilter, LatencyGroup
from everyspan.store.store import Store

__all__ = ["Each", "LatencyBy", "LatencyFilter", "LatencyGroup", "LatencyReport", "latency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """Billed calls by group, with the quantiles of their lengths."""

    by: LatencyBy
    groups: tuple[LatencyGroup, ...]
    """Most calls first; by value and period when they are divided by hour or day."""


def latency(
    store: Store, *, by: LatencyBy = LatencyBy.MODEL, wanted: LatencyFilter, each: Each | None = None
) -> LatencyReport:
    """Durations, times to the first token and failures, grouped.

    Args:
        each: divide every group by hour or day; `LatencyGroup.period` says which.

    Raises:
        StoreError: the store cannot be read.
    """
    groups = store.latency_groups(by, wanted, each=each)
    if each is None:
        groups = sorted(groups, key=lambda group: (-group.calls, group.value))
    return LatencyReport(by=by, groups=tuple(groups))
