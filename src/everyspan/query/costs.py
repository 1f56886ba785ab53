"""What did it cost, by whom and by what?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from everyspan.model.money import CostState
from everyspan.store import exact
from everyspan.store.groups import Each
from everyspan.store.reads import CostBy, CostFilter, CostGroup
from everyspan.store.store import Store

__all__ = ["CostBy", "CostFilter", "CostGroup", "CostReport", "Each", "costs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """Calls and money by group; what has no price is counted, never taken as 0."""

    by: CostBy
    groups: tuple[CostGroup, ...]
    """Days and hours ascending, and so are all when they are divided by one; everything else dearest first, groups
    without any known cost last."""
    total: CostGroup
    """The sum over all calls, each counted once; its `value` is empty."""


def costs(
    store: Store,
    *,
    by: CostBy = CostBy.MODEL,
    wanted: CostFilter | None = None,
    each: Each | None = None,
) -> CostReport:
    """Billed calls, grouped. Exact to the last digit, each call counted once.

    Args:
        each: divide every group by hour or day; `CostGroup.period` says which.

    Raises:
        StoreError: the store cannot be read.
    """
    wanted = wanted or CostFilter()
    groups = store.cost_groups(by, wanted, each=each)
    # A call with two tags is in two groups; in the total it counts once.
    disjoint = store.cost_groups(CostBy.PROJECT, wanted) if by is CostBy.TAG else groups
    if each is None and by not in (CostBy.DAY, CostBy.HOUR):
        groups = sorted(groups, key=_dearest_first)
    return CostReport(by=by, groups=tuple(groups), total=_sum(disjoint))


def _dearest_first(group: CostGroup) -> tuple[bool, Decimal, int, str]:
    return group.cost is None, -(group.cost or Decimal(0)), -group.calls, group.value


def _sum(groups: Sequence[CostGroup]) -> CostGroup:
    cost, states = None, Counter[CostState]()
    for group in groups:
        cost = exact.add(cost, group.cost)
        states.update(group.states)
    return CostGroup(
        value="",
        calls=sum(group.calls for group in groups),
        cost=cost,
        input_tokens=sum(group.input_tokens for group in groups),
        output_tokens=sum(group.output_tokens for group in groups),
        cache_read_tokens=sum(group.cache_read_tokens for group in groups),
        cache_write_tokens=sum(group.cache_write_tokens for group in groups),
        reasoning_tokens=sum(group.reasoning_tokens for group in groups),
        states=dict(states),
        unbilled=sum(group.unbilled for group in groups),
    )
