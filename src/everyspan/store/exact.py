"""Money that loses no digit: decimal text at rest, exact decimal arithmetic on the way.

Integers of a fixed fraction of a dollar would either overflow SQLite's 64 bits (10^-18: at 9 dollars) or cut
prices that go below 10^-12 dollars. A sum that could not be exact raises instead of rounding.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal, Inexact, InvalidOperation, Overflow, Subnormal, Underflow

DECIMALS = 30
"""Most digits behind the point that an amount may have."""

MOST = Decimal(10) ** 12
"""Amounts below this are kept: a million million dollars."""

# 12 digits before the point and 30 behind it leave room for 10^38 summands.
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation, Overflow, Underflow, Subnormal])


def to_text(amount: Decimal | None) -> str | None:
    """Plain decimal digits without an exponent, every digit kept; None stays None."""
    return None if amount is None else format(amount, "f")


def from_text(text: str | None) -> Decimal | None:
    """The amount that `to_text` wrote."""
    return None if text is None else Decimal(text)


def add(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The exact sum; None means unknown and adds nothing."""
    if one is None or other is None:
        return other if one is None else one
    return _EXACT.add(one, other)


def add_text(one: str | None, other: str | None) -> str | None:
    """`add` on decimal text, for use inside SQL."""
    return to_text(add(from_text(one), from_text(other)))


def subtract(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """The exact difference; None means unknown and takes nothing away."""
    # Not `-other`: that rounds to the 28 digits of the default context.
    return add(one, None if other is None else other.copy_negate())


def fits(amount: Decimal) -> bool:
    """Whether an amount can be kept exactly and summed without limit."""
    if not amount.is_finite():
        return False
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -DECIMALS and abs(amount) < MOST and exponent <= 12


class TextSum:
    """An SQL aggregate: the exact sum of decimal texts, NULL when there is none."""

    def __init__(self) -> None:
        self._sum: Decimal | None = None

    def step(self, text: str | None) -> None:
        """Take one value of the group."""
        if text is not None:
            amount = Decimal(text)
            self._sum = amount if self._sum is None else _EXACT.add(self._sum, amount)

    def finalize(self) -> str | None:
        """The sum as decimal text."""
        return to_text(self._sum)


class LeastText:
    """An SQL aggregate: the least of decimal texts, NULL when there is none."""

    def __init__(self) -> None:
        self._found: Decimal | None = None

    def step(self, text: str | None) -> None:
        """Take one value of the group."""
        if text is not None:
            amount = Decimal(text)
            self._found = amount if self._found is None else self._better(self._found, amount)

    def finalize(self) -> str | None:
        """The amount as decimal text."""
        return to_text(self._found)

    def _better(self, one: Decimal, other: Decimal) -> Decimal:
        return min(one, other)


class MostText(LeastText):
    """The most, in the same way."""

    def _better(self, one: Decimal, other: Decimal) -> Decimal:
        return max(one, other)


_MOST_NANO = (1 << 63) - 1


def nano(amount: Decimal) -> int:
    """Whole billionths of a dollar, rounded down and held within 64 bits: grows with the amount, so an index can tell
    which amounts need not be looked at."""
    whole = int(_EXACT.scaleb(amount, 9).to_integral_value(ROUND_FLOOR))
    return max(-_MOST_NANO, min(whole, _MOST_NANO))


def nano_of_text(text: str | None) -> int | None:
    """`nano` on decimal text, for use inside SQL."""
    return None if text is None else nano(Decimal(text))


def compare_text(one: str | None, other: str) -> int | None:
    """-1, 0 or 1 as the first amount is less than, equal to or more than the second, for use inside SQL."""
    return None if one is None else int(Decimal(one).compare(Decimal(other)))
