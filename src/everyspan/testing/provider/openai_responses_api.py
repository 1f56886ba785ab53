"""OpenAI's Responses API, as far as a client can tell (`POST /v1/responses`)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from everyspan.testing.provider.answer import Answer, Block, Question, new_id
from everyspan.testing.provider.api import (
    BadRequestError,
    Json,
    blocks_of,
    checked_model,
    compact,
    last_user_text,
)
from everyspan.testing.provider.openai_api import OpenAIApi


class ResponsesApi(OpenAIApi):
    """Bodies and events of responses; keys, headers and errors are those of the other OpenAI APIs."""

    def new_response_id(self) -> str:
        """Such as `resp_Abc…`."""
        return new_id("resp_", length=32)

    def question(self, body: Json) -> Question:
        """What is asked.

        Raises:
            BadRequestError: the API would not accept this.
        """
        asked = body.get("input")
        if not isinstance(asked, str | list) or not asked:
            raise BadRequestError("input: a text or a list is required")
        return Question(
            model=checked_model(body),
            blocks=tuple(_blocks(body, asked)),
            prompt=asked if isinstance(asked, str) else last_user_text(asked),
            stream=bool(body.get("stream")),
            max_tokens=body.get("max_output_tokens"),
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer in one piece."""
        return _response(answer, "completed", output=[_message(answer)], usage=_usage(answer))

    def opening(self, answer: Answer) -> bytes:
        """The events before the text."""
        started = _response(answer, "in_progress", output=[], usage=None)
        item = {"id": _item_id(answer), "type": "message", "status": "in_progress", "role": "assistant"}
        return (
            _event("response.created", 0, response=started)
            + _event("response.in_progress", 1, response=started)
            + _event("response.output_item.added", 2, output_index=0, item=item | {"content": []})
            + _event("response.content_part.added", 3, **_place(answer), part=_part(""))
        )

    def piece(self, answer: Answer, index: int) -> bytes:
        """The event with one piece of the text."""
        place = _place(answer)
        text = answer.pieces[index]
        return _event("response.output_text.delta", 4 + index, **place, delta=text, logprobs=[])

    def closing(self, answer: Answer) -> bytes:
        """The events after the text; the last one has the usage."""
        number, place = 4 + len(answer.pieces), _place(answer)
        whole = _message(answer)
        return (
            _event("response.output_text.done", number, **place, text=answer.text, logprobs=[])
            + _event("response.content_part.done", number + 1, **place, part=_part(answer.text))
            + _event("response.output_item.done", number + 2, output_index=0, item=whole)
            + _event("response.completed", number + 3, response=self.plain(answer))
        )

    def stream_error(self) -> bytes:
        """The event that says in the middle of a stream that it failed."""
        return _event("error", 0, code="server_error", message="The server had an error", param=None)


def _blocks(body: Json, asked: object) -> Iterator[Block]:
    yield from (Block(compact(tool)) for tool in body.get("tools") or ())
    yield from blocks_of(body.get("instructions"))
    if isinstance(asked, str):
        yield Block(asked)
    elif isinstance(asked, list):
        for item in asked:
            yield from blocks_of(item.get("content"))


def _response(
    answer: Answer, status: str, *, output: list[object], usage: dict[str, object] | None
) -> dict[str, object]:
    return {
        "id": answer.response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "service_tier": "default",
        "usage": usage,
    }


def _message(answer: Answer) -> dict[str, object]:
    return {
        "id": _item_id(answer),
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [_part(answer.text)],
    }


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": []}


def _item_id(answer: Answer) -> str:
    return f"msg_{answer.response_id.removeprefix('resp_')}"


def _place(answer: Answer) -> dict[str, object]:
    return {"item_id": _item_id(answer), "output_index": 0, "content_index": 0}


def _usage(answer: Answer) -> dict[str, object]:
    tokens = answer.tokens
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens.input + tokens.output,
    }


def _event(kind: str, number: int, **fields: object) -> bytes:
    body = compact({"type": kind, "sequence_number": number, **fields})
    return f"event: {kind}\ndata: {body}\n\n".encode()
