"""Compile the price table of `src/everyspan/cost/prices.jsonl` out of the packages that the lock pins.

    python -m scripts.build_prices [--check] [--date YYYY-MM-DD]

genai-prices comes first; then what `price_overrides.toml` corrects, each row with its source; then litellm's map for
models and variants that neither knows. The output depends only on these three and on the date: the same input gives
the same bytes, and the date in place stays while nothing else changes. Prints the models that were added, removed or
repriced, because a wrong price looks exactly like a right one, and writes where the sources disagree into
`docs/price-sources.md`. With `--check` nothing is written and a difference exits with 1.

The layout is described in `docs/cost.md`; `everyspan.cost.table` reads it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data import providers as source_providers
from genai_prices.data_units import unit_data

from scripts import price_layers

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "src" / "everyspan" / "cost" / "prices.jsonl"
REPORT = ROOT / "docs" / "price-sources.md"
SOURCE = "genai-prices"
LICENCE = (
    "genai-prices, Copyright (c) Pydantic Services Inc. 2025 to present, MIT; "
    "litellm, Copyright (c) 2023 Berri AI, MIT; see prices.LICENSE.txt"
)

# Our word for a unit, where it differs from the source's.
UNIT_NAMES = {
    "cache_audio_read_tokens": "cache_read_audio_tokens",
    "cache_image_read_tokens": "cache_read_image_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
}

Json = Any


def main() -> int:
    """Build, report what changed, write unless `--check`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 when the file would change"
    )
    parser.add_argument("--date", help="date of the build, instead of today (UTC) when something changed")
    arguments = parser.parse_args()

    old = OUTPUT.read_text(encoding="utf-8").splitlines() if OUTPUT.exists() else []
    in_place = str(json.loads(old[0])["built"]) if old else ""
    day = arguments.date or in_place
    layered, lines = _compiled(day) if day else (None, [])
    if layered is None or (lines != old and not arguments.date):
        day = datetime.now(UTC).date().isoformat()
        layered, lines = _compiled(day)
    for change in changes(old[1:], lines[1:]):
        print(change)
    report = layered.report(day)
    print(f"{layered.summary()}: {len(lines) - 1} models of {len(layered.head['providers'])} providers")
    reported = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    if lines == old and report == reported:
        print("nothing changed")
        return 0
    if arguments.check:
        print(f"{OUTPUT.name} or {REPORT.name} is not what the sources compile to; run this without --check")
        return 1
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    REPORT.write_text(report, encoding="utf-8")
    return 0


def _compiled(day: str) -> tuple[price_layers.Layered, list[str]]:
    """The table as it is on a day: which prices the sources are compared at depends on it."""
    layered = price_layers.lay_over(*compile_table(), day=day)
    head = {**layered.head, "built": day, "version": day}
    return layered, [_dump(head), *(_dump(line) for line in layered.lines)]


def compile_table() -> tuple[dict[str, Json], list[Json]]:
    """The head line, still without its date, and one line for each model, grouped by provider in matching order."""
    providers: list[Json] = []
    models: list[Json] = []
    units: set[str] = set()
    for provider in source_providers:
        providers.append(
            {
                "id": provider.id,
                "api": provider.api_pattern,
                "id_match": _clause(provider.provider_match),
                "model_match": _clause(provider.model_match),
                "fallback": provider.fallback_model_providers or [],
                "models": [len(models), len(provider.models)],
            }
        )
        for model in provider.models:
            models.append([provider.id, model.id, _clause(model.match), _prices(model), _variants(model)])
            units.update(_units_of(models[-1]))
    head = {
        "name": "everyspan",
        "version": "",
        "built": "",
        "sources": {SOURCE: version(SOURCE)},
        "licence": LICENCE,
        "units": {name: unit for name, unit in _units() if name in units or name in price_layers.KINDS},
        "providers": providers,
    }
    return head, models


def changes(old: list[str], new: list[str]) -> Iterator[str]:
    """One line for each model that was added, removed or changed, with both versions of a changed one."""
    before = {tuple(json.loads(line)[:2]): line for line in old}
    after = {tuple(json.loads(line)[:2]): line for line in new}
    for key in sorted(before.keys() | after.keys()):
        name = "/".join(key)
        if key not in before:
            yield f"+ {name}"
        elif key not in after:
            yield f"- {name}"
        elif before[key] != after[key]:
            yield f"~ {name}\n    {before[key]}\n    {after[key]}"


def _units() -> Iterator[tuple[str, list[Json]]]:
    """Each unit under our name: how many of it one price buys, and the dimensions that say what is part of what."""
    for name, unit in unit_data.items():
        yield UNIT_NAMES.get(name, name), [unit["per"], dict(unit["dimensions"])]


_UNIT_OF_PRICE = {unit["price_key"]: UNIT_NAMES.get(name, name) for name, unit in unit_data.items()}


def _units_of(model: list[Json]) -> set[str]:
    dated, variants = model[3], model[4]
    return {
        unit for entry in [*(each[1] for each in dated), *(each[2] for each in variants)] for unit in entry
    }


def _clause(clause: Any) -> Json:
    """A match rule as a list: operator, operands. Equality, by far the most frequent, is the bare string."""
    if clause is None:
        return None
    kind = type(clause).__name__
    if kind == "ClauseEquals":
        return clause.equals.lower()
    if kind == "ClauseRegex":
        return ["~", clause.regex]  # its case is the source's business: it runs on the lower-cased text
    if kind in ("ClauseOr", "ClauseAnd"):
        operator, parts = ("|", clause.or_) if kind == "ClauseOr" else ("&", clause.and_)
        return [operator, *(_clause(part) for part in parts)]
    operator, attribute = {
        "ClauseStartsWith": ("^", "starts_with"),
        "ClauseEndsWith": ("$", "ends_with"),
        "ClauseContains": ("*", "contains"),
    }[kind]
    return [operator, getattr(clause, attribute).lower()]


def _prices(model: Any) -> list[Json]:
    """`[when, prices]` pairs; the last one whose `when` holds counts, else the first."""
    if not isinstance(model.prices, list):
        return [[None, _rates(model.prices)]]
    return [[_when(entry.constraint), _rates(entry.prices)] for entry in model.prices]


def _variants(model: Any) -> list[Json]:
    """`[context, when, prices]`; one without prices says that the variant exists and costs what the standard does."""
    return [[dict(v.when), _when(v.constraint), _rates(v.prices)] for v in model.price_variants or ()]


def _when(constraint: Any) -> Json:
    """None for always, an ISO date for "from that day, UTC", `[from, to)` minutes of the UTC day for a window."""
    if constraint is None:
        return None
    if hasattr(constraint, "start_date"):
        return constraint.start_date.isoformat()
    return [_minute(constraint.start_time), _minute(constraint.end_time)]


def _minute(value: time) -> int:
    utc = value.replace(tzinfo=value.tzinfo or UTC)
    moved = datetime.combine(date(1970, 1, 2), utc).astimezone(UTC)
    if moved.second or moved.microsecond:
        raise SystemExit(f"{value} is not a whole minute; the table keeps windows in minutes")
    return moved.hour * 60 + moved.minute


def _rates(prices: Any) -> dict[str, Json]:
    """Price strings by unit: `"2.5"`, or `["1.25", [200000, "2.5"]]` when it rises above a number of input tokens."""
    found = {}
    for key, price in prices.__dict__.items():
        if price is None:
            continue
        tiers = getattr(price, "tiers", None)
        base = price if tiers is None else price.base
        steps = [[tier.start, _plain(tier.price)] for tier in tiers or ()]
        found[_UNIT_OF_PRICE[key]] = [_plain(base), *steps] if steps else _plain(base)
    return dict(sorted(found.items()))


def _plain(price: Decimal) -> str:
    return format(price.normalize(), "f")


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())
