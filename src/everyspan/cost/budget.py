"""Limits on what calls may cost in a day, a week or a month, by tag, user, service and the like.

A TOML file, named by EVERYSPAN_BUDGETS; `docs/cost.md` describes it.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Any

from everyspan.errors import PricesError

FILTERS = ("project", "key_id", "service", "environment", "model", "provider", "user", "session", "tag")
"""What a budget may be narrowed to; empty narrows nothing."""

_KEYS = frozenset({"name", "usd", "per", "warn_at", *FILTERS})


class Per(StrEnum):
    """How long a limit holds before it starts again, in UTC."""

    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"

    def start(self, today: date) -> date:
        """The first day of the period that `today` is in."""
        if self is Per.WEEK:
            return today - timedelta(days=today.weekday())
        return today.replace(day=1) if self is Per.MONTH else today


class Verdict(StrEnum):
    """How a budget stands."""

    WITHIN = "within"
    NEAR = "near"
    """Past the share at which a warning was asked for."""
    REACHED = "reached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit in US dollars."""

    name: str
    usd: Decimal
    per: Per
    warn_at: Decimal
    """The share of it from which on it is near."""
    filters: dict[str, str]

    def since_ns(self, now: datetime) -> int:
        """When the period began that `now` is in, in nanoseconds since 1970."""
        first = self.per.start(now.astimezone(UTC).date())
        return (first - date(1970, 1, 1)) // timedelta(microseconds=1) * 1000

    def verdict(self, spent: Decimal) -> Verdict:
        """How it stands when so much was spent in its period."""
        if spent >= self.usd:
            return Verdict.REACHED
        return Verdict.NEAR if spent >= self.usd * self.warn_at else Verdict.WITHIN


def read_budgets(path: Path) -> list[Budget]:
    """Every `[[budget]]` of a file, in its order.

    Raises:
        PricesError: it cannot be read, or a budget is not understood; the message says which and why.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as unreadable:
        raise PricesError(f"the budgets in {path} cannot be read: {unreadable}") from None
    listed = said.get("budget")
    if not isinstance(listed, list) or not listed or set(said) != {"budget"}:
        raise PricesError(
            f"{path} holds no [[budget]], or something else too; see docs/cost.md for its format"
        )
    return [_budget(row, where=f"budget {number} of {path}") for number, row in enumerate(listed, start=1)]


def _budget(row: Any, *, where: str) -> Budget:
    if not isinstance(row, dict) or not {"name", "usd"} <= set(row):
        raise PricesError(f"{where} needs a name and usd")
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise PricesError(f"{where} says {unknown[0]!r}; it takes {', '.join(sorted(_KEYS))}")
    if row.get("per", "day") not in [each.value for each in Per]:
        raise PricesError(
            f"'per' in {where} is {row['per']!r}; it takes {', '.join(each.value for each in Per)}"
        )
    filters = {name: str(row[name]) for name in FILTERS if row.get(name)}
    return Budget(
        name=str(row["name"]),
        usd=_number(row["usd"], f"usd in {where}"),
        per=Per(row.get("per", "day")),
        warn_at=_number(row.get("warn_at", 1), f"warn_at in {where}"),
        filters=filters,
    )


def _number(value: Any, where: str) -> Decimal:
    try:
        found = Decimal(value) if isinstance(value, (int, str, Decimal)) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if isinstance(value, bool) or not found.is_finite() or found < 0:
        raise PricesError(f"{where} is {value!r}; it takes a number that is not negative")
    return found
