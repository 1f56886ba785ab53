"""The price table: which rates hold for a model at a moment.

`prices.jsonl` is compiled by `scripts/build_prices.py`. Its first line names providers and units; every other
line is one model, and the lines of a provider are parsed when that provider is first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from everyspan.cost import names
from everyspan.cost.match import Json, Line, Provider, matches

PRICES = Path(__file__).with_name("prices.jsonl")

MAX_NAME_LENGTH = 256
"""Longer model or provider names are not looked up: they are no names, and each would stay in the cache."""

_MINUTE_NS = 60 * 1_000_000_000
_DAY_MINUTES = 24 * 60
_CACHED_NAMES = 4096
_CACHED_RATES = 4096
_TOTALS = ("input_tokens", "output_tokens")
_STANDARD_TIERS = frozenset({"", "auto", "default", "on_demand", "standard"})
_EPOCH_DAY = date(1970, 1, 1).toordinal()

EXACT = Context(prec=60, traps=[])
"""Arithmetic of our own: the program around us may have lowered the precision of its threads, or set traps."""


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
    plain: tuple[Rate, Rate] | None
    """The rates of the two totals, when a call that reports nothing else is charged by them alone."""


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A line of the table, as matched for one provider."""

    name: str
    dated: list[Json]
    variants: list[Json]
    by_minute: bool
    """True when its price depends on the time of day."""


class Table:
    """A price table in memory. Safe to share between threads and across a fork: no locks, and its answers never change.

    Make it with `load`. Lookups are cached, in bounded caches.
    """

    def __init__(self, lines: list[str]) -> None:
        head = json.loads(lines[0])
        self.name = f"{head['name']} {head['version']}"
        """Name and version, as recorded with every cost."""
        self.built: str = head["built"]
        """ISO date on which the table was compiled."""
        self._units: dict[str, Json] = head["units"]
        self._providers = [Provider(about, lines[1:]) for about in head["providers"]]
        self._by_id = {provider.id: provider for provider in self._providers}
        # Two lists can not know each other's answer: the caches belong to the instance.
        self._model = lru_cache(_CACHED_NAMES)(self._find_model)
        self._rates = lru_cache(_CACHED_RATES)(self._rates_of)

    @classmethod
    def load(cls, path: Path = PRICES) -> Table:
        """Read a table; takes a few milliseconds.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a price table.
        """
        return cls(path.read_text(encoding="utf-8").splitlines())

    def find(
        self,
        *,
        model: str,
        provider: str = "",
        server_address: str = "",
        at_ns: int,
        service_tier: str = "",
        batch: bool = False,
    ) -> Rates | None:
        """The rates for a model at a moment, or None when the table does not know it.

        The address decides who sends the bill when the table knows it, because libraries that speak OpenAI's
        protocol name every provider `openai`; then the provider; then a prefix of the model (`azure/gpt-4o`); then
        the model's own name. A variant that the table lacks is named in `Rates.missing`, with standard rates.
        """
        found = self._model(model, provider, server_address)
        if found is None:
            return None
        minute = at_ns // _MINUTE_NS
        moment = minute if found.by_minute else minute // _DAY_MINUTES * _DAY_MINUTES
        return self._rates(found, moment, service_tier, batch)

    def models(self) -> Iterator[tuple[str, str]]:
        """Every (provider, model) id of the table."""
        return ((line[0], line[1]) for provider in self._providers for line in provider.models)

    def _find_model(self, model: str, provider: str, server_address: str) -> _Model | None:
        if max(len(model), len(provider), len(server_address)) > MAX_NAME_LENGTH:
            return None
        model, provider = model.strip().lower(), provider.strip().lower()
        prefix, slash, rest = model.partition("/")
        payer = self._by_address(server_address) if server_address else None
        if payer is None and provider and provider not in names.ROUTERS:
            payer = self._by_name(provider)
            if payer is None:
                return None  # a provider that the table does not know must not be billed by another's list
        prefixed = self._by_name(prefix) if slash else None
        if payer is None and (prefixed is not None or (slash and prefix in names.ROUTERS)):
            # `litellm_proxy/anthropic/claude-…`: what follows the router's name is looked at afresh
            return self._find_model(rest, prefixed.id if prefixed else "", "")
        if payer is None and prefix in names.PROVIDERS:
            return None
        if payer is None:
            payer = next((each for each in self._providers if matches(each.model_match, model)), None)
        if payer is None:
            return None
        spellings = [model] if prefixed is not payer else [model, rest]
        return self._in_list(payer, spellings)

    def _by_address(self, server_address: str) -> Provider | None:
        url = names.url_of(server_address.strip().lower())
        return next((each for each in self._providers if each.api.match(url)), None)

    def _by_name(self, name: str) -> Provider | None:
        if name in names.PROVIDERS:
            return self._by_id.get(names.PROVIDERS[name] or "")
        if name in self._by_id:
            return self._by_id[name]
        for start, cloud in names.CLOUDS.items():
            if name.startswith(start):
                return self._by_id.get(cloud)
        return next((each for each in self._providers if matches(each.id_match, name)), None)

    def _in_list(self, payer: Provider, spellings: list[str]) -> _Model | None:
        if payer.id == "aws":
            spellings = [*spellings, *(names.without_bedrock_route(each) for each in spellings)]
        for spelling in (*spellings, *(names.with_dashed_date(each) for each in spellings)):
            line = payer.find(spelling)
            if line is not None:
                return _as_model(payer.id, line, variants=line[4])
            for other in payer.fallback:
                line = self._by_id[other].find(spelling)
                if line is not None:
                    # A cloud resells a model at its base price; batch and tier prices are the maker's own.
                    return _as_model(payer.id, line, variants=[])
        return None

    def _rates_of(self, model: _Model, minute: int, service_tier: str, batch: bool) -> Rates:
        in_force = (dated for when, dated in reversed(model.dated) if _holds(when, minute))
        prices: dict[str, Json] = next(in_force, model.dated[0][1])
        context = _context(service_tier, batch=batch)
        overrides: dict[str, Json] = {}
        met: set[tuple[str, str]] = set()
        for wanted, when, variant in model.variants:
            if wanted.items() <= context.items() and _holds(when, minute):
                overrides = {**variant, **overrides}
                met.update(wanted.items())
        prices = {**prices, **overrides}
        rates = tuple(self._vector(prices))
        return Rates(
            model=model.name,
            table=self.name,
            rates=rates,
            overlaps=tuple(self._overlaps(prices)),
            kinds=frozenset(prices),
            totals=tuple(rate.kind for rate in rates if rate.kind in _TOTALS and rate.base),
            missing=_missing(context, met),
            plain=_plain(rates),
        )

    def _vector(self, prices: Mapping[str, Json]) -> Iterator[Rate]:
        units = {kind: self._units[kind] for kind in prices}
        for kind in sorted(units, key=lambda kind: (-len(units[kind][1]), kind)):
            per, dimensions = units[kind]
            base, *tiers = prices[kind] if isinstance(prices[kind], list) else [prices[kind]]
            yield Rate(
                kind=kind,
                side=dimensions.get("direction", ""),
                base=EXACT.divide(Decimal(base), Decimal(per)),
                tiers=tuple(
                    (start, EXACT.divide(Decimal(price), Decimal(per))) for start, price in reversed(tiers)
                ),
                parts=tuple(other for other in units if other != kind and self._is_part(other, kind)),
            )

    def _overlaps(self, prices: Mapping[str, Json]) -> Iterator[tuple[str, str, str, str]]:
        for kind in prices:
            wholes = [other for other in prices if other != kind and self._is_part(kind, other)]
            pair = [one for one in wholes if not any(self._is_part(two, one) for two in wholes if two != one)]
            if len(pair) == 2:
                (whole,) = (one for one in wholes if one not in pair)
                yield kind, pair[0], pair[1], whole

    def _is_part(self, part: str, whole: str) -> bool:
        inner, outer = self._units[part][1], self._units[whole][1]
        return all(inner.get(dimension) == value for dimension, value in outer.items())


def _plain(rates: tuple[Rate, ...]) -> tuple[Rate, Rate] | None:
    by_kind = {rate.kind: rate for rate in rates}
    if "requests" in by_kind or not by_kind.keys() >= set(_TOTALS):
        return None
    return by_kind["input_tokens"], by_kind["output_tokens"]


def _as_model(provider: str, line: Line, *, variants: list[Json]) -> _Model:
    dated = line[3]
    by_minute = any(isinstance(entry[-2], list) for entry in (*dated, *variants))
    return _Model(name=f"{provider}/{line[1]}", dated=dated, variants=variants, by_minute=by_minute)


def _holds(when: Json, minute: int) -> bool:
    """Whether a price is in force at a minute since 1970: always, from a day on, or in a window of the UTC day."""
    if when is None:
        return True
    if isinstance(when, str):
        return minute // _DAY_MINUTES >= date.fromisoformat(when).toordinal() - _EPOCH_DAY
    first, end = int(when[0]), int(when[1])
    of_day = minute % _DAY_MINUTES
    return first <= of_day < end if first <= end else of_day >= first or of_day < end


def _context(service_tier: str, *, batch: bool) -> dict[str, str]:
    """What the table's variants are selected by. Anthropic reports batch as a tier, and `fast` as a speed."""
    tier = service_tier.strip().lower()
    context = {"processing": "batch"} if batch or tier == "batch" else {}
    if tier and tier != "batch":
        context["service_tier"] = "default" if tier in _STANDARD_TIERS else tier
    if tier == "fast":
        context["speed"] = "fast"
    return context


def _missing(context: Mapping[str, str], met: set[tuple[str, str]]) -> tuple[str, ...]:
    missing = []
    if "processing" in context and ("processing", "batch") not in met:
        missing.append("batch")
    tier = context.get("service_tier", "default")
    if tier != "default" and not {("service_tier", tier), ("speed", tier)} & met:
        missing.append(f"service_tier={tier}")
    return tuple(missing)
