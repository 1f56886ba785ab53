"""litellm's price map, read as data: a second opinion, and prices for what genai-prices does not know.

litellm is not imported (that takes seconds); its JSON is read out of the installed package. There a price of 0, or
none, means that nobody looked it up: such models are left out, and so are those whose price depends on the weekday.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

NAME = "litellm"
FILE = "model_prices_and_context_window_backup.json"

Json = Any

KINDS = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cache_read_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "cache_read_input_audio_token_cost": "cache_read_audio_tokens",
    "input_cost_per_image_token": "input_image_tokens",
    "output_cost_per_image_token": "output_image_tokens",
    "cache_read_input_image_token_cost": "cache_read_image_tokens",
    "input_cost_per_video_token": "input_video_tokens",
    "output_cost_per_video_token": "output_video_tokens",
    "output_cost_per_reasoning_token": "reasoning_tokens",
}
_KEY = re.compile(
    rf"(?P<kind>{'|'.join(sorted(KINDS, key=len, reverse=True))})"
    r"(?:_above_(?P<above>\d+)k_tokens)?(?:_(?P<variant>batches|flex|priority))?"
)
_CONTEXTS = {
    None: {},
    "batches": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
_MODES = frozenset({"chat", "completion", "embedding", "responses", "realtime", "audio_transcription"})
_UPLIFTS = {
    "regional_processing_uplift_multiplier_eu": "eu",
    "regional_processing_uplift_multiplier_us": "us",
    "regional_endpoint_uplift_multiplier": "regional",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the map, in our units: dollars for a million tokens, as text."""

    provider: str
    """litellm's name."""
    model: str
    """In lower case, without litellm's prefix."""
    prices: dict[str, Json]
    variants: list[tuple[dict[str, str], dict[str, Json]]] = field(default_factory=list)
    page: str = ""
    """Where litellm says that it looked."""


def map_version() -> str:
    """The version of the installed litellm."""
    return version(NAME)


def entries() -> Iterator[Entry]:
    """Every model that has a price of tokens, in the map's order."""
    spec = find_spec(NAME)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("litellm is not installed; `make setup` installs what the lock says")
    path = Path(next(iter(spec.submodule_search_locations))) / FILE
    said: dict[str, Json] = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    for name, about in said.items():
        entry = _entry(name, about)
        if entry is not None:
            yield entry


def _entry(name: str, about: Mapping[str, Json]) -> Entry | None:
    provider = about.get("litellm_provider")
    if not isinstance(provider, str) or " " in provider or "off_peak_pricing" in about:
        return None
    if about.get("mode") not in _MODES:
        return None
    by_context = _prices(about)
    prices = by_context.pop((), {})
    if not prices.keys() & {"input_tokens", "output_tokens"}:
        return None
    variants = [(dict(context), rates) for context, rates in by_context.items()]
    variants += [({"region": region}, {"*": factor}) for region, factor in _uplifts(about)]
    prefix, slash, rest = name.partition("/")
    own = slash and (
        prefix == provider or provider.startswith(prefix) or prefix.startswith(provider.split("_")[0])
    )
    return Entry(
        provider=provider,
        model=(rest if own else name).lower(),
        prices=prices,
        variants=variants,
        page=str(about.get("source") or ""),
    )


def _prices(about: Mapping[str, Json]) -> dict[tuple[tuple[str, str], ...], dict[str, Json]]:
    """Prices by variant; those that rise with the context in the table's own way of writing them."""
    base: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    steps: dict[tuple[tuple[str, str], ...], dict[str, list[Json]]] = {}
    for key, value in _flattened(about):
        found = _KEY.fullmatch(key)
        if found is None or not isinstance(value, (Decimal, int)) or not value:
            continue
        context = tuple(_CONTEXTS[found["variant"]].items())
        kind = KINDS[found["kind"]]
        if found["above"]:
            step = [int(found["above"]) * 1000, _million(value)]
            steps.setdefault(context, {}).setdefault(kind, []).append(step)
        else:
            base.setdefault(context, {})[kind] = _million(value)
    return {
        context: {
            kind: [price, *sorted(steps[context][kind])] if kind in steps.get(context, {}) else price
            for kind, price in sorted(prices.items())
        }
        for context, prices in base.items()
    }


def _flattened(about: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    """The entry's keys, with `tiered_pricing` written as the keys that other entries use."""
    yield from about.items()
    tiers = about.get("tiered_pricing")
    for tier in tiers if isinstance(tiers, list) else ():
        start = tier.get("range", [0])[0]
        if start % 1000:
            continue
        for key, value in tier.items():
            if key in KINDS:
                yield (f"{key}_above_{int(start) // 1000}k_tokens" if start else key), value


def _uplifts(about: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for key, region in _UPLIFTS.items():
        if key in about:
            yield region, str(about[key])
    specific = about.get("provider_specific_entry")
    if isinstance(specific, dict) and "us" in specific:
        yield "us", str(specific["us"])


def _million(price: Decimal | int) -> str:
    return format((Decimal(price) * 1_000_000).normalize(), "f")
