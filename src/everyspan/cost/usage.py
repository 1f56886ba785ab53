"""Usage from whatever reports it, and back into the words of OpenTelemetry and of Langfuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter

from everyspan.cost.buckets import langfuse_usage_details, usage_from_buckets
from everyspan.cost.reading import first, tier_of
from everyspan.cost.shapes import READERS, UsageDialect, dialect_of, unwrapped
from everyspan.model.usage import Usage

__all__ = [
    "LANGFUSE_USAGE",
    "NAMES",
    "attributes_of",
    "langfuse_usage_details",
    "usage_from",
    "usage_from_attributes",
]

LANGFUSE_USAGE = "langfuse.observation.usage_details"

# For each field the attributes that carry it, ours first: `attributes_of` writes that one, all are read.
# OpenTelemetry GenAI (new and old names), `details.` (pydantic-ai, Logfire), OpenLLMetry `llm.usage.`,
# OpenInference `llm.token_count.`, Vercel's AI SDK `ai.usage.`.
NAMES: dict[str, tuple[str, ...]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.usage.prompt_tokens",
        "llm.token_count.prompt",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.cache_read_tokens",
        "gen_ai.usage.input_cached_tokens",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "llm.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "ai.usage.cachedInputTokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens",
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "llm.usage.cache_creation_input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "cache_write_1h_tokens": ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "ai.usage.reasoningTokens",
    ),
    "input_audio_tokens": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "output_audio_tokens": ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"),
    "cache_read_audio_tokens": ("gen_ai.usage.audio.cache_read.input_tokens",),
    "input_image_tokens": ("gen_ai.usage.image.input_tokens",),
    "output_image_tokens": ("gen_ai.usage.image.output_tokens",),
    "cache_read_image_tokens": ("gen_ai.usage.image.cache_read.input_tokens",),
    "input_video_tokens": ("gen_ai.usage.video.input_tokens",),
    "output_video_tokens": ("gen_ai.usage.video.output_tokens",),
    "requests": ("everyspan.usage.requests",),
    "web_searches": ("everyspan.usage.web_searches",),
}
_OURS = tuple(known[0] for known in NAMES.values())
_FIELD_OF = {each: name for name, known in NAMES.items() for each in known}
_counts = attrgetter(*NAMES)
_NO_USAGE = Usage()
_NOTHING = _counts(_NO_USAGE)

BATCH = "everyspan.usage.batch"
REGION = "everyspan.usage.region"
SERVICE_TIER = "everyspan.usage.service_tier"
_TIERS = (
    SERVICE_TIER,
    "openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.openai.response.service_tier",
    # What was asked for, where nobody said what it became.
    "openai.request.service_tier",
    "anthropic.request.service_tier",
    "gen_ai.openai.request.service_tier",
)
_ANY_TIER = frozenset(_TIERS)
_TOTALS = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")


def usage_from(raw: object, *, provider: str = "", dialect: UsageDialect | None = None) -> Usage | None:
    """Usage out of the object or JSON that a provider or litellm returned; None when it counts nothing we know.

    Say the `dialect` where it is known; otherwise `shapes.dialect_of` tells it from the keys. Counts are taken as
    they are, contradictions included: `Usage.problems` names them.
    """
    if raw is None or isinstance(raw, Usage):
        return raw
    dialect = dialect or dialect_of(raw, provider=provider)
    if dialect is None:
        return _from_answer(raw, provider)
    return _or_none(READERS[dialect](raw, provider))


def usage_from_attributes(attributes: Mapping[str, object]) -> Usage | None:
    """Usage out of a span's attributes, whoever wrote them; None when they count nothing.

    Langfuse's JSON wins over `gen_ai.usage.*`, as on Langfuse's own server, and `gen_ai.*` over the older conventions.
    """
    said_there = attributes.get(LANGFUSE_USAGE)
    usage = (_from_langfuse(said_there) if said_there is not None else None) or _NO_USAGE
    counts: dict[str, int | None] = dict.fromkeys(NAMES)
    # Most spans carry three or four of these ninety names: ask for the fields that something speaks of.
    for name in {_FIELD_OF[each] for each in _FIELD_OF.keys() & attributes.keys()}:
        counts[name] = first(*[attributes.get(each) for each in NAMES[name]])
    if usage.input_tokens is not None or usage.output_tokens is not None:
        # Searches and requests are in none of Langfuse's buckets: they come from the attributes in any case.
        counts |= {name: getattr(usage, name) for name in NAMES if name not in ("requests", "web_searches")}
    elif _without_caches(counts, attributes):
        caches = (counts["cache_read_tokens"] or 0) + (counts["cache_write_tokens"] or 0)
        counts["input_tokens"] = (counts["input_tokens"] or 0) + caches
    tier = None
    if not _ANY_TIER.isdisjoint(attributes):
        said = (attributes.get(name) for name in _TIERS)
        tier = next((text.strip().lower() for text in said if isinstance(text, str) and text), None)
    batch = attributes.get(BATCH) is True or tier == "batch"
    region = attributes.get(REGION)
    return _or_none(
        Usage(
            **counts,
            service_tier=None if tier == "batch" else tier,
            batch=batch,
            region=region if isinstance(region, str) and region else None,
        )
    )


def attributes_of(usage: Usage) -> dict[str, int | str]:
    """Usage as span attributes, one name for each field; what was not reported is left out."""
    found: dict[str, int | str] = {
        name: count for name, count in zip(_OURS, _counts(usage), strict=True) if count is not None
    }
    if usage.service_tier:
        found[SERVICE_TIER] = usage.service_tier
    if usage.batch:
        found[BATCH] = True
    if usage.region:
        found[REGION] = usage.region
    return found


def _from_answer(answer: object, provider: str) -> Usage | None:
    """Usage out of a whole answer, which names the tier beside it."""
    inner = unwrapped(answer)
    dialect = dialect_of(inner, provider=provider) if inner is not None else None
    usage = _or_none(READERS[dialect](inner, provider)) if dialect else None
    if usage is not None and usage.service_tier is None and tier_of(answer):
        usage = replace(usage, service_tier=tier_of(answer))
    return usage


def _from_langfuse(said: object) -> Usage | None:
    """Usage out of Langfuse's JSON: its buckets, or one of the provider shapes, which its SDKs pass through."""
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return None  # not JSON: the attribute itself is kept on the span for whoever looks
    if not isinstance(said, Mapping):
        return None
    if "input" not in said and "output" not in said and dialect_of(said):
        return usage_from(said)
    return usage_from_buckets(said)


def _without_caches(counts: Mapping[str, int | None], attributes: Mapping[str, object]) -> bool:
    """Whether an input total provably leaves the caches out, against the conventions."""
    caches = (counts["cache_read_tokens"] or 0) + (counts["cache_write_tokens"] or 0)
    fresh = counts["input_tokens"]
    if not caches or fresh is None:
        return False
    total = first(*(attributes.get(each) for each in _TOTALS))
    return caches > fresh or total == fresh + caches + (counts["output_tokens"] or 0)


def _or_none(usage: Usage) -> Usage | None:
    return None if _counts(usage) == _NOTHING else usage
