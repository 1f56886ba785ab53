"""Prices of the user's own: what a contract says instead of the list, and models that are on no list.

A TOML or JSON file, named by EVERYSPAN_PRICES. `docs/cost.md` describes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from everyspan.cost.match import Json
from everyspan.errors import PricesError

KINDS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
    "input_image": "input_image_tokens",
    "output_image": "output_image_tokens",
    "requests": "requests",
    "web_searches": "web_searches",
}
"""What a row may give a price for: dollars for a million tokens, or for a thousand requests or searches."""

_VARIANTS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
_KEYS = frozenset({"provider", "model", "from", "source", "price", "factor", *_VARIANTS})
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """What holds from a day on: prices, or a factor on those of the list."""

    since_day: int
    """Days since 1970; 0 for always."""
    source: str
    prices: dict[str, Json] | None
    variants: list[Json]
    factor: Decimal


@dataclass(frozen=True, slots=True)
class ContractRow:
    """All that was agreed for one provider and model, oldest first."""

    model: str
    """A name in lower case, or the beginning of names and a `*`."""
    agreed: tuple[Agreed, ...]

    def at(self, day: int) -> Agreed | None:
        """What holds on a day since 1970; None while nothing does."""
        return next((each for each in reversed(self.agreed) if each.since_day <= day), None)

    def covers(self, name: str) -> bool:
        """Whether a model's name is meant."""
        return name.startswith(self.model[:-1]) if self.model.endswith("*") else name == self.model


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A file of the user's prices; empty when there is none."""

    name: str = "contract"
    """`contract` and the first digits of the file's SHA-256: which version of it was in force."""
    rows: Mapping[str, tuple[ContractRow, ...]] = field(default_factory=dict)
    """By provider; exact names first."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Providers by the host that answers for them."""
    problems: tuple[str, ...] = ()
    """Why the file that was named cannot be used; every cost then says so."""

    def providers(self) -> Iterator[str]:
        """Every provider that a row or an address names."""
        return iter(dict.fromkeys((*self.rows, *self.addresses.values())))

    def find(self, provider: str, names: Sequence[str]) -> ContractRow | None:
        """The row for a model that may go by several names."""
        rows = self.rows.get(provider, ())
        return next((row for row in rows for name in names if row.covers(name)), None)


def read_contract(path: Path) -> Contract:
    """The user's prices in a TOML file, or JSON when its name ends so.

    Raises:
        PricesError: it cannot be read, or a row is not understood; the message says which and why.
    """
    # Most programs have no such file, and need not load what reads it.
    import hashlib
    import json
    import tomllib

    try:
        text = path.read_bytes()
        if path.suffix.lower() == ".json":
            said = json.loads(text, parse_float=Decimal)
        else:
            said = tomllib.loads(text.decode("utf-8"), parse_float=Decimal)
    except (OSError, ValueError, RecursionError) as unreadable:
        raise PricesError(f"the prices in {path} cannot be read: {unreadable}") from None
    if not isinstance(said, dict) or not set(said) <= {"row", "address"}:
        raise PricesError(f"{path} holds more than [[row]] and [address]; see docs/cost.md for its format")
    grouped: dict[str, dict[str, list[Agreed]]] = {}
    for number, row in enumerate(_listed(said.get("row", []), path), start=1):
        provider, model, agreed = _agreed(row, where=f"row {number} of {path}")
        grouped.setdefault(provider, {}).setdefault(model, []).append(agreed)
    addresses = said.get("address", {})
    if not isinstance(addresses, dict) or not all(isinstance(each, str) for each in addresses.values()):
        raise PricesError(f'[address] in {path} takes lines such as "llm.example.com" = "provider"')
    return Contract(
        name=f"contract {hashlib.sha256(text).hexdigest()[:8]}",
        rows={provider: _rows(models) for provider, models in grouped.items()},
        addresses={host.lower(): provider.lower() for host, provider in addresses.items()},
    )


def _rows(models: Mapping[str, list[Agreed]]) -> tuple[ContractRow, ...]:
    # An exact name before the beginning of one, and of two beginnings the longer.
    order = sorted(models, key=lambda model: (model.endswith("*"), -len(model), model))
    return tuple(
        ContractRow(model, tuple(sorted(models[model], key=lambda each: each.since_day))) for model in order
    )


def _listed(rows: Any, path: Path) -> list[Any]:
    if not isinstance(rows, list):
        raise PricesError(f"'row' in {path} is not a list; write [[row]] in double brackets")
    return rows


def _agreed(row: Any, *, where: str) -> tuple[str, str, Agreed]:
    if not isinstance(row, dict) or not {"provider", "model"} <= set(row):
        raise PricesError(f"{where} needs a provider and a model")
    unknown = sorted(set(row) - _KEYS)
    if unknown:
        raise PricesError(f"{where} says {unknown[0]!r}; it takes {', '.join(sorted(_KEYS))}")
    if ("price" in row) == ("factor" in row):
        raise PricesError(f"{where} needs either a price or a factor on the list price")
    variants = [
        [context, None, _prices(row[name], f"{name} in {where}")]
        for name, context in _VARIANTS.items()
        if name in row
    ]
    if variants and "price" not in row:
        raise PricesError(
            f"{where} gives a factor, which holds for batch, flex and priority too; leave those out"
        )
    agreed = Agreed(
        since_day=_day(row.get("from"), where),
        source=str(row.get("source") or "no source given"),
        prices=_prices(row["price"], where) if "price" in row else None,
        variants=variants,
        factor=_number(row.get("factor", 1), f"factor in {where}"),
    )
    return str(row["provider"]).strip().lower(), str(row["model"]).strip().lower(), agreed


def _prices(said: Any, where: str) -> dict[str, Json]:
    if not isinstance(said, dict) or not said or not set(said) <= set(KINDS):
        raise PricesError(f"a price in {where} takes dollars for a million of: {', '.join(KINDS)}")
    return {KINDS[name]: format(_number(value, f"{name} in {where}"), "f") for name, value in said.items()}


def _number(value: Any, where: str) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, (str, int, Decimal)) else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or not 0 <= number < 10**9:
        raise PricesError(f"{where} is {value!r}; it takes a number that is not negative")
    return number


def _day(value: Any, where: str) -> int:
    if value is None:
        return 0
    try:
        day = value if type(value) is date else date.fromisoformat(str(value))
    except ValueError:
        raise PricesError(f"'from' in {where} is {value!r}; it takes a date such as 2026-01-31") from None
    return max(day.toordinal() - _EPOCH_DAY, 0)
