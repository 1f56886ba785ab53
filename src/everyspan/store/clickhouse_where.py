"""Conditions of a query for ClickHouse; every value travels as a parameter, never as text of the query."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from everyspan.store.exact import to_text
from everyspan.store.limits import LATEST_NS
from everyspan.store.periods import HOUR_NS


def hour_of(at_ns: int) -> int:
    """The hour by which rows are sorted, of any moment that is asked for."""
    return min(max(at_ns, 0), LATEST_NS) // HOUR_NS


class Bound:
    """The parameters of one query."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def put(self, value: str | int | Decimal | Sequence[str] | Sequence[int]) -> str:
        """What stands for a value in the query."""
        name = f"p{len(self.values)}"
        if isinstance(value, Decimal):
            self.values[name] = to_text(value)
            return f"toDecimal256({{{name}:String}}, 30)"
        if isinstance(value, str):
            kind = "String"
        elif isinstance(value, int):
            kind = "Int64"
        else:
            kind = "Array(Int64)" if value and isinstance(value[0], int) else "Array(String)"
        self.values[name] = value
        return f"{{{name}:{kind}}}"


class Where:
    """Conditions, in order; as text they follow WHERE or HAVING."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self._conditions: list[str] = []

    def add(self, condition: str) -> None:
        self._conditions.append(condition)

    def equal(self, **columns: str) -> None:
        """The column has this value, where one was asked for."""
        for column, value in columns.items():
            if value:
                self.add(f"{column} = {self.bound.put(value)}")

    def one_of(self, **columns: Sequence[str]) -> None:
        """The column has one of these values, where some were asked for; an empty one is the value of nobody."""
        for column, values in columns.items():
            if values:
                self.add(f"{column} IN {self.bound.put(list(values))} AND {column} != ''")

    def between(self, column: str, since: int | None, until: int | None) -> None:
        # Bounds beyond what a column holds narrow nothing, or leave nothing.
        if since is not None:
            self.add(f"{column} >= {self.bound.put(min(max(since, 0), LATEST_NS))}")
        if until is not None and until <= LATEST_NS:
            self.add(f"{column} < {self.bound.put(max(until, 0))}")

    def __str__(self) -> str:
        return " AND ".join(self._conditions) or "true"
