"""Both sides of a bill, divided as the bill is: by project or key, and by tier."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from everyspan.cost.reconcile import MONEY, TOKENS, Row
from everyspan.cost.reconcile import reconcile as join
from everyspan.cost.statement import Item
from everyspan.errors import CommandError

Recorded = Callable[..., Sequence[dict[str, Any]]]
"""Groups of recorded calls by model and day; takes `project`, `tier` and `by`."""

_STANDARD, _ALL_TIERS = "standard", "(all tiers)"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SIDE = ("calls", "input_tokens", "output_tokens", "cost")


def pairs_of(said: Sequence[str]) -> list[tuple[str, str]]:
    """(project, account) of each `PROJECT=ACCOUNT`.

    Raises:
        CommandError: one is not written so.
    """
    pairs = []
    for each in said:
        project, separator, account = each.partition("=")
        if not (project and separator and account):
            raise CommandError(f"--map is {each!r}; it takes PROJECT=ACCOUNT, such as default=proj_abc")
        pairs.append((project, account))
    return pairs


def is_of(item: Item, account: str) -> bool:
    """Whether a line of the bill is of this project, workspace or key; every line is of none."""
    return account in ("", item.account, *item.account.split("/"))


def by_account(
    recorded: Recorded, items: Sequence[Item], pairs: Sequence[tuple[str, str]], *, by_tier: bool
) -> list[Row]:
    """One project's calls beside one account's lines, for each pair; then the lines that are of none of them."""
    rows: list[Row] = []
    for project, account in pairs:
        mine = [item for item in items if is_of(item, account)]
        found = _by_tier(recorded, mine, project) if by_tier else _all_tiers(recorded, mine, project)
        rows += (replace(row, account=account) for row in found)
    others: dict[str, list[Item]] = {}
    for item in items:
        if not any(is_of(item, account) for _, account in pairs):
            others.setdefault(item.account, []).append(item)
    for account, lines in sorted(others.items()):
        rows += (replace(row, account=account) for row in join([], lines))
    return sorted(rows, key=lambda row: (row.day, row.model, row.account, row.tier))


def _all_tiers(recorded: Recorded, items: Sequence[Item], project: str) -> list[Row]:
    return join(recorded(project=project), items)


def _by_tier(recorded: Recorded, items: Sequence[Item], project: str) -> list[Row]:
    """Tokens by tier, and money too where the bill divides it so; else the money of all tiers together."""
    money = [item for item in items if item.cost is not None]
    divided = any(item.tier for item in money)
    of_tiers = items if divided else [item for item in items if item.cost is None]
    compared = {TOKENS, MONEY} if divided else {TOKENS}
    tiers = {item.tier or _STANDARD for item in of_tiers}
    tiers |= {str(group["value"]) for group in recorded(project=project, by="tier") if group["calls"]}
    rows: list[Row] = []
    for tier in sorted(tiers) if of_tiers else ():
        lines = [item for item in of_tiers if (item.tier or _STANDARD) == tier]
        found = join(recorded(project=project, tier=tier), lines, sides=compared)
        rows += (replace(row, tier=tier, compared=compared) for row in found)
    if money and not divided:
        found = join(recorded(project=project), money)
        rows += (replace(row, tier=_ALL_TIERS, compared={MONEY}) for row in found)
    return rows


def as_csv(rows: Sequence[Row]) -> str:
    """A line for each row, for spreadsheets."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    sides = [f"{side}_{name}" for side in ("recorded", "billed") for name in _SIDE]
    table.writerow(["day", "model", "account", "tier", *sides, "difference", "likely"])
    for row in rows:
        counts = [getattr(side, name) for side in (row.recorded, row.billed) for name in _SIDE]
        table.writerow(
            [
                row.day,
                *map(_safe, (row.model, row.account, row.tier)),
                *("" if each is None else each if isinstance(each, int) else f"{each:f}" for each in counts),
                "" if row.difference is None else f"{row.difference:f}",
                row.reason(),
            ]
        )
    return written.getvalue()


def _safe(text: str) -> str:
    # A cell that begins so is a formula to a spreadsheet.
    return f"'{text}" if text.startswith(_FORMULA) else text
