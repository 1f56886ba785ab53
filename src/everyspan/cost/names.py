"""Whose price list counts: from the names that libraries use for providers and models to the table's own."""

from __future__ import annotations

import re

# Names that the table's own rules would miss or take for somebody else's. None: there is no public price list,
# although the name contains one that has (`custom_openai` is any server that speaks OpenAI's protocol).
# Sources: OpenTelemetry GenAI conventions, `gen_ai.provider.name`; litellm 1.106.2, `LlmProviders`.
PROVIDERS: dict[str, str | None] = {
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "codestral": "mistral",
    "fireworks-ai": "fireworks",
    "fireworks_ai": "fireworks",
    "text-completion-codestral": "mistral",
    "x_ai": "x-ai",
    "custom_openai": None,
    "hosted_vllm": None,
    "llamafile": None,
    "lm_studio": None,
    "ollama": None,
    "ollama_chat": None,
    "openai_like": None,
    "vllm": None,
    "xinference": None,
}

# Clouds name the maker too (`vertex_ai-anthropic_models`, `azure.ai.openai`), but the cloud sends the bill.
CLOUDS = {"aws": "aws", "azure": "azure", "bedrock": "aws", "gcp": "google", "vertex_ai": "google"}

ROUTERS = frozenset({"litellm", "litellm_proxy"})
"""Names that say nothing about who answers: the model's prefix does."""

_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_BEDROCK_ROUTE = re.compile(r"^(?:converse(?:_like)?/|invoke/|[a-z]{2}(?:-gov)?-[a-z]+-\d/)")


def with_dashed_date(model: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: litellm and OpenRouter write the first, the table the second."""
    return _COMPACT_DATE.sub(r"-\1-\2-\3", model)


def without_bedrock_route(model: str) -> str:
    """A Bedrock model id without what litellm puts before it (API, region) and without an ARN around it."""
    while found := _BEDROCK_ROUTE.match(model):
        model = model[found.end() :]
    return model.rpartition("/")[2] if model.startswith("arn:") else model


def url_of(server_address: str) -> str:
    """A URL for the table's address patterns: `server.address` is a bare host, some libraries record a whole URL."""
    return server_address if "://" in server_address else f"https://{server_address}/"


def host_of(server_address: str) -> str:
    """The host of an address, in lower case and without its port."""
    return url_of(server_address.strip().lower()).partition("://")[2].partition("/")[0].partition(":")[0]


# OpenAI's regional endpoints, and Vertex AI's: every one but `global` costs the same more.
_OPENAI_REGION = re.compile(r"(us|eu)\.api\.openai\.com")
_VERTEX_REGION = re.compile(
    r"[a-z]+-[a-z]+\d+-aiplatform\.googleapis\.com|aiplatform\.(?:us|eu)\.rep\.googleapis\.com"
)


def region_of(server_address: str) -> str:
    """The region that an address stands for, as the table's variants name it; empty when it stands for none."""
    host = host_of(server_address) if server_address else ""
    found = _OPENAI_REGION.fullmatch(host)
    if found:
        return found[1]
    return "regional" if _VERTEX_REGION.fullmatch(host) else ""
