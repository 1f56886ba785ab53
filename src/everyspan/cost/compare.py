"""Two price tables side by side, and one looked over for what could not be right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from everyspan.cost.match import Clause, Json, Line, matches
from everyspan.cost.rates import FACTOR
from everyspan.cost.table import Table
from everyspan.errors import PricesError

LONGEST_IN_DAYS = 120
"""Beyond this age a table is said to be old: providers change prices every few weeks."""


def changes(old: Sequence[Line], new: Sequence[Line]) -> Iterator[tuple[str, str, str]]:
    """(`+`, `-` or `~`, model, what changed) for each model that is not the same in both, by name."""
    before, after = {(line[0], line[1]): line for line in old}, {(line[0], line[1]): line for line in new}
    for key in sorted(before.keys() | after.keys()):
        name = "/".join(key)
        if key not in before:
            yield "+", name, said(after[key])
        elif key not in after:
            yield "-", name, said(before[key])
        elif before[key] != after[key]:
            yield "~", name, f"{said(before[key])} -> {said(after[key])}"


def said(line: Line) -> str:
    """The newest prices of a line in words."""
    return in_words(line[3][-1][1])


def in_words(prices: dict[str, Json]) -> str:
    """Prices as `input_tokens 2.5, output_tokens 10 (20 above 200,000)`."""
    words = []
    for kind, price in prices.items():
        base, *steps = price if isinstance(price, list) else [price]
        higher = ", ".join(f"{each} above {start:,}" for start, each in steps)
        words.append(f"{kind} {base}" + (f" ({higher})" if higher else ""))
    return ", ".join(words) or "as the standard"


def read_table(path: Path) -> Table:
    """A price table from a file that nobody vouches for, every line of it parsed.

    Raises:
        PricesError: it is no price table, or one of its lines makes no sense.
    """
    try:
        table = Table.load(path)
        problems = list(problems_of(table))
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as unusable:
        raise PricesError(f"{path} is no price table ({type(unusable).__name__}: {unusable})") from None
    if problems:
        raise PricesError(f"{path} is no usable price table: {problems[0]}")
    return table


def problems_of(table: Table) -> Iterator[str]:
    """What in a table makes no sense: rules that match nothing or everything, prices that are no numbers."""
    for provider in table.providers:
        for line in provider.models:
            name = f"{line[0]}/{line[1]}"
            if line[0] != provider.id:
                yield f"{name} stands among the models of {provider.id}"
            if not _usable_rule(line[2]):
                yield f"{name} has a rule that cannot be used"
            dated, variants = line[3], line[4]
            for when, prices in [*(each[:2] for each in dated), *(each[1:3] for each in variants)]:
                yield from (f"{name}: {problem}" for problem in _entry_problems(when, prices, table))


def _entry_problems(when: Json, prices: dict[str, Json], table: Table) -> Iterator[str]:
    if isinstance(when, str):
        try:
            for each in filter(None, when.split("/")):
                date.fromisoformat(each)
        except ValueError:
            yield f"{when!r} is no date"
    for kind, price in prices.items():
        if kind not in table.units and kind != FACTOR:
            yield f"{kind!r} is no kind of unit"
        base, *steps = price if isinstance(price, list) else [price]
        for amount in (base, *(step[1] for step in steps)):
            try:
                usable = isinstance(amount, str) and Decimal(amount).is_finite() and Decimal(amount) >= 0
            except InvalidOperation:
                usable = False
            if not usable:
                yield f"{kind} costs {amount!r}"


def _usable_rule(rule: Clause) -> bool:
    try:
        matches(rule, "")
    except (re.error, ValueError, TypeError):
        return False
    return True


def age_in_days(table: Table, today: date) -> int:
    """Days since the table was compiled."""
    return (today - date.fromisoformat(table.built)).days


def as_lines(path: Path) -> list[Line]:
    """All lines of a table's file but its head."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
