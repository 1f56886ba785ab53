"""What a store does for repricing: it hands out priced calls, and keeps new costs beside the recorded ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from everyspan.errors import StoreError
from everyspan.model.money import CostState
from everyspan.store.reads import CostFilter
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedCall:
    """A billed call with the cost that holds for it: the recorded one, or the newest that was made since."""

    id: int
    row: SpanRow
    """As it was recorded."""
    state: CostState
    cost: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """A new cost of a call."""

    id: int
    state: CostState
    cost: Decimal | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repricing:
    """One version of costs."""

    version: int
    made_ns: int
    lists: str
    """The price table, and the contract laid over it."""
    asked: str
    """Which calls were meant, as JSON."""
    calls: int
    """How many got another cost."""


class Repricer(Protocol):
    """The repricing side of a store; raises only StoreError. While it writes, others may read and write."""

    def count(self, wanted: CostFilter) -> int:
        """How many calls `calls` will hand out."""

    def calls(self, wanted: CostFilter, *, batch: int = 2000) -> Iterator[list[PricedCall]]:
        """Billed calls whose cost nobody stated, in batches; project, times, model and provider of `wanted` narrow."""

    def begin(self, *, lists: str, wanted: CostFilter) -> int:
        """A new version, which nobody reads before `finish`: dying in between changes no answer."""

    def keep(self, version: int, costs: Sequence[Repriced]) -> None:
        """Put new costs into a version that is not finished."""

    def finish(self, version: int) -> None:
        """From now on the version's costs are the newest of their calls."""

    def versions(self) -> list[Repricing]:
        """Every finished version, oldest first."""


def repricer(store: Store) -> Repricer:
    """The repricing side of a store.

    Raises:
        StoreError: this kind of store keeps no other costs than the recorded ones.
    """
    from everyspan.store.sqlite import SqliteStore
    from everyspan.store.sqlite_repricing import SqliteRepricer

    if isinstance(store, SqliteStore):
        return SqliteRepricer(store)
    raise StoreError("only the embedded store can keep repriced costs")
