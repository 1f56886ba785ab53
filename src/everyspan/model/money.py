"""What a call cost, exactly, and how we know."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple


class CostState(StrEnum):
    """How much a cost can be trusted; unknown is never zero."""

    STATED = "stated"
    """The provider said what it charged."""
    COMPUTED = "computed"
    """Every reported kind of token had a price."""
    PARTIAL = "partial"
    """Some kinds of token, or the variant asked for (batch, tier), had no price; they are named."""
    ESTIMATED = "estimated"
    """The usage itself is an estimate: an interrupted or abandoned call."""
    UNPRICED = "unpriced"
    """No price is known for this model, or no usage was reported. There is no amount."""


class CostLine(NamedTuple):
    """One factor of the sum: `tokens` of `kind` at `rate` US dollars each make `amount`."""

    kind: str
    tokens: int
    rate: Decimal
    amount: Decimal


class Cost(NamedTuple):
    """An amount in US dollars with its provenance: enough for anyone to redo the sum.

    `total`, `input` and `output` are exact decimals, or None when nothing is known (`UNPRICED`).
    """

    state: CostState
    total: Decimal | None = None
    input: Decimal | None = None
    output: Decimal | None = None
    lines: tuple[CostLine, ...] = ()
    table: str | None = None
    """Name and version of the price table, such as `genai-prices 0.2.3`."""
    model: str | None = None
    """The id the table knows the model by, as `provider/model`."""
    unpriced: tuple[str, ...] = ()
    """Usage kinds or variants that had no price, or the reason why there is no cost at all."""
