"""What did it cost, by whom and by what?"""

from __future__ import annotations

from dataclasses import dataclass

from everyspan.store.reads import CostBy, CostFilter, CostGroup
from everyspan.store.store import Store

__all__ = ["CostBy", "CostFilter", "CostGroup", "CostReport", "costs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """Calls and money by group; what has no price is counted, never taken as 0."""

    by: CostBy
    groups: tuple[CostGroup, ...]
    """Days ascending; everything else dearest first, groups without any known cost last."""
    total: CostGroup
    """The sum over all groups; its `value` is empty."""


def costs(store: Store, *, by: CostBy = CostBy.MODEL, wanted: CostFilter | None = None) -> CostReport:
    """Billed calls, grouped. Exact to the last digit, each call counted once.

    Raises:
        StoreError: the store cannot be read.
    """
    raise NotImplementedError
