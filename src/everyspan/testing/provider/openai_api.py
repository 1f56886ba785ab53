"""OpenAI's Chat Completions API, as far as a client can tell (`POST /v1/chat/completions`)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from everyspan.testing.provider.answer import Answer, Block, Mark, Question, new_id
from everyspan.testing.provider.api import (
    SERVER_SENT,
    Json,
    blocks_of,
    checked_messages,
    checked_model,
    compact,
    last_user_text,
)

_FINGERPRINT = "fp_fa4e000000"
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class OpenAIApi:
    """Bodies, chunks and errors in OpenAI's format."""

    name = "openai"
    stream_type = SERVER_SENT

    def new_response_id(self) -> str:
        """Such as `chatcmpl-Abc…`."""
        return new_id("chatcmpl-", length=29)

    def api_key(self, headers: Mapping[str, str]) -> str:
        """The key of the request; empty when it has none."""
        return headers.get("authorization", "").removeprefix("Bearer ")

    def headers(self, request_id: str) -> dict[str, str]:
        """Headers of every answer."""
        return {
            "x-request-id": request_id,
            "openai-version": "2020-10-01",
            "openai-organization": "fake-provider",
        }

    def question(self, body: Json) -> Question:
        """What is asked.

        Raises:
            BadRequestError: the API would not accept this.
        """
        options = body.get("stream_options") or {}
        stream = bool(body.get("stream"))
        return Question(
            model=checked_model(body),
            blocks=tuple(_blocks(body)),
            prompt=last_user_text(body.get("messages")),
            stream=stream,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            include_usage=not stream or bool(options.get("include_usage")),
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer in one piece."""
        message: Json = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(answer)}
        return _completion(answer, "chat.completion") | {"choices": [choice], "usage": usage_of(answer)}

    def opening(self, answer: Answer) -> bytes:
        """The chunk before the text."""
        return _chunk(answer, {"role": "assistant", "content": "", "refusal": None})

    def piece(self, answer: Answer, index: int) -> bytes:
        """The chunk with one piece of the text."""
        return _chunk(answer, {"content": answer.pieces[index]})

    def closing(self, answer: Answer) -> bytes:
        """The chunks after the text; the usage comes last, if it was asked for."""
        end = _chunk(answer, {}, finish_reason=finish_reason(answer))
        if answer.include_usage:
            body = _completion(answer, "chat.completion.chunk") | {"choices": [], "usage": usage_of(answer)}
            end += _event(compact(body))
        return end + _event("[DONE]")

    def error(self, status: int, message: str, *, request_id: str) -> Json:
        """The body of an HTTP error."""
        kind, code = _ERRORS.get(status, ("server_error", None))
        return {
            "error": {
                "message": f"{message} (request id {request_id})",
                "type": kind,
                "param": None,
                "code": code,
            }
        }

    def stream_error(self) -> bytes:
        """What OpenAI sends in the middle of a stream that fails."""
        message = "The server had an error while processing your request. Sorry about that!"
        return _event(
            compact({"error": {"message": message, "type": "server_error", "param": None, "code": None}})
        )


def _blocks(body: Json) -> Iterator[Block]:
    blocks = [Block(compact(tool)) for tool in body.get("tools") or ()]
    for message in checked_messages(body.get("messages")):
        blocks += blocks_of(message.get("content"))
        blocks += [Block(compact(call)) for call in message.get("tool_calls") or ()]
    if body.get("prompt_cache_key") and len(blocks) > 1:
        blocks[-2] = replace(blocks[-2], mark=Mark.FREE)
    yield from blocks


def _completion(answer: Answer, kind: str) -> dict[str, object]:
    return {
        "id": answer.response_id,
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": _FINGERPRINT,
    }


def finish_reason(answer: Answer) -> str:
    """Why the answer ended, in OpenAI's words."""
    return "length" if answer.cut_by_limit else "stop"


def usage_of(answer: Answer) -> dict[str, object]:
    """The usage object of an answer."""
    tokens = answer.tokens
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chunk(answer: Answer, delta: Json, *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    body = _completion(answer, "chat.completion.chunk") | {"choices": [choice]}
    if answer.include_usage:
        body["usage"] = None
    return _event(compact(body))


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()
