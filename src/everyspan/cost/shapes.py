"""The shapes in which providers report usage, each read once, here, into `Usage`.

The dangerous difference is what the input total counts: OpenAI's includes cached tokens, Anthropic's does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from everyspan.cost import shapes_cloud
from everyspan.cost.reading import first, get, is_batch, region_of, tier_of, whole
from everyspan.model.usage import Usage, usage_of_totals


class UsageDialect(StrEnum):
    """Who wrote a usage object, by its shape."""

    CHAT = "chat"
    """OpenAI chat completions and everything litellm returns: `prompt_tokens`, caches included (litellm adds
    Anthropic's up: `AnthropicConfig.calculate_usage`, 1.106.2)."""
    RESPONSES = "responses"
    """OpenAI responses and realtime: `input_tokens`, caches included."""
    ANTHROPIC = "anthropic"
    """Anthropic messages: `input_tokens` without what was read from or written to a cache."""
    GEMINI = "gemini"
    """Gemini and Vertex AI: `promptTokenCount`, caches included; thoughts and tool prompts beside their totals."""
    BEDROCK = "bedrock"
    """Amazon Bedrock, Converse and InvokeModel: `inputTokens`, without caches."""
    COHERE = "cohere"
    """Cohere: `billed_units` beside `tokens`."""


# Reasoning stands beside the completion, not in it (xAI chat completions, Perplexity), unless the total disproves it.
_REASONING_APART = frozenset({"x-ai", "xai", "x_ai", "perplexity"})
_ANTHROPIC_KEYS = (
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation",
    "server_tool_use",
)


def dialect_of(raw: object, *, provider: str = "") -> UsageDialect | None:
    """The shape of a usage object, or None when it has no total that we know.

    `prompt_tokens` only occurs in CHAT. Among objects with `input_tokens`, the details that only OpenAI breaks out
    (`input_tokens_details`, `input_token_details`) or a `total_tokens` tell RESPONSES; the cache keys that only
    Anthropic puts at the top tell ANTHROPIC; then the provider's name decides. Without cache tokens both
    readings give the same counts.
    """
    if get(raw, "prompt_tokens") is not None or get(raw, "completion_tokens") is not None:
        return UsageDialect.CHAT
    if get(raw, "input_tokens") is None and get(raw, "output_tokens") is None:
        return _dialect_of_cloud(raw)
    if any(
        get(raw, name) is not None for name in ("input_tokens_details", "input_token_details", "total_tokens")
    ):
        return UsageDialect.RESPONSES
    anthropic = any(get(raw, name) is not None for name in _ANTHROPIC_KEYS) or "anthropic" in provider.lower()
    return UsageDialect.ANTHROPIC if anthropic else UsageDialect.RESPONSES


def _dialect_of_cloud(raw: object) -> UsageDialect | None:
    if any(get(raw, name) is not None for name in shapes_cloud.GEMINI_KEYS):
        return UsageDialect.GEMINI
    if any(get(raw, name) is not None for name in shapes_cloud.BEDROCK_KEYS):
        return UsageDialect.BEDROCK
    billed = get(raw, "billed_units") or get(raw, "tokens")
    return UsageDialect.COHERE if get(billed, "input_tokens") is not None else None


_PLAIN_CHAT = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    }
)
"""Usage that says nothing but its totals, which is what most calls report."""


def read_chat(raw: object, provider: str) -> Usage:
    """OpenAI chat completions, and litellm's superset of it."""
    inputs, outputs = get(raw, "prompt_tokens_details"), get(raw, "completion_tokens_details")
    if inputs is None and outputs is None and type(raw) is dict and raw.keys() <= _PLAIN_CHAT:
        return usage_of_totals(whole(raw.get("prompt_tokens")), whole(raw.get("completion_tokens")))
    written = get(inputs, "cache_creation_token_details")
    prompt, completion = whole(get(raw, "prompt_tokens")), whole(get(raw, "completion_tokens"))
    reasoning = first(get(outputs, "reasoning_tokens"), get(raw, "reasoning_tokens"))
    total = whole(get(raw, "total_tokens"))
    if reasoning and completion is not None:
        apart = (prompt or 0) + completion + reasoning
        if total == apart or (not total and provider.lower() in _REASONING_APART):
            completion += reasoning
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=first(
            get(inputs, "cached_tokens"),
            get(raw, "cache_read_input_tokens"),
            get(raw, "prompt_cache_hit_tokens"),
        ),
        cache_write_tokens=first(
            get(inputs, "cache_write_tokens"),
            get(inputs, "cache_creation_tokens"),
            get(raw, "cache_creation_input_tokens"),
        ),
        cache_write_1h_tokens=whole(get(written, "ephemeral_1h_input_tokens")),
        reasoning_tokens=reasoning,
        input_audio_tokens=whole(get(inputs, "audio_tokens")),
        output_audio_tokens=whole(get(outputs, "audio_tokens")),
        cache_read_audio_tokens=whole(get(get(inputs, "cached_tokens_details"), "audio_tokens")),
        cache_read_image_tokens=whole(get(get(inputs, "cached_tokens_details"), "image_tokens")),
        input_image_tokens=whole(get(inputs, "image_tokens")),
        output_image_tokens=whole(get(outputs, "image_tokens")),
        input_video_tokens=whole(get(inputs, "video_tokens")),
        output_video_tokens=whole(get(outputs, "video_tokens")),
        web_searches=first(
            get(get(raw, "server_tool_use"), "web_search_requests"),
            get(inputs, "web_search_requests"),
            get(raw, "num_search_queries"),
        ),
        service_tier=tier_of(raw),
        batch=is_batch(raw),
        region=region_of(raw),
    )


def read_responses(raw: object, provider: str) -> Usage:
    """OpenAI responses; realtime spells the details in the singular."""
    inputs = get(raw, "input_tokens_details") or get(raw, "input_token_details")
    outputs = get(raw, "output_tokens_details") or get(raw, "output_token_details")
    return Usage(
        input_tokens=whole(get(raw, "input_tokens")),
        output_tokens=whole(get(raw, "output_tokens")),
        cache_read_tokens=whole(get(inputs, "cached_tokens")),
        cache_write_tokens=whole(get(inputs, "cache_write_tokens")),
        reasoning_tokens=whole(get(outputs, "reasoning_tokens")),
        input_audio_tokens=whole(get(inputs, "audio_tokens")),
        output_audio_tokens=whole(get(outputs, "audio_tokens")),
        cache_read_audio_tokens=whole(get(get(inputs, "cached_tokens_details"), "audio_tokens")),
        cache_read_image_tokens=whole(get(get(inputs, "cached_tokens_details"), "image_tokens")),
        input_image_tokens=whole(get(inputs, "image_tokens")),
        output_image_tokens=whole(get(outputs, "image_tokens")),
        service_tier=tier_of(raw),
        batch=is_batch(raw),
        region=region_of(raw),
    )


def read_anthropic(raw: object, provider: str) -> Usage:
    """Anthropic messages. With `iterations` (compaction), the bill is their sum and not the totals beside them."""
    iterations = get(raw, "iterations")
    parts: Sequence[object] = iterations if isinstance(iterations, list | tuple) and iterations else (raw,)
    fresh, read = _sum(parts, "input_tokens"), _sum(parts, "cache_read_input_tokens")
    written, output = _sum(parts, "cache_creation_input_tokens"), _sum(parts, "output_tokens")
    by_lifetime = [get(part, "cache_creation") for part in parts]
    hour = _sum(by_lifetime, "ephemeral_1h_input_tokens")
    if written is None:
        lifetimes = (hour, _sum(by_lifetime, "ephemeral_5m_input_tokens"))
        written = None if lifetimes == (None, None) else sum(count or 0 for count in lifetimes)
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        reasoning_tokens=whole(get(get(raw, "output_tokens_details"), "thinking_tokens")),
        web_searches=whole(get(get(raw, "server_tool_use"), "web_search_requests")),
        service_tier=tier_of(raw),
        batch=is_batch(raw),
        region=region_of(raw),
    )


READERS: Mapping[UsageDialect, Callable[[object, str], Usage]] = {
    UsageDialect.CHAT: read_chat,
    UsageDialect.RESPONSES: read_responses,
    UsageDialect.ANTHROPIC: read_anthropic,
    UsageDialect.GEMINI: shapes_cloud.read_gemini,
    UsageDialect.BEDROCK: shapes_cloud.read_bedrock,
    UsageDialect.COHERE: shapes_cloud.read_cohere,
}

_WRAPPERS = ("usage", "usageMetadata", "usage_metadata", "amazon-bedrock-invocationMetrics", "meta")


def unwrapped(raw: object) -> object | None:
    """The usage inside a whole answer, such as Gemini's `usageMetadata`; None when there is none."""
    return next((inner for name in _WRAPPERS if (inner := get(raw, name)) is not None), None)


def _sum(parts: Sequence[object], name: str) -> int | None:
    counts = [count for part in parts if (count := whole(get(part, name))) is not None]
    return sum(counts) if counts else None
