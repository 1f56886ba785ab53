"""Rates: what one unit of each kind costs, for one model at one moment in one variant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import NamedTuple

from everyspan.cost.match import Json
from everyspan.model.money import CostState

EXACT = Context(prec=60, traps=[])
"""Arithmetic of our own: the program around us may have lowered the precision of its threads, or set traps."""

FACTOR = "*"
"""In place of a kind: what all prices of tokens are multiplied by."""

_TOTALS = ("input_tokens", "output_tokens")


class Rate(NamedTuple):
    """The price of one kind of unit, in US dollars for one."""

    kind: str
    """A field of `Usage`, or the table's own word for a unit that `Usage` does not hold."""
    side: str
    """`input`, `output`, or empty for what is neither, such as web searches."""
    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...]
    """(threshold, rate), highest first: above that many input tokens the rate holds for all of them."""
    parts: tuple[str, ...]
    """The priced kinds that are part of this one: their counts are subtracted from it."""


def rate_at(base: Decimal, tiers: tuple[tuple[int, Decimal], ...], input_tokens: int) -> Decimal:
    """The rate for a call that read this many input tokens: crossing a threshold changes it for all of them."""
    for threshold, rate in tiers:
        if input_tokens > threshold:
            return rate
    return base


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """All rates of one model at one moment and in one variant."""

    model: str
    """`provider/model` as the table names them."""
    table: str
    """Name and version of the lists the prices come from."""
    rates: tuple[Rate, ...]
    """Finest kinds first, so that a total can subtract its parts."""
    overlaps: tuple[tuple[str, str, str, str], ...]
    """(kind, one, other, whole): `kind` is what `one` and `other`, both parts of `whole`, have in common."""
    kinds: frozenset[str]
    """The kinds of `rates`."""
    totals: tuple[str, ...]
    """Those of the two totals that cost something: without their count there is no whole price."""
    missing: tuple[str, ...]
    """Variants that were asked for and that the table lacks, such as `service_tier=flex` or `batch`."""
    by_minute: bool
    """The prices depend on the time of day."""


class Quick(NamedTuple):
    """The rates of the common kinds, for calls that stay below every threshold and use nothing else."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None
    """None where these are paid as the total that they are part of; so are the two after it."""
    cache_write: Decimal | None
    reasoning: Decimal | None
    most: int
    """Input tokens from which on another rate may hold."""
    state: CostState
    table: str
    model: str
    missing: tuple[str, ...]


class Units:
    """The kinds of thing that have prices: how many one price buys, and which is part of which."""

    def __init__(self, units: Mapping[str, Json]) -> None:
        self._units = units

    def __contains__(self, kind: object) -> bool:
        return kind in self._units

    def rates(
        self,
        prices: Mapping[str, Json],
        *,
        factor: Decimal,
        model: str,
        table: str,
        missing: tuple[str, ...],
        by_minute: bool,
    ) -> Rates:
        """Prices as the table writes them, made ready for arithmetic."""
        vector = tuple(self._vector(prices, factor))
        return Rates(
            model=model,
            table=table,
            rates=vector,
            overlaps=tuple(self._overlaps(prices)),
            kinds=frozenset(prices),
            totals=tuple(rate.kind for rate in vector if rate.kind in _TOTALS and rate.base),
            missing=missing,
            by_minute=by_minute,
        )

    def _vector(self, prices: Mapping[str, Json], factor: Decimal) -> Iterator[Rate]:
        units = {kind: self._units[kind] for kind in prices}
        for kind in sorted(units, key=lambda kind: (-len(units[kind][1]), kind)):
            per, dimensions = units[kind]
            base, *tiers = prices[kind] if isinstance(prices[kind], list) else [prices[kind]]
            times = factor if dimensions.get("family") == "tokens" else Decimal(1)
            yield Rate(
                kind=kind,
                side=dimensions.get("direction", ""),
                base=_each(base, per, times),
                tiers=tuple((start, _each(price, per, times)) for start, price in reversed(tiers)),
                parts=tuple(other for other in units if other != kind and self._is_part(other, kind)),
            )

    def _overlaps(self, prices: Mapping[str, Json]) -> Iterator[tuple[str, str, str, str]]:
        for kind in prices:
            wholes = [other for other in prices if other != kind and self._is_part(kind, other)]
            pair = [one for one in wholes if not any(self._is_part(two, one) for two in wholes if two != one)]
            if len(pair) == 2:
                whole = next((one for one in wholes if one not in pair), "")
                yield kind, pair[0], pair[1], whole

    def _is_part(self, part: str, whole: str) -> bool:
        inner, outer = self._units[part][1], self._units[whole][1]
        return all(inner.get(dimension) == value for dimension, value in outer.items())


def _each(price: str, per: int, times: Decimal) -> Decimal:
    each = EXACT.divide(Decimal(price), Decimal(per))
    return each if times == 1 else EXACT.multiply(each, times)
