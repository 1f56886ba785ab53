"""OpenAI's endpoints that call a model: what a request's body asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from everyspan.instrument.openai.chat import ChatReader, OtherReader
from everyspan.instrument.openai.responses import ResponsesReader, messages_of
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.request import Asked

Body = Mapping[str, Any]
Endpoint = Callable[[Body, Origin], Asked]


def _chat(body: Body, origin: Origin) -> Asked:
    return Asked(
        operation="chat",
        model=_model(body),
        reader=ChatReader(),
        origin=origin,
        messages=_listed(body.get("messages")),
        tools=body.get("tools"),
        parameters=body,
        stream=bool(body.get("stream")),
        user=_user(body),
    )


def _responses(body: Body, origin: Origin) -> Asked:
    return Asked(
        operation="chat",
        model=_model(body),
        reader=ResponsesReader(),
        origin=origin,
        messages=messages_of(body),
        tools=body.get("tools"),
        parameters=body,
        stream=bool(body.get("stream")),
        user=_user(body),
    )


def _text(operation: str, key: str) -> Endpoint:
    def endpoint(body: Body, origin: Origin) -> Asked:
        return Asked(
            operation=operation,
            model=_model(body),
            reader=ChatReader() if operation == "text_completion" else OtherReader(),
            origin=origin,
            messages=_listed(body.get(key)),
            parameters=body,
            stream=bool(body.get("stream")),
            user=_user(body),
        )

    return endpoint


ENDPOINTS: Mapping[str, Endpoint] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/completions": _text("text_completion", "prompt"),
    "/embeddings": _text("embeddings", "input"),
    "/images/generations": _text("image_generation", "prompt"),
    "/images/edits": _text("image_generation", "prompt"),
    "/images/variations": _text("image_generation", "prompt"),
    "/audio/speech": _text("speech", "input"),
    "/audio/transcriptions": _text("transcription", "prompt"),
    "/audio/translations": _text("transcription", "prompt"),
}
"""Path → what it asks for, longer paths before those that they end in."""


def _model(body: Body) -> str:
    model = body.get("model")
    return model if isinstance(model, str) else ""


def _user(body: Body) -> str:
    user = body.get("user")
    return user if isinstance(user, str) else ""


def _listed(value: Any) -> Any:
    """The SDK passes iterables on; whoever reads one up leaves nothing for the request."""
    return value if value is None or isinstance(value, (str, list, tuple)) else None
