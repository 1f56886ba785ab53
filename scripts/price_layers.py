"""What is laid over genai-prices: our corrections, and litellm's map where both know nothing."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from everyspan.cost import names
from everyspan.cost.contract import KINDS as SHORT_KINDS
from everyspan.cost.rates import Rate
from everyspan.cost.table import Table
from scripts import prices_litellm
from scripts.prices_litellm import Entry

OVERRIDES = Path(__file__).with_name("price_overrides.toml")
KINDS = frozenset(prices_litellm.KINDS.values())
"""Units that the layers may price, whether or not genai-prices uses them today."""

Json = Any

# Ids that name a place: genai-prices' rules may take them for the same model anywhere.
_PLACE = re.compile(r"^(?:us|eu|global|apac|[a-z]{2}(?:-gov)?-[a-z]+-\d)/")
_COMPARED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


@dataclass
class Layered:
    """The whole table, and what came of comparing its sources."""

    head: dict[str, Json]
    lines: list[Json]
    added: Counter[str] = field(default_factory=Counter)
    """Models that only litellm knows, by provider."""
    filled: Counter[str] = field(default_factory=Counter)
    """Variants that only litellm knows of models both know, by provider."""
    agreed: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    """(provider, litellm's id, kind, our price, litellm's), dollars for a million."""
    overridden: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(model, since when, prices, source)."""

    def summary(self) -> str:
        """The sources with their versions."""
        return ", ".join(f"{name} {number}" for name, number in self.head["sources"].items())

    def report(self, built: str) -> str:
        """`docs/price-sources.md`."""
        return "\n".join(_report(self, built)) + "\n"


def lay_over(head: dict[str, Json], lines: list[Json], *, day: str) -> Layered:
    """Add overrides, then litellm's models and variants; nothing that genai-prices says is changed elsewhere."""
    rows = tomllib.loads(OVERRIDES.read_text(encoding="utf-8"), parse_float=Decimal).get("override", [])
    seen = max((str(row["seen"]) for row in rows), default="none")
    head = {
        **head,
        "sources": {**head["sources"], "overrides": seen, prices_litellm.NAME: prices_litellm.map_version()},
    }
    by_provider: dict[str, list[Json]] = {each["id"]: [] for each in head["providers"]}
    for line in lines:
        by_provider[line[0]].append(line)
    layered = Layered(head, lines)
    for row in rows:
        layered.overridden += _override(row, by_provider)
    _join(layered, by_provider)
    _add_litellm(layered, by_provider, day)
    _join(layered, by_provider)
    return layered


def _join(layered: Layered, by_provider: dict[str, list[Json]]) -> None:
    layered.lines = [line for lines in by_provider.values() for line in lines]
    first = 0
    for about in layered.head["providers"]:
        count = len(by_provider[about["id"]])
        about["models"] = [first, count]
        first += count


def _override(
    row: dict[str, Json], by_provider: dict[str, list[Json]]
) -> Iterator[tuple[str, str, str, str]]:
    """Append a dated price to a line, or put a new line before all others of the provider."""
    prices = {SHORT_KINDS[name]: _price(value) for name, value in row["price"].items()}
    entry = [str(row["from"]), prices, "overrides", row["source"]]
    lines = by_provider[row["provider"]]
    for model in row["models"]:
        line = next((line for line in lines if line[1] == model), None)
        if line is None:
            line = [
                row["provider"],
                model,
                model,
                [[None, prices, "overrides", row["source"]]],
                [],
                "overrides",
            ]
            lines.insert(0, line)
        if row.get("instead_of"):
            # An alias that moved on: before its date it meant the model that the list still takes it for.
            older = next(each for each in lines if each[1] == row["instead_of"])
            line[3] = [*older[3], entry]
        elif line[3][-1] != entry and line[-1] != "overrides":
            line[3] = [*line[3], entry]
        said = ", ".join(f"{name} {value}" for name, value in row["price"].items())
        yield f"{row['provider']}/{model}", str(row["from"]), said, row["source"]


def _price(value: Json) -> Json:
    if isinstance(value, list):
        return [
            format(Decimal(value[0]), "f"),
            *[[start, format(Decimal(price), "f")] for start, price in value[1:]],
        ]
    return format(Decimal(value), "f")


def _add_litellm(layered: Layered, by_provider: dict[str, list[Json]], day: str) -> None:
    table = _table(layered)
    now_ns = int(datetime.fromisoformat(f"{day}T12:00Z").timestamp()) * 10**9
    known = {(line[0], line[1]) for line in layered.lines}
    for entry in prices_litellm.entries():
        if names.PROVIDERS.get(entry.provider, "") is None:
            continue
        payer = table.provider_id(entry.provider) or entry.provider
        found = (
            table.find(model=entry.model, provider=entry.provider, at_ns=now_ns)
            if payer in by_provider
            else None
        )
        if found is None or not found.kinds:
            _add_model(layered, by_provider, payer, entry, known)
            continue
        differences = list(_differences(entry, found.rates))
        if differences and _PLACE.match(entry.model):
            _add_model(layered, by_provider, payer, entry, known, first=True)
            continue
        layered.differences += [
            (payer, entry.model, *each) for each in (*differences, *_lacking(entry, found.rates))
        ]
        line = table.line(entry.model, provider=entry.provider)
        if not differences:
            layered.agreed[payer] += 1
            if line is not None and line[0] == payer:
                own = next(each for each in by_provider[payer] if each[1] == line[1])
                layered.filled[payer] += _fill_variants(own, entry, day)


def _table(layered: Layered) -> Table:
    head = {**layered.head, "built": "", "version": ""}
    return Table([json.dumps(head), *(json.dumps(line) for line in layered.lines)])


def _add_model(
    layered: Layered,
    by_provider: dict[str, list[Json]],
    payer: str,
    entry: Entry,
    known: set[tuple[str, str]],
    *,
    first: bool = False,
) -> None:
    if (payer, entry.model) in known:
        return
    known.add((payer, entry.model))
    if payer not in by_provider:
        about = {
            "id": payer,
            "api": "",
            "id_match": payer,
            "model_match": None,
            "fallback": [],
            "models": [0, 0],
        }
        layered.head["providers"] = [*layered.head["providers"], about]
        by_provider[payer] = []
    variants = [[context, None, prices] for context, prices in entry.variants]
    line = [payer, entry.model, entry.model, [[None, entry.prices]], variants, prices_litellm.NAME]
    by_provider[payer].insert(0 if first else len(by_provider[payer]), line)
    layered.added[payer] += 1


def _fill_variants(line: list[Json], entry: Entry, day: str) -> int:
    """Variants that the line lacks altogether, for as long as its price of today: nobody dates litellm's."""
    have = [variant[0] for variant in line[4]]
    changes = sorted(dated[0] for dated in line[3] if isinstance(dated[0], str))
    since = max((change for change in changes if change <= day), default="")
    until = min((change for change in changes if change > day), default="")
    when = f"{since}/{until}" if until else since or None
    new = [
        [context, when, prices, prices_litellm.NAME]
        for context, prices in entry.variants
        if context not in have
    ]
    line[4] = [*line[4], *new]
    return len(new)


def _differences(entry: Entry, rates: tuple[Rate, ...]) -> Iterator[tuple[str, str, str]]:
    ours = {rate.kind: rate for rate in rates}
    for kind in _COMPARED:
        theirs = entry.prices.get(kind)
        if theirs is None or kind not in ours:
            continue
        theirs = theirs if isinstance(theirs, list) else [theirs]
        rate = ours[kind]
        mine = [_million(rate.base), *[[start, _million(each)] for start, each in reversed(rate.tiers)]]
        if [_about(each) for each in mine] != [_about(each) for each in theirs]:
            yield kind, _as_text(mine), _as_text(theirs)


def _lacking(entry: Entry, rates: tuple[Rate, ...]) -> Iterator[tuple[str, str, str]]:
    """Cached tokens that only litellm prices: here they cost what the input does."""
    ours = {rate.kind for rate in rates}
    for kind in _COMPARED[2:]:
        theirs = entry.prices.get(kind)
        if theirs is not None and kind not in ours and theirs != entry.prices.get("input_tokens"):
            yield kind, "as input", _as_text(theirs if isinstance(theirs, list) else [theirs])


def _about(step: Json) -> Json:
    """A step of a price, its threshold to the thousand: "above 199,999" and "above 200,000" differ by one token."""
    return [round(step[0], -3), step[1]] if isinstance(step, list) else step


def _million(rate: Decimal) -> str:
    return format((rate * 1_000_000).normalize(), "f")


def _as_text(price: list[Json]) -> str:
    base, *tiers = price
    return " ".join([base, *(f"{each} above {start:,}" for start, each in tiers)])


def _report(layered: Layered, built: str) -> Iterator[str]:
    sources = layered.head["sources"]
    yield "# Where the price lists disagree"
    yield ""
    yield f"Written by `make prices` on {built} from {layered.summary()}. Dollars for a million tokens."
    yield "Which of two is right can not be told from the lists: we go by genai-prices, which dates its prices, but for"
    yield "the overrides. Thresholds that differ by one token count as equal."
    yield ""
    yield "## Counted"
    yield ""
    yield "| provider | agree | differ | only litellm has it | variants only litellm has |"
    yield "|---|---|---|---|---|"
    differ = Counter(provider for provider, _ in {(each[0], each[1]) for each in layered.differences})
    both = layered.agreed.keys() | differ.keys()
    for provider in sorted(both):
        cells = (
            layered.agreed[provider],
            differ[provider],
            layered.added[provider],
            layered.filled[provider],
        )
        yield f"| {provider} | {' | '.join(map(str, cells))} |"
    others = sum(count for provider, count in layered.added.items() if provider not in both)
    yield f"| {len(layered.added.keys() - both)} providers that only litellm has | 0 | 0 | {others} | 0 |"
    yield ""
    yield "## Overrides"
    yield ""
    yield f"Rows of `scripts/price_overrides.toml`, last looked at on {sources['overrides']}."
    yield ""
    yield "| model | since | price | source |"
    yield "|---|---|---|---|"
    for row in layered.overridden:
        yield f"| {' | '.join(row)} |"
    yield ""
    yield "## Differences"
    yield ""
    yield "| provider | litellm's id | kind | here | litellm |"
    yield "|---|---|---|---|---|"
    for each in sorted(layered.differences):
        yield f"| {' | '.join(each)} |"
