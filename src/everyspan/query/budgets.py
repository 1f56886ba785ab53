"""How do the limits stand?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from everyspan.cost.budget import Budget, Per, Verdict
from everyspan.model.money import CostState
from everyspan.query.costs import CostBy, CostFilter, costs
from everyspan.store.store import Store

__all__ = ["Budget", "BudgetReport", "Standing", "stand"]

_UNSURE = (CostState.UNPRICED, CostState.PARTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One limit, and what was spent of it in its period that is under way."""

    name: str
    per: Per
    filters: Mapping[str, str]
    """What it is narrowed to."""
    since_ns: int
    """When the period began."""
    spent: Decimal
    """US dollars of all calls whose cost is known, exact."""
    limit: Decimal
    verdict: Verdict
    without_whole_price: int
    """Calls whose cost is not known, or only in part: they may have cost more than is in `spent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """Every limit, in the order of the file."""

    budgets: tuple[Standing, ...]
    problem: str = ""
    """Why the file can not be read; empty when it can, or when there is none."""


def stand(
    store: Store, budgets: Iterable[Budget], *, now: datetime, project: str = ""
) -> tuple[Standing, ...]:
    """How limits stand.

    Args:
        project: only what is limited in this project; empty for all limits.

    Raises:
        StoreError: the store cannot be read.
    """
    return tuple(
        _standing(store, each, now)
        for each in budgets
        if not project or each.filters.get("project") == project
    )


def _standing(store: Store, limit: Budget, now: datetime) -> Standing:
    since_ns = limit.since_ns(now)
    narrowed: dict[str, Any] = dict(limit.filters)
    total = costs(store, by=CostBy.STATE, wanted=CostFilter(since_ns=since_ns, **narrowed)).total
    spent = total.cost or Decimal(0)
    return Standing(
        name=limit.name,
        per=limit.per,
        filters=limit.filters,
        since_ns=since_ns,
        spent=spent,
        limit=limit.usd,
        verdict=limit.verdict(spent),
        without_whole_price=sum(total.states.get(state, 0) for state in _UNSURE),
    )
