"""anthropic: one span for each call of a model, and the SDK's own span left out where ours is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Tracer

from everyspan.instrument import patch
from everyspan.instrument.anthropic.batches import result_of
from everyspan.instrument.anthropic.messages import MessagesReader, messages_of
from everyspan.instrument.imports import when_imported
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.batches import Result
from everyspan.instrument.sdk.calls import Calls
from everyspan.instrument.sdk.reads import Hides
from everyspan.instrument.sdk.request import Asked
from everyspan.instrument.stainless import StainlessHooks
from everyspan.record.call import current
from everyspan.record.registry import Registry

_CLOUDS = (("Bedrock", "aws.bedrock"), ("Vertex", "gcp.vertex_ai"), ("Foundry", "azure.ai.inference"))
"""What the names of the clouds' clients have in them → `gen_ai.provider.name`."""


class AnthropicHooks:
    """Instruments anthropic when the program imports it."""

    def __init__(self, tracer: Callable[[], Tracer], registry: Registry) -> None:
        self._calls = Calls(tracer, registry)

    def install(self) -> None:
        """Hook anthropic now if it is loaded, else at its import."""
        when_imported("anthropic._base_client", StainlessHooks(self._calls, self).hook)
        when_imported("anthropic._tracing", _hook_native_spans)

    def asked(self, client: Any, path: str, body: Mapping[str, Any]) -> Asked | None:
        """See `Library`."""
        if not path.endswith("/messages"):
            return None
        metadata = body.get("metadata")
        return Asked(
            operation="chat",
            model=text(body, "model") or "",
            reader=MessagesReader(),
            origin=_origin(client),
            messages=messages_of(body),
            tools=body.get("tools"),
            parameters=body,
            stream=bool(body.get("stream")),
            user=text(metadata, "user_id") or "",
        )

    def batch_line(self, client: Any, line: Any) -> Result | None:
        """See `Library`."""
        return result_of(line, _origin(client))

    def prepare(self, client: Any, asked: Asked, options: Any) -> Hides:
        """See `Library`: Anthropic's streams tell their usage unasked."""
        return None


def _origin(client: Any) -> Origin:
    return _origin_of(type(client).__mro__, getattr(client.base_url, "host", "") or "")


@lru_cache(maxsize=256)
def _origin_of(kinds: tuple[type, ...], host: str) -> Origin:
    names = " ".join(cls.__name__ for cls in kinds)
    provider = next((cloud for part, cloud in _CLOUDS if part in names), "anthropic")
    return Origin(provider, host)


def _hook_native_spans(module: ModuleType) -> None:
    """The SDK's own spans (anthropic 1.17 and later, on by default; no key of OpenTelemetry's suppresses them)."""
    patch.exchange(module.start_api_call_span, _unless_recorded)


def _unless_recorded(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    # A client that was given a TracerProvider of its own sends its spans where we do not: those stay.
    if current() is not None and _is_global(args[0] if args else kwargs.get("tracer")):
        return None
    return original(*args, **kwargs)


def _is_global(tracer: Any) -> bool:
    """Whether the program's one TracerProvider made it; a proxy belongs to whichever provider that will be."""
    source = getattr(tracer, "span_processor", None)
    provider = trace.get_tracer_provider()
    return source is None or source is getattr(provider, "_active_span_processor", None)
