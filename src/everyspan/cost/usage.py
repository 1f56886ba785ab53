"""Usage from whatever reports it, and back into the words of OpenTelemetry and of Langfuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from operator import attrgetter

from everyspan.cost.shapes import READERS, UsageDialect, dialect_of, first, whole
from everyspan.model.usage import Usage

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
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.usage.completion_tokens",
        "llm.token_count.completion",
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
    "requests": ("everyspan.usage.requests",),
    "web_searches": ("everyspan.usage.web_searches",),
}
_OURS = tuple(known[0] for known in NAMES.values())
_counts = attrgetter(*NAMES)
_NOTHING = _counts(Usage())

BATCH = "everyspan.usage.batch"
SERVICE_TIER = "everyspan.usage.service_tier"
_TIERS = (
    SERVICE_TIER,
    "openai.response.service_tier",
    "anthropic.response.service_tier",
    "gen_ai.openai.response.service_tier",
)
_TOTALS = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")

# Langfuse's buckets do not overlap. Each with the fields that its tokens belong to.
_BUCKETS: dict[str, tuple[str, ...]] = {
    "input": ("input_tokens",),
    "input_cached_tokens": ("input_tokens", "cache_read_tokens"),
    "input_cached_audio_tokens": (
        "input_tokens",
        "cache_read_tokens",
        "input_audio_tokens",
        "cache_read_audio_tokens",
    ),
    "input_cache_creation": ("input_tokens", "cache_write_tokens"),
    "input_cache_creation_1h": ("input_tokens", "cache_write_tokens", "cache_write_1h_tokens"),
    "input_audio_tokens": ("input_tokens", "input_audio_tokens"),
    "input_image_tokens": ("input_tokens", "input_image_tokens"),
    "output": ("output_tokens",),
    "output_reasoning_tokens": ("output_tokens", "reasoning_tokens"),
    "output_audio_tokens": ("output_tokens", "output_audio_tokens"),
    "output_image_tokens": ("output_tokens", "output_image_tokens"),
}
_BUCKET_ALIASES = {
    "cache_creation_input_tokens": "input_cache_creation",
    "cache_read_input_tokens": "input_cached_tokens",
    "cache_write_tokens": "input_cache_creation",
    "input_audio": "input_audio_tokens",
    "input_cache_creation_5m": "input_cache_creation",
    "input_cache_read": "input_cached_tokens",
    "input_image": "input_image_tokens",
    "output_audio": "output_audio_tokens",
    "output_reasoning": "output_reasoning_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}


def usage_from(raw: object, *, provider: str = "", dialect: UsageDialect | None = None) -> Usage | None:
    """Usage out of the object or JSON that a provider or litellm returned; None when it counts nothing we know.

    Say the `dialect` where it is known; otherwise `shapes.dialect_of` tells it from the keys. Counts are taken as
    they are, contradictions included: `Usage.problems` names them.
    """
    if raw is None or isinstance(raw, Usage):
        return raw
    dialect = dialect or dialect_of(raw, provider=provider)
    return _or_none(READERS[dialect](raw, provider)) if dialect else None


def usage_from_attributes(attributes: Mapping[str, object]) -> Usage | None:
    """Usage out of a span's attributes, whoever wrote them; None when they count nothing.

    Langfuse's JSON wins over `gen_ai.usage.*`, as on Langfuse's own server, and `gen_ai.*` over the older conventions.
    """
    usage = _from_langfuse(attributes.get(LANGFUSE_USAGE)) or Usage()
    counts = {name: first(*(attributes.get(each) for each in names)) for name, names in NAMES.items()}
    tokens_known = usage.input_tokens is not None or usage.output_tokens is not None
    if not tokens_known and _without_caches(counts, first(*(attributes.get(each) for each in _TOTALS))):
        caches = (counts["cache_read_tokens"] or 0) + (counts["cache_write_tokens"] or 0)
        counts["input_tokens"] = (counts["input_tokens"] or 0) + caches
    for name in NAMES:
        # Searches and requests are in none of Langfuse's buckets: they come from the attributes in any case.
        if tokens_known and name not in ("requests", "web_searches"):
            counts[name] = getattr(usage, name)
    tier = next((tier for name in _TIERS if isinstance(tier := attributes.get(name), str) and tier), None)
    tier = tier.strip().lower() if tier else None
    batch = attributes.get(BATCH) is True or tier == "batch"
    return _or_none(Usage(**counts, service_tier=None if tier == "batch" else tier, batch=batch))


def attributes_of(usage: Usage) -> dict[str, int | str]:
    """Usage as span attributes, one name for each field; what was not reported is left out."""
    found: dict[str, int | str] = {
        name: count for name, count in zip(_OURS, _counts(usage), strict=True) if count is not None
    }
    if usage.service_tier:
        found[SERVICE_TIER] = usage.service_tier
    if usage.batch:
        found[BATCH] = True
    return found


def langfuse_usage_details(usage: Usage) -> dict[str, int]:
    """Usage in Langfuse's buckets, which do not overlap and add up to `total`; empty buckets are left out.

    A Langfuse server prices each bucket by its name and adds them up, so a token in two of them is paid twice.
    """
    details: dict[str, int] = {}
    both_cached = usage.cache_read_audio_tokens or 0
    hour = usage.cache_write_1h_tokens or 0
    input_parts = {
        "input_cached_audio_tokens": both_cached,
        "input_cached_tokens": (usage.cache_read_tokens or 0) - both_cached,
        "input_cache_creation_1h": hour,
        "input_cache_creation": (usage.cache_write_tokens or 0) - hour,
        "input_audio_tokens": (usage.input_audio_tokens or 0) - both_cached,
        "input_image_tokens": usage.input_image_tokens or 0,
    }
    output_parts = {
        "output_audio_tokens": usage.output_audio_tokens or 0,
        "output_image_tokens": usage.output_image_tokens or 0,
        "output_reasoning_tokens": usage.reasoning_tokens or 0,
    }
    for side, total, parts in (
        ("input", usage.input_tokens, input_parts),
        ("output", usage.output_tokens, output_parts),
    ):
        rest = max(total or 0, 0)
        for bucket, count in parts.items():
            # Parts may overlap in ways nobody reported: what is counted once is taken from the rest.
            count = max(0, min(count, rest)) if total is not None else max(0, count)
            rest -= count
            if count:
                details[bucket] = count
        if total is not None:
            details[side] = rest
    details["total"] = sum(details.values())
    return details


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
    buckets: dict[str, int] = {}
    for name, value in said.items():
        bucket, count = _BUCKET_ALIASES.get(name, name), whole(value)
        if bucket in _BUCKETS and count is not None:
            # Two names of one bucket: five-minute and one-hour writes may be parts, equal ones are a repetition.
            buckets[bucket] = count if buckets.get(bucket) == count else buckets.get(bucket, 0) + count
    if not buckets:
        return None
    counts: dict[str, int] = {}
    for bucket, count in buckets.items():
        for name in _BUCKETS[bucket]:
            counts[name] = counts.get(name, 0) + count
    counted_twice = _counted_twice(buckets, total=whole(said.get("total")))
    for name, count in counted_twice.items():
        counts[name] -= count
    return Usage(**counts, service_tier=None, batch=False)


def _counted_twice(buckets: Mapping[str, int], *, total: int | None) -> dict[str, int]:
    """What to take off the two totals because buckets overlap, where Langfuse's own `total` proves it.

    People put inclusive totals into `input` and `output`; litellm 1.106.2 leaves cache writes in `input` and
    sends them once more (`integrations/langfuse/langfuse.py`).
    """
    excess = sum(buckets.values()) - (total or 0)
    if not total or excess <= 0:
        return {}
    inputs, outputs, written = 0, 0, 0
    for bucket, count in buckets.items():
        fields_of = _BUCKETS[bucket]
        if len(fields_of) > 1:
            inputs += count if "input_tokens" in fields_of else 0
            outputs += count if "output_tokens" in fields_of else 0
            written += count if "cache_write_tokens" in fields_of else 0
    for from_input, from_output in ((inputs, outputs), (inputs, 0), (0, outputs), (written, 0)):
        if excess == from_input + from_output:
            twice = {"input_tokens": from_input, "output_tokens": from_output}
            return {name: count for name, count in twice.items() if count}
    return {}


def _without_caches(counts: Mapping[str, int | None], total: int | None) -> bool:
    """Whether an input total provably leaves the caches out, against the conventions."""
    caches = (counts["cache_read_tokens"] or 0) + (counts["cache_write_tokens"] or 0)
    fresh = counts["input_tokens"]
    if not caches or fresh is None:
        return False
    return caches > fresh or total == fresh + caches + (counts["output_tokens"] or 0)


def _or_none(usage: Usage) -> Usage | None:
    return None if _counts(usage) == _NOTHING else usage
