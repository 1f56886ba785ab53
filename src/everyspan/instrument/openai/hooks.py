"""openai: one span for each call of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from opentelemetry.trace import Tracer

from everyspan.instrument.imports import when_imported
from everyspan.instrument.openai.batches import result_of
from everyspan.instrument.openai.endpoints import ENDPOINTS
from everyspan.instrument.openai.usage_chunk import hides_usage, may_ask
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.batches import Result
from everyspan.instrument.sdk.calls import Calls
from everyspan.instrument.sdk.reads import Hides
from everyspan.instrument.sdk.request import Asked
from everyspan.instrument.stainless import StainlessHooks
from everyspan.record.registry import Registry
from everyspan.settings import AskForUsage

_HOSTS = {
    "openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.together.xyz": "together",
    "generativelanguage.googleapis.com": "gcp.gemini",
}
"""Others who speak OpenAI's API; `gen_ai.provider.name`, or the price table's name where that has none."""


class OpenAIHooks:
    """Instruments openai when the program imports it.

    Args:
        ask_for_usage: when a stream is asked to tell its usage although the user did not ask for it.
    """

    def __init__(
        self,
        tracer: Callable[[], Tracer],
        registry: Registry,
        *,
        ask_for_usage: AskForUsage = AskForUsage.AUTO,
    ) -> None:
        self._calls = Calls(tracer, registry)
        self._ask_for_usage = ask_for_usage

    def install(self) -> None:
        """Hook openai now if it is loaded, else at its import."""
        when_imported("openai._base_client", StainlessHooks(self._calls, self).hook)

    def asked(self, client: Any, path: str, body: Mapping[str, Any]) -> Asked | None:
        """See `Library`."""
        endpoint = ENDPOINTS.get(path) or next(
            (each for suffix, each in ENDPOINTS.items() if path.endswith(suffix)), None
        )
        return None if endpoint is None else endpoint(body, _origin(client))

    def batch_line(self, client: Any, line: Any) -> Result | None:
        """See `Library`."""
        return result_of(line, _origin(client))

    def prepare(self, client: Any, asked: Asked, options: Any) -> Hides:
        """See `Library`: asks for the usage of a stream where nobody can mind."""
        if not asked.stream or not may_ask(self._ask_for_usage, client, str(options.url), options.json_data):
            return None
        options.json_data = {**options.json_data, "stream_options": {"include_usage": True}}
        return hides_usage


def _origin(client: Any) -> Origin:
    return _origin_of(type(client).__mro__, getattr(client.base_url, "host", "") or "")


@lru_cache(maxsize=256)
def _origin_of(kinds: tuple[type, ...], host: str) -> Origin:
    if host.endswith((".openai.azure.com", ".cognitiveservices.azure.com")) or any(
        "Azure" in cls.__name__ for cls in kinds
    ):
        return Origin("azure.ai.openai", host)
    return Origin(_HOSTS.get(host, "openai"), host)
