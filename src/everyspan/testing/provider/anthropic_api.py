"""Anthropic's Messages API, as far as a client can tell (`POST /v1/messages`, API version 2023-06-01)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from everyspan.testing.provider.answer import Answer, Block, Question, new_id
from everyspan.testing.provider.api import (
    SERVER_SENT,
    BadRequestError,
    Json,
    blocks_of,
    checked_messages,
    checked_model,
    compact,
    last_user_text,
    mark_of,
)

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class AnthropicApi:
    """Bodies, events and errors in Anthropic's format.

    Args:
        model: from the path, where Bedrock and Vertex have it; the body then names none.
        stream: the same.
    """

    name = "anthropic"
    stream_type = SERVER_SENT

    def __init__(self, *, model: str = "", stream: bool = False) -> None:
        self._model = model
        self._stream = stream

    def new_response_id(self) -> str:
        """Such as `msg_01Abc…`."""
        return new_id("msg_01", length=22)

    def api_key(self, headers: Mapping[str, str]) -> str:
        """The key of the request; empty when it has none."""
        return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def headers(self, request_id: str) -> dict[str, str]:
        """Headers of every answer."""
        return {"request-id": request_id, "anthropic-organization-id": "00000000-fa4e-4000-8000-000000000000"}

    def question(self, body: Json) -> Question:
        """What is asked.

        Raises:
            BadRequestError: the API would not accept this.
        """
        limit = body.get("max_tokens")
        if not isinstance(limit, int) or limit < 1:
            raise BadRequestError("max_tokens: field required")
        return Question(
            model=self._model or checked_model(body),
            blocks=tuple(_blocks(body)),
            prompt=last_user_text(body.get("messages")),
            stream=self._stream or bool(body.get("stream")),
            max_tokens=limit,
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer in one piece."""
        return _message(answer) | {
            "content": [{"type": "text", "text": answer.text}],
            "stop_reason": _stop_reason(answer),
            "usage": _usage(answer, output=answer.tokens.output) | {"service_tier": "standard"},
        }

    def opening(self, answer: Answer) -> bytes:
        """The events before the text: the input is known, of the output one token is announced."""
        started = _message(answer) | {
            "content": [],
            "usage": _usage(answer, output=1) | {"service_tier": "standard"},
        }
        block = {"type": "text", "text": ""}
        return (
            _event("message_start", message=started)
            + _event("content_block_start", index=0, content_block=block)
            + _event("ping")
        )

    def piece(self, answer: Answer, index: int) -> bytes:
        """The event with one piece of the text."""
        return _event(
            "content_block_delta", index=0, delta={"type": "text_delta", "text": answer.pieces[index]}
        )

    def closing(self, answer: Answer) -> bytes:
        """The events after the text; the usage is final and cumulative."""
        delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
        return (
            _event("content_block_stop", index=0)
            + _event("message_delta", delta=delta, usage=_usage(answer, output=answer.tokens.output))
            + _event("message_stop")
        )

    def error(self, status: int, message: str, *, request_id: str) -> Json:
        """The body of an HTTP error."""
        kind = _ERROR_TYPES.get(status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}

    def stream_error(self) -> bytes:
        """The event that says in the middle of a stream that it failed."""
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})


def _blocks(body: Json) -> Iterator[Block]:
    # In the order in which Anthropic's cache sees them: tools, system, messages.
    for tool in body.get("tools") or ():
        described = {name: value for name, value in tool.items() if name != "cache_control"}
        yield Block(compact(described), mark_of(tool))
    yield from blocks_of(body.get("system"))
    for message in checked_messages(body.get("messages")):
        yield from blocks_of(message.get("content"))


def _message(answer: Answer) -> dict[str, object]:
    return {
        "id": answer.response_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop_reason(answer: Answer) -> str:
    return "max_tokens" if answer.cut_by_limit else "end_turn"


def _usage(answer: Answer, *, output: int) -> dict[str, object]:
    tokens = answer.tokens
    return {
        "input_tokens": tokens.fresh_input,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": output,
    }


def _event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {compact({'type': kind, **fields})}\n\n".encode()
