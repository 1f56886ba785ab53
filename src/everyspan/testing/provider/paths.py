"""Which API answers at which path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from everyspan.testing.provider.anthropic_api import AnthropicApi
from everyspan.testing.provider.api import Api
from everyspan.testing.provider.bedrock_api import ConverseApi, InvokeApi
from everyspan.testing.provider.gemini_api import GeminiApi, GeminiEmbeddingsApi
from everyspan.testing.provider.openai_api import OpenAIApi
from everyspan.testing.provider.openai_more_api import CompletionsApi, EmbeddingsApi, ImagesApi, SpeechApi
from everyspan.testing.provider.openai_responses_api import ResponsesApi

_OPENAI: Mapping[str, Api] = {
    "/chat/completions": OpenAIApi(),
    "/completions": CompletionsApi(),
    "/responses": ResponsesApi(),
    "/embeddings": EmbeddingsApi(),
    "/images/generations": ImagesApi(),
    "/audio/speech": SpeechApi(),
}
_FIXED: Mapping[str, Api] = {
    "/v1/messages": AnthropicApi(),
    **{f"/v1{path}": api for path, api in _OPENAI.items()},
}
_PATTERNS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Api | None]], ...] = (
    # Azure puts the deployment into the path, the clouds that resell Anthropic's models the model.
    (re.compile(r"/openai/deployments/[^/]+(/.+)"), lambda found: _OPENAI.get(found[1])),
    (
        re.compile(r"/model/([^/]+)/invoke(-with-response-stream)?"),
        lambda found: InvokeApi(unquote(found[1]), stream=bool(found[2])),
    ),
    (
        re.compile(r"/model/([^/]+)/converse(-stream)?"),
        lambda found: ConverseApi(unquote(found[1]), stream=bool(found[2])),
    ),
    (
        re.compile(r".*/publishers/anthropic/models/([^/:]+):(rawPredict|streamRawPredict)"),
        lambda found: AnthropicApi(model=found[1], stream=found[2].startswith("stream")),
    ),
    (
        re.compile(r".*/models/([^/:]+):(generateContent|streamGenerateContent)"),
        lambda found: GeminiApi(found[1], stream=found[2].startswith("stream")),
    ),
    (
        re.compile(r".*/models/([^/:]+):(?:batchEmbedContents|embedContent)"),
        lambda found: GeminiEmbeddingsApi(found[1]),
    ),
)

KNOWN_PATHS = (*_FIXED, "/v1beta/models/{model}:generateContent")
"""What a 404 names; Azure's, Bedrock's and Vertex's forms of them are known, too."""


def api_for(path: str) -> Api | None:
    """The API that answers at `path`, or None."""
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    for pattern, make in _PATTERNS:
        found = pattern.fullmatch(path)
        if found:
            return make(found)
    return None
