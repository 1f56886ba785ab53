"""How one span's cost comes about, line by line, so that a reader can redo the sum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from everyspan.cost.price import Purchase, price
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
    """The lines of a span's cost; empty when nobody wrote them down and today's table gives another amount.

    The recorder writes its lines on the span. A span that came without is priced again, and the lines are shown only
    when they make the very amount that is stored: an explanation that does not add up explains nothing.
    """
    if row.cost is None or row.cost_state in (None, CostState.STATED, CostState.UNPRICED):
        return ()
    priced = price(
        Purchase(
            usage=row.usage,
            model=row.model,
            provider=row.provider,
            at_ns=row.start_ns,
            estimated=row.cost_state is CostState.ESTIMATED,
        )
    )
    lines = _recorded(row) or priced.lines
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


def _recorded(row: SpanRow) -> tuple[CostLine, ...]:
    """What `everyspan.cost.lines` says: a list of kind, tokens, rate and amount."""
    try:
        said = json.loads(row.attributes)["attributes"][names.COST_LINES]
        lines = json.loads(said) if isinstance(said, str) else said
        return tuple(
            CostLine(str(kind), int(count), Decimal(rate), Decimal(paid)) for kind, count, rate, paid in lines
        )
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return ()  # another recorder's span: nobody wrote lines
