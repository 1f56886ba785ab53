"""What would calls cost by today's table, and what is the difference to what was recorded?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from everyspan.clock import now_ns
from everyspan.cost.price import Purchase, price
from everyspan.cost.table import Table
from everyspan.model.money import Cost, CostState
from everyspan.record import names
from everyspan.store import exact
from everyspan.store.groups import Each
from everyspan.store.periods import DAY_NS, label
from everyspan.store.reads import CostFilter
from everyspan.store.repricing import Place, PricedCall, Repriced, Repricer, asked_of
from everyspan.store.rows import SpanRow


@dataclass(slots=True)
class Difference:
    """Calls of one model on one day whose cost would be another."""

    day: str
    model: str
    calls: int = 0
    """Those with another amount or another state."""
    newly_priced: int = 0
    """Those of them that had no amount."""
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        """US dollars; negative when it was too much."""
        return exact.subtract(self.after, self.before) or Decimal(0)


@dataclass(slots=True)
class Outcome:
    """What came of repricing, or would come of it."""

    looked_at: int = 0
    unchanged: int = 0
    without_price: int = 0
    """Calls with an amount for which the table has none: they keep it."""
    version: int | None = None
    """The version that was written; None when nothing was."""
    differences: list[Difference] = field(default_factory=list)
    """By day and model."""

    @property
    def changed(self) -> int:
        """Calls that got, or would get, another cost."""
        return sum(each.calls for each in self.differences)


def reprice(
    store: Repricer,
    table: Table,
    wanted: CostFilter,
    *,
    write: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Price calls again by `table`, at the day they were made; with `write`, keep what differs as a new version.

    Recorded costs stay as they are. Costs that a provider or sender stated are left alone. Interrupting it leaves a
    version that nobody reads.
    """
    outcome = Outcome()
    by_day: dict[tuple[str, str], Difference] = {}
    version: int | None = None
    for calls in store.calls(wanted):
        changed = list(_changed(calls, table, outcome, by_day))
        if write and changed:
            if version is None:
                version = store.begin(lists=lists_of(table), asked=asked_of(wanted), made_ns=now_ns())
            store.keep(version, changed)
        outcome.looked_at += len(calls)
        progress(outcome.looked_at)
    if version is not None:
        store.finish(version)
    outcome.version = version
    outcome.differences = [by_day[key] for key in sorted(by_day)]
    return outcome


def lists_of(table: Table) -> str:
    """The name of a table with the contract laid over it."""
    return f"{table.name}, {table.contract.name}" if table.contract.rows else table.name


def _changed(
    calls: list[PricedCall], table: Table, outcome: Outcome, by_day: dict[tuple[str, str], Difference]
) -> Iterator[Repriced]:
    for call in calls:
        cost = price(_purchase(call.row), table)
        if cost.total is None and call.cost is not None:
            outcome.without_price += 1
            continue
        if (cost.state, cost.total) == (call.state, call.cost):
            outcome.unchanged += 1
            continue
        key = label(call.row.start_ns // DAY_NS, Each.DAY), call.row.model
        difference = by_day.setdefault(key, Difference(*key))
        difference.calls += 1
        difference.newly_priced += call.cost is None
        difference.before = exact.add(difference.before, call.cost) or Decimal(0)
        difference.after = exact.add(difference.after, cost.total) or Decimal(0)
        at = Place(call.row.project, call.row.trace_id, call.row.key)
        yield Repriced(at=at, state=cost.state, cost=cost.total, note=_note(cost))


def _purchase(row: SpanRow) -> Purchase:
    attributes: dict[str, Any] = json.loads(row.attributes or "{}").get("attributes", {})
    address = attributes.get(names.SERVER_ADDRESS)
    has_usage = row.usage.input_tokens is not None or row.usage.output_tokens is not None
    return Purchase(
        usage=row.usage if has_usage or row.usage.requests or row.usage.web_searches else None,
        model=row.model,
        at_ns=row.start_ns,
        provider=row.provider,
        server_address=address if isinstance(address, str) else "",
        cache_hit=attributes.get(names.CACHE_HIT) is True,
        estimated=row.cost_state is CostState.ESTIMATED or attributes.get(names.USAGE_SOURCE) == "estimated",
    )


def _note(cost: Cost) -> str:
    said: dict[str, Any] = {
        "table": cost.table,
        "model": cost.model,
        "unpriced": list(cost.unpriced),
        "lines": [[line.kind, line.tokens, f"{line.rate:f}", f"{line.amount:f}"] for line in cost.lines],
    }
    return json.dumps({name: value for name, value in said.items() if value}, separators=(",", ":"))
