"""What a store does for repricing: it hands out priced calls, and keeps new costs beside the recorded ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple, Protocol

from everyspan.model.money import CostState
from everyspan.store.reads import CostFilter
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store


class Place(NamedTuple):
    """Where a span is, in whatever store."""

    project: str
    trace_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedCall:
    """A billed call with the cost that holds for it: the recorded one, or the newest that was made since."""

    row: SpanRow
    """As it was recorded."""
    state: CostState
    cost: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """A new cost of a call."""

    at: Place
    state: CostState
    cost: Decimal | None
    note: str
    """Table, matched model, what was unpriced, and the lines of the sum, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newer:
    """A billed call's newest cost, and the recorded one."""

    made: Repriced
    was_state: CostState
    was_cost: Decimal | None


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

    def begin(self, *, lists: str, asked: str, made_ns: int) -> int:
        """A new version, which nobody reads before `finish`: dying in between changes no answer."""

    def keep(self, version: int, costs: Sequence[Repriced]) -> None:
        """Put new costs into a version that is not finished. A span that is gone has none."""

    def finish(self, version: int) -> None:
        """From now on the version's costs are the newest of their calls."""

    def versions(self) -> list[Repricing]:
        """Every finished version, oldest first."""

    def kept(self, version: int, *, batch: int = 2000) -> Iterator[list[Repriced]]:
        """Everything that is in a version, in batches."""

    def latest(self, project: str, trace_ids: Sequence[str]) -> list[Newer]:
        """The newest cost of each billed call of these traces that has another than the recorded one."""


def asked_of(wanted: CostFilter) -> str:
    """Which calls a repricing is about, as JSON."""
    names = ("project", "since_ns", "until_ns", "model", "provider")
    return json.dumps({name: value for name in names if (value := getattr(wanted, name))})


def repricer(store: Store) -> Repricer:
    """The repricing side of a store, of whatever kind."""
    from everyspan.store.sqlite import SqliteStore

    if isinstance(store, SqliteStore):
        from everyspan.store.sqlite_repricing import SqliteRepricer

        return SqliteRepricer(store)
    from everyspan.store.clickhouse import ClickHouseStore
    from everyspan.store.clickhouse_repricing import ClickHouseRepricer

    if not isinstance(store, ClickHouseStore):
        raise TypeError(f"{type(store).__name__} is no store of ours")
    return ClickHouseRepricer(store)
