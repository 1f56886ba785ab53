"""Langfuse's buckets of usage: they do not overlap, and its server prices each by its name and adds them up."""

from __future__ import annotations

from collections.abc import Mapping

from everyspan.cost.reading import whole
from everyspan.model.usage import Usage

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
    "input_cached_image_tokens": (
        "input_tokens",
        "cache_read_tokens",
        "input_image_tokens",
        "cache_read_image_tokens",
    ),
    "input_image_tokens": ("input_tokens", "input_image_tokens"),
    "input_video_tokens": ("input_tokens", "input_video_tokens"),
    "output": ("output_tokens",),
    "output_reasoning_tokens": ("output_tokens", "reasoning_tokens"),
    "output_audio_tokens": ("output_tokens", "output_audio_tokens"),
    "output_image_tokens": ("output_tokens", "output_image_tokens"),
    "output_video_tokens": ("output_tokens", "output_video_tokens"),
}
BUCKET_OF = {fields[-1]: bucket for bucket, fields in _BUCKETS.items()}
"""By kind of usage, the bucket in which its tokens are that belong to no finer kind."""

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


def langfuse_usage_details(usage: Usage) -> dict[str, int]:
    """Usage in Langfuse's buckets, which do not overlap and add up to `total`; empty buckets are left out.

    A Langfuse server prices each bucket by its name and adds them up, so a token in two of them is paid twice.
    """
    details: dict[str, int] = {}
    cached_audio, cached_image = usage.cache_read_audio_tokens or 0, usage.cache_read_image_tokens or 0
    hour = usage.cache_write_1h_tokens or 0
    input_parts = {
        "input_cached_audio_tokens": cached_audio,
        "input_cached_image_tokens": cached_image,
        "input_cached_tokens": (usage.cache_read_tokens or 0) - cached_audio - cached_image,
        "input_cache_creation_1h": hour,
        "input_cache_creation": (usage.cache_write_tokens or 0) - hour,
        "input_audio_tokens": (usage.input_audio_tokens or 0) - cached_audio,
        "input_image_tokens": (usage.input_image_tokens or 0) - cached_image,
        "input_video_tokens": usage.input_video_tokens or 0,
    }
    output_parts = {
        "output_audio_tokens": usage.output_audio_tokens or 0,
        "output_image_tokens": usage.output_image_tokens or 0,
        "output_video_tokens": usage.output_video_tokens or 0,
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


def usage_from_buckets(said: Mapping[str, object]) -> Usage | None:
    """Usage out of Langfuse's buckets, by any of their names; None when none of them is there."""
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
    return Usage(**counts, service_tier=None, batch=False, region=None)


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
