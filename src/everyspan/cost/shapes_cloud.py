"""Usage as Google, Amazon Bedrock and Cohere report it; `shapes` tells whose it is."""

from __future__ import annotations

from everyspan.cost.reading import by_key, first, get, tier_of, whole
from everyspan.model.usage import Usage

GEMINI_KEYS = (
    "promptTokenCount",
    "prompt_token_count",
    "candidatesTokenCount",
    "candidates_token_count",
    "totalTokenCount",
    "total_token_count",
)
BEDROCK_KEYS = (
    "inputTokens",
    "outputTokens",
    "inputTokenCount",
    "outputTokenCount",
    "generation_token_count",
    "inputTextTokenCount",
)

# Vertex AI names what was bought in `trafficType`: ON_DEMAND, ON_DEMAND_PRIORITY, ON_DEMAND_FLEX.
_TRAFFIC = {"on_demand_priority": "priority", "on_demand_flex": "flex"}


def read_gemini(raw: object, provider: str) -> Usage:
    """`usageMetadata` of `generateContent`, as JSON or from Google's SDK; thoughts and tool prompts are added."""
    if get(raw, "generation_token_count") is not None:
        return read_bedrock(raw, provider)  # Llama on Bedrock says `prompt_token_count` too
    prompt, tool = _named(raw, "promptTokenCount"), _named(raw, "toolUsePromptTokenCount")
    answer, thoughts = _named(raw, "candidatesTokenCount"), _named(raw, "thoughtsTokenCount")
    if answer is None:
        answer = _named(raw, "responseTokenCount")  # the Live API's word
    inputs = _modalities(raw, "promptTokensDetails")
    for modality, count in _modalities(raw, "toolUsePromptTokensDetails").items():
        inputs[modality] = inputs.get(modality, 0) + count
    cached = _modalities(raw, "cacheTokensDetails")
    outputs = _modalities(raw, "candidatesTokensDetails") or _modalities(raw, "responseTokensDetails")
    return Usage(
        input_tokens=_sum(prompt, tool),
        output_tokens=_sum(answer, thoughts),
        cache_read_tokens=_named(raw, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
        input_audio_tokens=inputs.get("audio"),
        output_audio_tokens=outputs.get("audio"),
        cache_read_audio_tokens=cached.get("audio"),
        # A page of a document is read, and paid, as an image.
        input_image_tokens=_sum(inputs.get("image"), inputs.get("document")),
        output_image_tokens=outputs.get("image"),
        cache_read_image_tokens=_sum(cached.get("image"), cached.get("document")),
        input_video_tokens=inputs.get("video"),
        output_video_tokens=outputs.get("video"),
        service_tier=_gemini_tier(raw),
    )


def read_bedrock(raw: object, provider: str) -> Usage:
    """Converse's `usage`, the invocation metrics of InvokeModel, and the counts of Llama and Titan bodies.

    Caches are beside the input, as Anthropic has them.
    """
    fresh = first(
        get(raw, "inputTokens"),
        get(raw, "inputTokenCount"),
        get(raw, "prompt_token_count"),
        get(raw, "inputTextTokenCount"),
    )
    read = first(get(raw, "cacheReadInputTokens"), get(raw, "cacheReadInputTokenCount"))
    written = first(get(raw, "cacheWriteInputTokens"), get(raw, "cacheWriteInputTokenCount"))
    lifetimes = by_key(get(raw, "cacheDetails"), key="ttl", count="inputTokens")
    if written is None and lifetimes:
        written = sum(lifetimes.values())
    output = first(get(raw, "outputTokens"), get(raw, "outputTokenCount"), get(raw, "generation_token_count"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=_titan_output(raw) if output is None else output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=lifetimes.get("1h"),
        service_tier=tier_of(raw),
    )


def read_cohere(raw: object, provider: str) -> Usage:
    """Cohere bills `billed_units`; `tokens` also counts what it adds to the prompt itself."""
    billed, counted = get(raw, "billed_units"), get(raw, "tokens")
    return Usage(
        input_tokens=first(get(billed, "input_tokens"), get(counted, "input_tokens")),
        output_tokens=first(get(billed, "output_tokens"), get(counted, "output_tokens")),
    )


def _named(raw: object, name: str) -> int | None:
    """A count under its name in JSON (`promptTokenCount`) or in Python (`prompt_token_count`)."""
    return first(get(raw, name), get(raw, _SNAKE[name]))


def _modalities(raw: object, name: str) -> dict[str, int]:
    details = get(raw, name) or get(raw, _SNAKE[name])
    found = by_key(details, key="modality", count="tokenCount")
    return found or by_key(details, key="modality", count="token_count")


def _gemini_tier(raw: object) -> str | None:
    said = get(raw, "trafficType") or get(raw, "traffic_type")
    said = getattr(said, "value", said)
    named = _TRAFFIC.get(said.lower()) if isinstance(said, str) else None
    return named or tier_of(raw)


def _titan_output(raw: object) -> int | None:
    results = get(raw, "results")
    counts = [whole(get(each, "tokenCount")) for each in results] if isinstance(results, list) else []
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


_SNAKE = {
    name: _snake(name)
    for name in (
        *("promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "responseTokenCount"),
        *("thoughtsTokenCount", "cachedContentTokenCount", "promptTokensDetails", "candidatesTokensDetails"),
        *("toolUsePromptTokensDetails", "cacheTokensDetails", "responseTokensDetails"),
    )
}
