"""What the APIs have in common, and the values that enter through them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from everyspan.testing.provider.answer import Answer, Block, Mark, Question

Json = Mapping[str, Any]
"""A decoded JSON object: foreign data, shaped by whoever sent it."""


SERVER_SENT = "text/event-stream; charset=utf-8"
"""The content type of most streams."""


class BadRequestError(ValueError):
    """A body that the API does not accept; the provider answers HTTP 400 with these words."""


class Api(Protocol):
    """One provider's wire format: how it asks, answers, streams and fails."""

    name: str
    stream_type: str

    def new_response_id(self) -> str: ...
    def api_key(self, headers: Mapping[str, str]) -> str: ...
    def headers(self, request_id: str) -> dict[str, str]: ...
    def question(self, body: Json) -> Question: ...
    def plain(self, answer: Answer) -> Json: ...
    def opening(self, answer: Answer) -> bytes: ...
    def piece(self, answer: Answer, index: int) -> bytes: ...
    def closing(self, answer: Answer) -> bytes: ...
    def error(self, status: int, message: str, *, request_id: str) -> Json: ...
    def stream_error(self) -> bytes: ...


def blocks_of(content: object) -> Iterator[Block]:
    """The blocks of a message's `content`: a string, or a list of typed blocks as both APIs have them.

    Raises:
        BadRequestError: it is neither.
    """
    if content is None:
        return
    if isinstance(content, str):
        yield Block(content)
        return
    if not isinstance(content, list):
        raise BadRequestError(f"content must be a string or a list, not {type(content).__name__}")
    for part in content:
        if not isinstance(part, dict):
            raise BadRequestError("each block of content must be an object")
        yield Block(_text_of(part), mark_of(part))


def mark_of(part: Json) -> Mark:
    """The cache mark of a block, message or tool."""
    control = part.get("cache_control")
    if not isinstance(control, dict):
        return Mark.NONE
    return Mark.ONE_HOUR if control.get("ttl") == "1h" else Mark.FIVE_MINUTES


def compact(value: object) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def last_user_text(messages: object) -> str:
    """The text of the last message with the role `user`, blocks joined by new lines.

    Raises:
        BadRequestError: `messages` is no list of messages.
    """
    for message in reversed(checked_messages(messages)):
        if message.get("role") == "user":
            return "\n".join(block.text for block in blocks_of(message.get("content")) if block.text)
    return ""


def checked_messages(messages: object) -> list[Json]:
    """`messages` as a list of objects.

    Raises:
        BadRequestError: it is none, or empty.
    """
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        raise BadRequestError("messages: at least one message is required")
    return messages


def checked_model(body: Json) -> str:
    """The model that was asked for.

    Raises:
        BadRequestError: none was.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("model: field required")
    return model


def _text_of(part: Json) -> str | None:
    text = part.get("text")
    if isinstance(text, str):
        return text
    inner = part.get("content", part.get("input"))
    if inner is None:
        return None
    return inner if isinstance(inner, str) else compact(inner)
