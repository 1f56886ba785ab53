"""Conditions of a query, put together from a filter's fields."""

from __future__ import annotations

from typing import Any

from everyspan.store.limits import LATEST_NS


class Where:
    """Conditions with their values, in order; as text it is the WHERE clause, or nothing."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._conditions: list[str] = []

    def add(self, condition: str, *values: object) -> None:
        self._conditions.append(condition)
        self.values += values

    def copy(self) -> Where:
        """The same conditions, to which others can be added."""
        other = Where()
        other.values, other._conditions = [*self.values], [*self._conditions]
        return other

    def equal(self, **columns: str) -> None:
        """The column has this value, where one was asked for."""
        for column, value in columns.items():
            if value:
                # The second half tells the planner that an index without the empty values serves.
                self.add(f"{column} = ? AND {column} != ''", value)

    def between(self, column: str, since: int | None, until: int | None) -> None:
        # Bounds beyond what a column holds narrow nothing, or leave nothing.
        if since is not None:
            self.add(f"{column} >= ?", min(max(since, 0), LATEST_NS))
        if until is not None and until <= LATEST_NS:
            self.add(f"{column} < ?", max(until, 0))

    def __str__(self) -> str:
        return "WHERE " + " AND ".join(self._conditions) if self._conditions else ""
