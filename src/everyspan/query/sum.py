"""How one span's cost comes about, line by line, so that a reader can redo the sum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from everyspan.model.money import CostLine, CostState
from everyspan.record import names
from everyspan.store.rows import SpanRow

_MILLION = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SumLine:
    """`tokens` of one kind at a price make `amount` US dollars."""

    kind: str
    tokens: int
    per_million: Decimal
    """US dollars for a million of them."""
    amount: Decimal


def sum_of(row: SpanRow) -> tuple[SumLine, ...]:
    """The lines of a span's cost; empty when nobody wrote them down or they do not make the amount that is stored.

    The recorder writes its lines on the span, the collector into the note of what it priced itself.
    """
    if row.cost is None or row.cost_state in (None, CostState.STATED, CostState.UNPRICED):
        return ()
    lines = lines_of(row.attributes, row.cost_note)
    if sum((line.amount for line in lines), Decimal(0)) != row.cost:
        return ()
    return tuple(
        SumLine(
            kind=line.kind,
            tokens=line.tokens,
            per_million=line.rate.scaleb(_MILLION).normalize(),
            amount=line.amount,
        )
        for line in lines
    )


def lines_of(attributes: str, note: str) -> tuple[CostLine, ...]:
    """The lines of a sum as they were written down with the cost, by the recorder or by the collector."""
    for text, *path in ((attributes, "attributes", names.COST_LINES), (note, "lines")):
        try:
            said: Any = json.loads(text)
            for key in path:
                said = said[key]
            listed = json.loads(said) if isinstance(said, str) else said
            return tuple(
                CostLine(str(kind), int(count), Decimal(rate), Decimal(paid))
                for kind, count, rate, paid in listed
            )
        except (KeyError, TypeError, ValueError, InvalidOperation):
            continue  # not written here: another recorder's span, or one of an everyspan before there were lines
    return ()
