"""Our amounts against litellm's map, for every model of the makers called most; what differs is in the docs."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

from everyspan.cost.price import Purchase, price
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from scripts.prices_litellm import Entry, entries

NOON_NS = 1_795_348_800 * 10**9  # 2026-11-22 12:00, when the table was compiled
MAKERS = frozenset(
    {"openai", "anthropic", "gemini", "groq", "mistral", "deepseek", "xai", "cohere", "moonshot"}
)
REPORT = Path(__file__).resolve().parents[2] / "docs" / "price-sources.md"
DIFFERENCES = {
    row[1]
    for row in re.findall(r"^\| (\S+) \| (\S+) \| \w+_tokens \|", REPORT.read_text("utf-8"), re.MULTILINE)
}
MILLION = Decimal(1_000_000)


def expected(entry: Entry) -> Decimal:
    """What litellm's map makes of 1,000 tokens in, 600 of them cached where it prices that, and 100 out."""
    cached = 600 if "cache_read_tokens" in entry.prices else 0
    counts = {"input_tokens": 1_000 - cached, "cache_read_tokens": cached, "output_tokens": 100}
    total = Decimal(0)
    for kind, count in counts.items():
        said = entry.prices.get(kind, "0")
        total += Decimal(said[0] if isinstance(said, list) else said) * count / MILLION
    return total


def test_common_models_cost_what_litellm_says_or_the_difference_is_in_the_docs() -> None:
    seen: Counter[str] = Counter()
    surprising = []

    for entry in entries():
        if entry.provider not in MAKERS or "output_tokens" not in entry.prices:
            continue
        usage = Usage(
            input_tokens=1_000,
            output_tokens=100,
            cache_read_tokens=600 if "cache_read_tokens" in entry.prices else None,
        )
        cost = price(Purchase(usage=usage, model=entry.model, provider=entry.provider, at_ns=NOON_NS))
        seen[cost.state] += 1
        if cost.total != expected(entry) and entry.model not in DIFFERENCES:
            surprising.append((entry.provider, entry.model, cost.total, expected(entry), cost.unpriced))

    assert surprising == []
    assert seen[CostState.COMPUTED] > 250
    assert seen[CostState.UNPRICED] == 0
