"""Did every call of a run become exactly one span, below its parent, at its price? Asked of the collector's API."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from everyspan.cli.ask import Collector
from everyspan.cli.demo_lanes import Ended
from everyspan.cli.demo_plan import Scenario, Side
from everyspan.testing.ledger import Bill
from everyspan.testing.rates import LIST_PRICES, Tokens, undated

EXIT_CODES = {"return": 0, "_exit": 0, "sigkill": -signal.SIGKILL}

_NO_MONEY = Decimal("1e-12")

Span = dict[str, Any]
"""A span as the API gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of one run."""

    ended: Ended
    calls: int
    """Calls the provider answered."""
    stored: int
    """Generations in the store, counted as often as they are there."""
    below_parent: int
    """Of them, those whose parent is the batch."""
    once: int
    """Calls with exactly one generation."""
    cost: Decimal
    """US dollars of the stored generations."""
    owed: Decimal
    """US dollars by the provider's books."""
    verdict: str
    """The audit's word on this run's writers; `unproven` when nothing numbered arrived."""

    @property
    def scenario(self) -> Scenario:
        """What was run."""
        return self.ended.scenario

    @property
    def left_as_told(self) -> bool:
        """It ended in the way the scenario says."""
        return self.ended.exit_code == EXIT_CODES[self.scenario.how]

    @property
    def whole(self) -> bool:
        """N of N in every column and the right cost; with everyspan exactly, and the audit agrees."""
        counts = {self.calls, self.stored, self.below_parent, self.once}
        if counts != {self.scenario.calls} or not self.left_as_told:
            return False
        if self.scenario.side is Side.WITH:
            return self.cost == self.owed and self.verdict == "complete"
        # litellm computes in floats: 0.00024700000000000001 is as right as it can be.
        return abs(self.cost - self.owed) < _NO_MONEY


def check(ended: Ended, *, collector: Collector, parents: Path, bill: Bill | None) -> Finding:
    """Compare what the collector stored with what the provider answered.

    Args:
        bill: the part of the provider's books for this run; None with the real provider, whose books we do not have.
            Then every call is taken as answered, and the cost is compared with the stored usage at list price.
    """
    scenario = ended.scenario
    generations = [span for span in _spans(collector, scenario.name) if _is_billed_generation(span)]
    parent = _parent(parents)
    marks = [f"[{scenario.name} mail {number}]" for number in range(scenario.calls)]
    return Finding(
        ended=ended,
        calls=scenario.calls if bill is None else len(bill.calls),
        stored=len(generations),
        below_parent=sum((span["trace_id"], span["parent_id"]) == parent for span in generations),
        once=_once(marks, generations),
        cost=sum((Decimal(span["cost"]) for span in generations if span["cost"] is not None), Decimal(0)),
        owed=sum((_at_list_price(span) for span in generations), Decimal(0)) if bill is None else bill.cost,
        verdict=str(collector.ask("completeness", service=scenario.name)["verdict"]),
    )


def _spans(collector: Collector, service: str) -> Iterator[Span]:
    before = ""
    while True:
        page = collector.ask("traces", service=service, limit=1000, before=before)
        for summary in page["traces"]:
            trace = collector.ask("traces", summary["trace_id"])
            yield from (span for span in trace["spans"] if span["service"] == service)
        before = page["next_cursor"]
        if not before:
            return


def _is_billed_generation(span: Span) -> bool:
    return span["kind"] == "generation" and not span["unbilled"]


def _parent(path: Path) -> tuple[str, str] | None:
    """Trace id and span id of the batch, as the run noted them; None when it did not come that far."""
    if not path.exists():
        return None
    noted = json.loads(path.read_text().splitlines()[-1])
    return noted["trace_id"], noted["span_id"]


def _once(marks: list[str], generations: list[Span]) -> int:
    """How many marks are in exactly one generation's input."""
    seen = dict.fromkeys(marks, 0)
    for span in generations:
        text = str(span["input"])
        begin = text.find("[")
        while begin >= 0:
            end = text.find("]", begin)
            mark = text[begin : end + 1]
            if mark in seen:
                seen[mark] += 1
                break
            begin = text.find("[", begin + 1)
    return sum(count == 1 for count in seen.values())


def _at_list_price(span: Span) -> Decimal:
    usage = span["usage"]
    cached, written = usage["cache_read_tokens"] or 0, usage["cache_write_tokens"] or 0
    tokens = Tokens(
        fresh_input=(usage["input_tokens"] or 0) - cached - written,
        cache_read=cached,
        cache_write_5m=written,
        output=usage["output_tokens"] or 0,
    )
    rates = LIST_PRICES.get(undated(span["model"]))
    return rates.cost(tokens) if rates else Decimal(0)
