"""What a call to litellm asks for, as span attributes, and whose child it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, set_span_in_context
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.attributes import attribute_of
from everyspan.record.headers import named_span
from everyspan.record.messages import messages_as_json
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY
from everyspan.record.text import as_json

_PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "n",
    "reasoning_effort",
    "service_tier",
)
_PARAMETER_NAMES = frozenset(_PARAMETERS)
_SPEC_NAMES = {
    "stop": "gen_ai.request.stop_sequences",
    "n": "gen_ai.request.choice.count",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "service_tier": "openai.request.service_tier",
}
# litellm's metadata keys that its own langfuse_otel callback gives a meaning (integrations/langfuse/langfuse_otel.py).
_PLAIN_METADATA = {
    "session_id": names.SESSION,
    "trace_user_id": names.USER,
    "trace_name": names.LANGFUSE_TRACE_NAME,
    "trace_release": "langfuse.release",
    "version": "langfuse.version",
    "trace_version": "langfuse.version",
}
# What litellm itself leaves in the caller's dict, for the next call with the same dict to find.
_LITELLMS_NOTES = frozenset(
    {
        "hidden_params",
        "previous_models",
        "model_group",
        "model_info",
        "deployment",
        "deployment_model_name",
        "api_base",
        "caching_groups",
        "attempted_retries",
        "llm_api_timing_windows",
        "max_retries",
    }
)
_TOLD_ELSEWHERE = frozenset({"tags", "generation_name", *_PLAIN_METADATA})


class Request(NamedTuple):
    """A call about to be made."""

    name: str
    model: str
    attributes: dict[str, AttributeValue]
    parent: Context


def read_request(
    operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], registry: Registry
) -> Request:
    """The request of a litellm function from the arguments that the user passed to it. Never raises.

    What cannot be read is left out and counted: a span without its messages is better than none.
    """
    try:
        return _read(operation, args, kwargs, registry)
    except Exception as error:  # noqa: BLE001 - the guard of this entry point
        TALLY.fault("read the arguments of a call", error)
        model = kwargs.get("model", args[0] if args else "")
        model = model if isinstance(model, str) else ""
        known: dict[str, AttributeValue] = {names.OPERATION: operation, names.REQUEST_MODEL: model}
        known[names.CAPTURE_ERROR] = repr(error)[:200]
        return Request(f"{operation} {model}".strip(), model, known, otel_context.get_current())


def _read(operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], registry: Registry) -> Request:
    model = kwargs.get("model", args[0] if args else "")
    model = model if isinstance(model, str) else str(model or "")
    found: dict[str, AttributeValue] = {names.OPERATION: operation, names.REQUEST_MODEL: model}
    provider = kwargs.get("custom_llm_provider") or (model.partition("/")[0] if "/" in model else "")
    if provider:
        found[names.PROVIDER] = str(provider)
    parameters: dict[str, Any] = {}
    if not _PARAMETER_NAMES.isdisjoint(kwargs):
        parameters = {name: kwargs[name] for name in _PARAMETERS if kwargs.get(name) is not None}
        for name, value in parameters.items():
            found[_SPEC_NAMES.get(name, f"gen_ai.request.{name}")] = attribute_of(value)
    if kwargs.get("stream"):
        found[names.STREAM] = True
    _write_input(found, _prompt(args, kwargs), kwargs, registry)
    metadata = kwargs.get("metadata") or {}
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        metadata = {}
    if registry.for_langfuse:
        found[names.LANGFUSE_TYPE] = "embedding" if operation == "embeddings" else "generation"
        if parameters:
            found[names.LANGFUSE_PARAMETERS] = as_json(parameters)
    _write_metadata(found, metadata, kwargs)
    project = kwargs.get("langfuse_public_key") or metadata.get("langfuse_public_key")
    if isinstance(project, str) and registry.for_langfuse:
        found[names.LANGFUSE_PROJECT] = project
    name = metadata.get("generation_name") or f"{operation} {model}".strip()
    return Request(str(name), model, found, _parent(metadata))


def _prompt(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    for name in ("messages", "input", "prompt", "query"):
        if kwargs.get(name) is not None:
            return kwargs[name]
    # A transcription's second argument is a file.
    return args[1] if len(args) > 1 and isinstance(args[1], (str, list, tuple)) else None


def _write_input(
    found: dict[str, AttributeValue], prompt: Any, kwargs: Mapping[str, Any], registry: Registry
) -> None:
    tools = kwargs.get("tools")
    if prompt is not None:
        if registry.for_otlp:
            found[names.INPUT_MESSAGES] = messages_as_json(prompt)
        if registry.for_langfuse:
            found[names.LANGFUSE_INPUT] = as_json({"messages": prompt, "tools": tools} if tools else prompt)
    if tools and registry.for_otlp:
        found[names.TOOL_DEFINITIONS] = as_json(tools)


def _write_metadata(
    found: dict[str, AttributeValue], metadata: Mapping[str, Any], kwargs: Mapping[str, Any]
) -> None:
    user = kwargs.get("user")
    if isinstance(user, str) and user:
        found[names.USER] = user
    if not metadata:
        return
    for key, name in _PLAIN_METADATA.items():
        value = metadata.get(key)
        if value is not None:
            found[name] = value if isinstance(value, str) else str(value)
    tags = metadata.get("tags")
    if isinstance(tags, (list, tuple)) and tags:
        found[names.LANGFUSE_TAGS] = tuple(str(tag) for tag in tags)
    rest = {key: value for key, value in metadata.items() if _is_users(key)}
    if rest:
        found[names.LANGFUSE_METADATA] = as_json(rest)


def _is_users(key: object) -> bool:
    if not isinstance(key, str) or key in _LITELLMS_NOTES or key in _TOLD_ELSEWHERE:
        return False
    # The proxy puts hashed keys there, and litellm its private state.
    return not key.startswith(("_", "user_api_key", "litellm_"))


def _parent(metadata: Mapping[str, Any]) -> Context:
    """The context whose span is the parent: what the caller names explicitly, else the caller's own.

    litellm's callbacks read `metadata["litellm_parent_otel_span"]` (a span), and its Langfuse callbacks
    `trace_id` or `existing_trace_id` with `parent_observation_id` (hexadecimal).
    """
    current = otel_context.get_current()
    if not metadata:
        return current
    named = metadata.get("litellm_parent_otel_span")
    if isinstance(named, Span) and named.get_span_context().is_valid:
        return set_span_in_context(named, current)
    trace_id = str(metadata.get("existing_trace_id") or metadata.get("trace_id") or "")
    remote = named_span(trace_id, str(metadata.get("parent_observation_id") or ""))
    if remote and trace.get_current_span(current).get_span_context().span_id != remote.span_id:
        return set_span_in_context(NonRecordingSpan(remote), current)
    return current
