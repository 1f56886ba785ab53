"""Calls whose recorded costs are wrong, and the repricing of a store that has them."""

from __future__ import annotations

from typing import Any

from everyspan.cost.table import Table
from everyspan.model.usage import Usage
from everyspan.query.costs import CostFilter
from everyspan.query.repricing import reprice
from everyspan.store.repricing import repricer
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store
from tests.store_rows import call

TWICE = Usage(input_tokens=2_000, output_tokens=200)


def recorded(number: int, cost: str | None, **changes: Any) -> SpanRow:
    """A call of 1,000 tokens in and 100 out of gpt-4o, which cost $0.0035."""
    usual: dict[str, Any] = {"model": "gpt-4o", "usage": Usage(input_tokens=1_000, output_tokens=100)}
    return call(number, cost, **(usual | changes))


def run(store: Store, wanted: CostFilter | None = None, *, write: bool = True) -> Any:
    return reprice(repricer(store), Table.load(), wanted or CostFilter(), write=write)
