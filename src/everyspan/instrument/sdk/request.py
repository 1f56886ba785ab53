"""What a request to a provider asks for, as span attributes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from opentelemetry.util.types import AttributeValue

from everyspan.instrument.sdk.answer import Origin, Reader
from everyspan.record import names
from everyspan.record.attributes import attribute_of
from everyspan.record.messages import messages_as_json
from everyspan.record.registry import Registry
from everyspan.record.text import as_json

# Parameter as any of the APIs spells it → attribute. OpenTelemetry GenAI, `gen_ai.request.*`, where it has a name.
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stop": "gen_ai.request.stop_sequences",
    "stop_sequences": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
    "n": "gen_ai.request.choice.count",
    "reasoning_effort": "gen_ai.request.reasoning_effort",
    "service_tier": "openai.request.service_tier",
    "dimensions": "gen_ai.embeddings.dimension.count",
    "size": "gen_ai.request.size",
    "quality": "gen_ai.request.quality",
    "voice": "gen_ai.request.voice",
}
_PARAMETER_NAMES = frozenset(_PARAMETERS)


class Asked(NamedTuple):
    """A request that is about to be made; name its fields. A frozen dataclass takes ten times as long to make."""

    operation: str
    """`gen_ai.operation.name`."""
    model: str
    reader: Reader
    origin: Origin
    messages: Any = None
    """Messages in a chat shape, or a text; None for none."""
    tools: Any = None
    parameters: Mapping[str, Any] = MappingProxyType({})
    """Where the parameters of the model stand."""
    stream: bool = False
    user: str = ""


def request_attributes(asked: Asked, registry: Registry) -> dict[str, AttributeValue]:
    """The attributes that the span of this request begins with."""
    found: dict[str, AttributeValue] = {
        names.OPERATION: asked.operation,
        names.REQUEST_MODEL: asked.model,
        names.PROVIDER: asked.origin.provider,
    }
    if asked.origin.server_address:
        found[names.SERVER_ADDRESS] = asked.origin.server_address
    if asked.stream:
        found[names.STREAM] = True
    if asked.user:
        found[names.USER] = asked.user
    told: dict[str, Any] = {}
    if not _PARAMETER_NAMES.isdisjoint(asked.parameters):
        told = {
            name: asked.parameters[name] for name in _PARAMETERS if asked.parameters.get(name) is not None
        }
        for name, value in told.items():
            found[_PARAMETERS[name]] = attribute_of(value)
    if registry.for_otlp:
        if asked.messages is not None:
            found[names.INPUT_MESSAGES] = messages_as_json(asked.messages)
        if asked.tools:
            found[names.TOOL_DEFINITIONS] = as_json(asked.tools)
    if registry.for_langfuse:
        found[names.LANGFUSE_TYPE] = "embedding" if asked.operation == "embeddings" else "generation"
        if asked.messages is not None:
            with_tools = {"messages": asked.messages, "tools": asked.tools} if asked.tools else asked.messages
            found[names.LANGFUSE_INPUT] = as_json(with_tools)
        if told:
            found[names.LANGFUSE_PARAMETERS] = as_json(told)
    return found
