"""What the fake provider charges: a second opinion that shares no line with `everyspan.cost`.

The bill a test compares with must not come from the code under test, so tokens, rates and the sum are spelled out
here once more, for a handful of models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

_MILLION = Decimal(1_000_000)
_DATE = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Tokens by what they cost; no token is in two fields. `input` is their inclusive sum."""

    fresh_input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0

    @property
    def input(self) -> int:
        """Everything that was read: fresh, from a cache, and written to one."""
        return self.fresh_input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            fresh_input=self.fresh_input + other.fresh_input,
            cache_read=self.cache_read + other.cache_read,
            cache_write_5m=self.cache_write_5m + other.cache_write_5m,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            output=self.output + other.output,
        )


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for a million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal = Decimal(0)
    cache_write_1h: Decimal = Decimal(0)

    def cost(self, tokens: Tokens) -> Decimal:
        """Exact US dollars; no rounding at any step."""
        sum_in_millionths = (
            self.input * tokens.fresh_input
            + self.cache_read * tokens.cache_read
            + self.cache_write_5m * tokens.cache_write_5m
            + self.cache_write_1h * tokens.cache_write_1h
            + self.output * tokens.output
        )
        return sum_in_millionths / _MILLION


def _rates(*dollars: str) -> Rates:
    return Rates(*(Decimal(each) for each in dollars))


LIST_PRICES: Mapping[str, Rates] = {
    # Anthropic, platform.claude.com/docs/en/about-claude/pricing: base input, output, cache hit, 5m write, 1h write.
    "claude-haiku-4-5": _rates("1", "5", "0.10", "1.25", "2"),
    "claude-sonnet-4-5": _rates("3", "15", "0.30", "3.75", "6"),
    # Bedrock, aws.amazon.com/bedrock/pricing: by a regional inference profile a tenth more than by the global one.
    "us.anthropic.claude-haiku-4-5-20251001-v1:0": _rates("1.10", "5.50", "0.11", "1.375", "2.20"),
    "global.anthropic.claude-haiku-4-5-20251001-v1:0": _rates("1", "5", "0.10", "1.25", "2"),
    # OpenAI, developers.openai.com/api/docs/pricing: input, output, cached input. Writing to the cache is free.
    "gpt-4o-mini": _rates("0.15", "0.60", "0.075"),
    "gpt-4o": _rates("2.50", "10", "1.25"),
    "gpt-3.5-turbo-instruct": _rates("1.50", "2", "1.50"),
    "text-embedding-3-small": _rates("0.02", "0", "0.02"),
    # Google, ai.google.dev/gemini-api/docs/pricing: input, output, cached input.
    "gemini-2.5-flash": _rates("0.30", "2.50", "0.03"),
}
"""List prices by the name without its date, as of November 2026."""


def undated(model: str) -> str:
    """`claude-haiku-4-5` for `claude-haiku-4-5-20251001`: the name that price lists use."""
    return _DATE.sub("", model)
