"""What a call cost, exactly, and how we know."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Self


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


class Parts(NamedTuple):
    """What a total is the sum of."""

    input: Decimal | None = None
    output: Decimal | None = None
    lines: tuple[CostLine, ...] = ()


class _Held(NamedTuple):
    state: CostState
    total: Decimal | None
    table: str | None
    model: str | None
    unpriced: tuple[str, ...]
    how: Parts | tuple[Callable[..., Parts], Any, Any]
    """The parts, or what makes them: most of those who ask for a cost want its total."""


class Cost(_Held):
    """An amount in US dollars with its provenance: enough for anyone to redo the sum.

    `total`, `input` and `output` are exact decimals, or None when nothing is known (`UNPRICED`).

    Attributes:
        table: name and version of the price table, such as `genai-prices 0.2.3`.
        model: the id the table knows the model by, as `provider/model`.
        unpriced: usage kinds or variants that had no price, or the reason why there is no cost at all.
    """

    __slots__ = ()

    def __new__(
        cls,
        state: CostState,
        total: Decimal | None = None,
        parts: Parts = Parts(),  # noqa: B008 - it never changes
        *,
        table: str | None = None,
        model: str | None = None,
        unpriced: tuple[str, ...] = (),
    ) -> Self:
        """A cost whose parts are known, or that has none."""
        return tuple.__new__(cls, (state, total, table, model, unpriced, parts))

    @property
    def parts(self) -> Parts:
        """Input, output and lines; made when they are asked for, so ask once."""
        how = self.how
        return how if isinstance(how, Parts) else how[0](how[1], how[2])

    @property
    def input(self) -> Decimal | None:
        """What was paid for all that the model read."""
        return self.parts.input

    @property
    def output(self) -> Decimal | None:
        """What was paid for all that it wrote."""
        return self.parts.output

    @property
    def lines(self) -> tuple[CostLine, ...]:
        """The factors of the sum."""
        return self.parts.lines

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cost) and self[:5] == other[:5] and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self[:5])
