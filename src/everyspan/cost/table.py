"""The price table: which rates hold for a model at a moment.

`prices.jsonl` is compiled by `scripts/build_prices.py`. Its first line names providers and units; every other
line is one model, and the lines of a provider are parsed when that provider is first asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from everyspan.cost import names
from everyspan.cost.contract import Contract, ContractRow
from everyspan.cost.match import Json, Line, Provider, matches
from everyspan.cost.rates import EXACT, FACTOR, Quick, Rates, Units

PRICES = Path(__file__).with_name("prices.jsonl")

MAX_NAME_LENGTH = 256
"""Longer model or provider names are not looked up: they are no names, and each would stay in the cache."""

_MINUTE_NS = 60 * 1_000_000_000
_DAY_MINUTES = 24 * 60
DAY_NS = _DAY_MINUTES * _MINUTE_NS
_CACHED_NAMES = 4096
_CACHED_RATES = 4096
_STANDARD_TIERS = frozenset({"", "auto", "default", "on_demand", "standard"})
_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """A line of the table, as matched for one provider, with what a contract of the user's lays over it."""

    name: str
    source: str
    """The list it comes from, unless an entry names another."""
    dated: list[Json]
    variants: list[Json]
    by_minute: bool
    """True when its price depends on the time of day."""
    contract: ContractRow | None = None


class Table:
    """A price table in memory. Safe to share between threads and across a fork: no locks, and its answers never change.

    Make it with `load`. Lookups are cached, in bounded caches.
    """

    def __init__(self, lines: list[str], contract: Contract | None = None) -> None:
        head = json.loads(lines[0])
        self.name = f"{head['name']} {head['version']}"
        """Name and version of the whole."""
        self.built: str = head["built"]
        """ISO date on which the table was compiled."""
        self.sources: Mapping[str, str] = head["sources"]
        """The versions of the lists it was compiled from."""
        self._source = next(iter(self.sources), "")
        self.units = Units(head["units"])
        self.providers = [Provider(about, lines[1:]) for about in head["providers"]]
        self._by_id = {provider.id: provider for provider in self.providers}
        self.contract = contract or Contract()
        """What the user pays that is not on the list."""
        self._contracts = {self._contract_id(name): name for name in self.contract.providers()}
        self.quick: dict[tuple[object, ...], Quick] = {}
        """For `price`: what it found for calls like one that it has seen, by all that decides but the tokens."""
        # Two lists can not know each other's answer: the caches belong to the instance.
        self._of_day = lru_cache(_CACHED_RATES)(self._rates_of_day)
        self._model = lru_cache(_CACHED_NAMES)(self._find_model)
        self._rates = lru_cache(_CACHED_RATES)(self._rates_of)

    @classmethod
    def load(cls, path: Path = PRICES, contract: Contract | None = None) -> Table:
        """Read a table; takes a few milliseconds.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a price table.
        """
        return cls(path.read_text(encoding="utf-8").splitlines(), contract)

    def find(
        self,
        *,
        model: str,
        provider: str = "",
        server_address: str = "",
        at_ns: int,
        service_tier: str = "",
        batch: bool = False,
        region: str = "",
    ) -> Rates | None:
        """The rates for a model at a moment, or None when the table does not know it.

        The address decides who sends the bill when the table knows it, because libraries that speak OpenAI's
        protocol name every provider `openai`; then the provider; then a prefix of the model (`azure/gpt-4o`); then
        the model's own name. A variant that the table lacks is named in `Rates.missing`, with standard rates.
        """
        if (
            len(model) > MAX_NAME_LENGTH
            or len(provider) > MAX_NAME_LENGTH
            or len(server_address) > MAX_NAME_LENGTH
        ):
            return None
        asked = (model, provider, server_address, service_tier, batch, region)
        found = self._of_day(at_ns // DAY_NS, *asked)
        if found is not None and found.by_minute:
            known = self._model(model, provider, server_address)
            assert known is not None
            return self._rates(known, at_ns // _MINUTE_NS, service_tier, batch, region)
        return found

    def lines(self) -> Iterator[Line]:
        """Every line, by provider in matching order."""
        return (line for provider in self.providers for line in provider.models)

    def line(self, model: str, *, provider: str = "") -> Line | None:
        """The line that a model is matched to, in the list of whoever sends the bill or of the maker it resells."""
        payer, spellings = self._payer(model.strip().lower(), provider.strip().lower(), "")
        found = self._in_list(payer, spellings) if payer else None
        return found[1] if found else None

    def provider_id(self, name: str) -> str | None:
        """The table's own name for a provider; None when it has no list of it."""
        found = self._by_name(name.strip().lower())
        return found.id if found else None

    def source_of(self, line: Line) -> str:
        """The list that a line comes from."""
        return str(line[5]) if len(line) > 5 else self._source

    def _rates_of_day(
        self,
        day: int,
        model: str,
        provider: str,
        server_address: str,
        service_tier: str,
        batch: bool,
        region: str,
    ) -> Rates | None:
        found = self._model(model, provider, server_address)
        if found is None:
            return None
        region = region or names.region_of(server_address)
        return self._rates(found, day * _DAY_MINUTES, service_tier, batch, region)

    def _find_model(self, model: str, provider: str, server_address: str) -> _Model | None:
        model, provider = model.strip().lower(), provider.strip().lower()
        agreed = self.contract.addresses.get(names.host_of(server_address)) if server_address else None
        payer, spellings = self._payer(model, agreed or provider, "" if agreed else server_address)
        found = self._in_list(payer, spellings) if payer else None
        if payer is not None and payer.id in self._contracts:
            row = self.contract.find(self._contracts[payer.id], spellings)
            if row is not None:
                return self._under_contract(payer, row, found)
        return self._as_model(payer.id, *found) if payer and found else None

    def _payer(self, model: str, provider: str, server_address: str) -> tuple[Provider | None, list[str]]:
        """Who sends the bill, and under which names it may list the model."""
        prefix, slash, rest = model.partition("/")
        payer = self._by_address(server_address) if server_address else None
        if payer is None and provider and provider not in names.ROUTERS:
            payer = self._by_name(provider)
            if payer is None:
                return (
                    None,
                    [],
                )  # a provider that the table does not know must not be billed by another's list
        prefixed = self._by_name(prefix) if slash else None
        if payer is None and (prefixed is not None or (slash and prefix in names.ROUTERS)):
            # `litellm_proxy/anthropic/claude-…`: what follows the router's name is looked at afresh
            return self._payer(rest, prefixed.id if prefixed else "", "")
        if payer is None and prefix in names.PROVIDERS:
            return None, []
        if payer is None:
            payer = next((each for each in self.providers if matches(each.model_match, model)), None)
        return payer, [model] if prefixed is not payer else [model, rest]

    def _by_address(self, server_address: str) -> Provider | None:
        url = names.url_of(server_address.strip().lower())
        return next((each for each in self.providers if each.answers_at(url)), None)

    def _by_name(self, name: str) -> Provider | None:
        if name in self._by_id:
            return self._by_id[name]
        if name in names.PROVIDERS:
            return self._by_id.get(names.PROVIDERS[name] or "")
        for start, cloud in names.CLOUDS.items():
            if name.startswith(start):
                return self._by_id.get(cloud)
        return next((each for each in self.providers if matches(each.id_match, name)), None)

    def _contract_id(self, name: str) -> str:
        """The id of a contract's provider, which may be nobody the table knows: a model of the user's own."""
        known = self._by_name(name)
        if known is None:
            known = self._by_id[name] = Provider.private(name)
            self.providers.append(known)
        return known.id

    def _in_list(self, payer: Provider, spellings: Sequence[str]) -> tuple[bool, Line] | None:
        """Whether the line is the payer's own, and the line."""
        if payer.id == "aws":
            spellings = [*spellings, *(names.without_bedrock_route(each) for each in spellings)]
        for spelling in (*spellings, *(names.with_dashed_date(each) for each in spellings)):
            line = payer.find(spelling)
            if line is not None:
                return True, line
            for other in payer.fallback:
                line = self._by_id[other].find(spelling)
                if line is not None:
                    return False, line
        return None

    def _as_model(self, payer: str, own: bool, line: Line) -> _Model:
        # A cloud resells a model at its base price; batch and tier prices are the maker's own.
        variants = line[4] if own else []
        by_minute = any(
            isinstance(when, list) for when in (*(d[0] for d in line[3]), *(v[1] for v in variants))
        )
        return _Model(f"{payer}/{line[1]}", self.source_of(line), line[3], variants, by_minute)

    def _under_contract(
        self, payer: Provider, row: ContractRow, listed: tuple[bool, Line] | None
    ) -> _Model | None:
        below = self._as_model(payer.id, *listed) if listed else None
        if below is None:
            return _Model(f"{payer.id}/{row.model}", "", [], [], False, row)
        return _Model(below.name, below.source, below.dated, below.variants, below.by_minute, row)

    def _rates_of(self, model: _Model, minute: int, service_tier: str, batch: bool, region: str) -> Rates:
        context = _context(service_tier, batch=batch, region=region)
        agreed = model.contract.at(minute // _DAY_MINUTES) if model.contract else None
        dated, variants, factor = model.dated, model.variants, Decimal(1)
        if agreed is not None and agreed.prices is not None:
            dated, variants = [[None, agreed.prices]], agreed.variants
        elif agreed is not None:
            factor = agreed.factor
        in_force = next((entry for entry in reversed(dated) if _holds(entry[0], minute)), None)
        entry: list[Json] = in_force or (dated[0] if dated else [None, {}])
        sources = dict.fromkeys(entry[2:3] or [model.source])
        overrides: dict[str, Json] = {}
        met: set[tuple[str, str]] = set()
        for wanted, when, variant, *source in variants:
            if wanted.items() <= context.items() and _holds(when, minute):
                overrides = {**variant, **overrides}
                met.update(wanted.items())
                sources.update(dict.fromkeys(source[:1]))
                if FACTOR in variant:
                    factor = EXACT.multiply(factor, Decimal(variant[FACTOR]))
        overrides.pop(FACTOR, None)
        listed = " + ".join(f"{source} {self.sources.get(source, '')}".strip() for source in sources)
        return self.units.rates(
            {**entry[1], **overrides},
            factor=factor,
            model=model.name,
            table=f"{self.contract.name}: {agreed.source}" if agreed else listed,
            missing=(*_missing(context, met), *self.contract.problems),
            by_minute=model.by_minute,
        )


def _holds(when: Json, minute: int) -> bool:
    """Whether a price is in force at a minute since 1970: always, from a day on (and to another, which is the first
    without it), or in a window of the UTC day."""
    if when is None:
        return True
    if isinstance(when, str):
        day = minute // _DAY_MINUTES
        start, _, end = when.partition("/")
        return (not start or day >= _day(start)) and (not end or day < _day(end))
    opens, closes = int(when[0]), int(when[1])
    of_day = minute % _DAY_MINUTES
    return opens <= of_day < closes if opens <= closes else of_day >= opens or of_day < closes


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal() - _EPOCH_DAY


def _context(service_tier: str, *, batch: bool, region: str) -> dict[str, str]:
    """What the table's variants are selected by. Anthropic reports batch as a tier, and `fast` as a speed."""
    tier = service_tier.strip().lower()
    context = {"processing": "batch"} if batch or tier == "batch" else {}
    if tier and tier != "batch":
        context["service_tier"] = "default" if tier in _STANDARD_TIERS else tier
    if tier == "fast":
        context["speed"] = "fast"
    if region:
        context["region"] = region
    return context


def _missing(context: Mapping[str, str], met: set[tuple[str, str]]) -> tuple[str, ...]:
    # A region without a price of its own costs what the others do: only those that cost more are listed.
    missing = []
    if "processing" in context and ("processing", "batch") not in met:
        missing.append("batch")
    tier = context.get("service_tier", "default")
    if tier != "default" and not {("service_tier", tier), ("speed", tier)} & met:
        missing.append(f"service_tier={tier}")
    return tuple(missing)
