"""How one span's cost comes about, line by line, so that a reader can redo the sum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

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
    """The lines of a span's cost; empty when nobody wrote them down, or they do not make the amount that is stored.

    The recorder writes its lines on the span, the collector those of what it priced itself into the note of the cost.
    """
    if row.cost is None:
        return ()
    lines = _written(row)
    if sum((line.amount for line in lines), Decimal(0)) != row.cost:
        return ()  # an explanation that does not add up explains nothing
    return lines


def _written(row: SpanRow) -> tuple[SumLine, ...]:
    """The lines, each a list of kind, tokens, rate and amount."""
    try:
        attributes = json.loads(row.attributes).get("attributes") or {}
        said = attributes.get(names.COST_LINES) or json.loads(row.cost_note or "{}").get("lines") or ()
        return tuple(_line(*each) for each in (json.loads(said) if isinstance(said, str) else said))
    except (AttributeError, TypeError, ValueError, InvalidOperation):
        return ()  # another recorder's attribute of the same name


def _line(kind: str, tokens: int, rate: str, amount: str) -> SumLine:
    per_million = Decimal(rate).scaleb(_MILLION).normalize()
    return SumLine(kind=kind, tokens=int(tokens), per_million=per_million, amount=Decimal(amount))
