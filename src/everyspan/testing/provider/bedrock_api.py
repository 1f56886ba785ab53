"""Amazon Bedrock, as far as botocore can tell: Converse, and InvokeModel for Anthropic's models (API of 2023-09-30)."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from everyspan.testing.provider.answer import Answer, Block, Mark, Question, new_id
from everyspan.testing.provider.anthropic_api import AnthropicApi
from everyspan.testing.provider.api import BadRequestError, Json, checked_messages, compact

_EVENT_STREAM = "application/vnd.amazon.eventstream"
_STRING = 7
"""The type of a header's value (smithy.io/2.0/aws/amazon-eventstream.html)."""
_ERROR_TYPES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_MAKERS_NAME = re.compile(r".*anthropic\.(.+?)(?:-v\d+)?(?::\d+)?")


class ConverseApi:
    """Bodies, events and errors of Converse and ConverseStream; model and streaming stand in the path."""

    name = "bedrock"
    stream_type = _EVENT_STREAM

    def __init__(self, model: str, *, stream: bool = False) -> None:
        self._model = model
        self._stream = stream

    def new_response_id(self) -> str:
        """Never told: Bedrock's answers have no ids but their requests'."""
        return new_id("", length=22)

    def api_key(self, headers: Mapping[str, str]) -> str:
        """The access key of a signed request, or the key of one with a bearer token; empty when it has none."""
        told = headers.get("authorization", "")
        _, is_signed, credential = told.partition("Credential=")
        return credential.partition("/")[0] if is_signed else told.removeprefix("Bearer ")

    def headers(self, request_id: str) -> dict[str, str]:
        """Headers of every answer."""
        return {"x-amzn-requestid": request_id}

    def question(self, body: Json) -> Question:
        """What is asked.

        Raises:
            BadRequestError: the API would not accept this.
        """
        messages = checked_messages(body.get("messages"))
        config = body.get("inferenceConfig") or {}
        blocks = [*_blocks(body.get("system"))]
        for message in messages:
            blocks += _blocks(message.get("content"))
        texts = [block.text for block in _blocks(messages[-1].get("content")) if block.text]
        return Question(
            model=self._model,
            blocks=blocks,
            prompt="\n".join(texts),
            stream=self._stream,
            max_tokens=config.get("maxTokens"),
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer in one piece."""
        return {
            "output": {"message": {"role": "assistant", "content": [{"text": answer.text}]}},
            "stopReason": _stop_reason(answer),
            "usage": _usage(answer),
            "metrics": {"latencyMs": 1},
        }

    def opening(self, answer: Answer) -> bytes:
        """The event before the text."""
        return aws_event("messageStart", {"role": "assistant"})

    def piece(self, answer: Answer, index: int) -> bytes:
        """The event with one piece of the text."""
        return aws_event(
            "contentBlockDelta", {"delta": {"text": answer.pieces[index]}, "contentBlockIndex": 0}
        )

    def closing(self, answer: Answer) -> bytes:
        """The events after the text; the very last one tells the usage."""
        return (
            aws_event("contentBlockStop", {"contentBlockIndex": 0})
            + aws_event("messageStop", {"stopReason": _stop_reason(answer)})
            + aws_event("metadata", {"usage": _usage(answer), "metrics": {"latencyMs": 1}})
        )

    def error(self, status: int, message: str, *, request_id: str) -> Json:
        """The body of an HTTP error."""
        return {"__type": _ERROR_TYPES.get(status, "InternalServerException"), "message": message}

    def stream_error(self) -> bytes:
        """The event that says in the middle of a stream that it failed."""
        return aws_event("throttlingException", {"message": "Too many tokens"}, is_error=True)


class InvokeApi(AnthropicApi):
    """InvokeModel of an Anthropic model: its own bodies, in Bedrock's events, with Bedrock's counts beside them."""

    name = "bedrock"
    stream_type = _EVENT_STREAM

    def __init__(self, model: str, *, stream: bool = False) -> None:
        super().__init__(model=model, stream=stream)
        self._counts: dict[str, str] = {}

    def api_key(self, headers: Mapping[str, str]) -> str:
        """See `ConverseApi`."""
        return ConverseApi("").api_key(headers)

    def headers(self, request_id: str) -> dict[str, str]:
        """Headers of every answer; those in one piece are counted there."""
        return {"x-amzn-requestid": request_id, **self._counts}

    def plain(self, answer: Answer) -> Json:
        """See `AnthropicApi`. The body names the model without the way it was reached."""
        tokens = answer.tokens
        counted = {
            "input": tokens.fresh_input,
            "output": tokens.output,
            "cache-read-input": tokens.cache_read,
            "cache-write-input": tokens.cache_write_5m + tokens.cache_write_1h,
        }
        self._counts = {f"x-amzn-bedrock-{kind}-token-count": str(count) for kind, count in counted.items()}
        return super().plain(_as_made(answer))

    def opening(self, answer: Answer) -> bytes:
        """See `AnthropicApi`."""
        return _in_events(super().opening(_as_made(answer)))

    def piece(self, answer: Answer, index: int) -> bytes:
        """See `AnthropicApi`."""
        return _in_events(super().piece(answer, index))

    def closing(self, answer: Answer) -> bytes:
        """See `AnthropicApi`. The last event holds Bedrock's counts."""
        counts = {
            "inputTokenCount": answer.tokens.fresh_input,
            "outputTokenCount": answer.tokens.output,
            "cacheReadInputTokenCount": answer.tokens.cache_read,
            "cacheWriteInputTokenCount": answer.tokens.cache_write_5m + answer.tokens.cache_write_1h,
        }
        return _in_events(super().closing(answer), counts)

    def error(self, status: int, message: str, *, request_id: str) -> Json:
        """See `ConverseApi`."""
        return ConverseApi("").error(status, message, request_id=request_id)

    def stream_error(self) -> bytes:
        """See `ConverseApi`."""
        return ConverseApi("").stream_error()


def aws_event(kind: str, body: Json, *, is_error: bool = False) -> bytes:
    """A message in AWS' encoding of event streams: lengths and their checksum, headers, payload, checksum of it all."""
    told = {
        ":exception-type" if is_error else ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception" if is_error else "event",
    }
    headers = b"".join(_header(name, value) for name, value in told.items())
    payload = compact(body).encode()
    lengths = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack("!I", zlib.crc32(lengths)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    return (
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", _STRING, len(value))
        + value.encode()
    )


def _in_events(server_sent: bytes, counts: Json | None = None) -> bytes:
    """Server-sent events as Bedrock passes them on, the last one with `counts`."""
    bodies = [json.loads(line[6:]) for line in server_sent.split(b"\n") if line.startswith(b"data: ")]
    if counts is not None:
        bodies[-1]["amazon-bedrock-invocationMetrics"] = counts
    encoded = (base64.b64encode(compact(body).encode()).decode() for body in bodies)
    return b"".join(aws_event("chunk", {"bytes": each, "p": "abcd"}) for each in encoded)


def _as_made(answer: Answer) -> Answer:
    named = _MAKERS_NAME.fullmatch(answer.model)
    return replace(answer, model=named[1]) if named else answer


def _blocks(content: object) -> Iterator[Block]:
    # A cache point marks what stands before it.
    pending: Block | None = None
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            raise BadRequestError("each block of content must be an object")
        point = part.get("cachePoint")
        if isinstance(point, dict) and pending is not None:
            mark = Mark.ONE_HOUR if point.get("ttl") == "1h" else Mark.FIVE_MINUTES
            pending = replace(pending, mark=mark)
            continue
        if pending is not None:
            yield pending
        text = part.get("text")
        pending = Block(text if isinstance(text, str) else None)
    if pending is not None:
        yield pending


def _usage(answer: Answer) -> dict[str, object]:
    tokens = answer.tokens
    written = tokens.cache_write_5m + tokens.cache_write_1h
    return {
        "inputTokens": tokens.fresh_input,
        "outputTokens": tokens.output,
        "totalTokens": tokens.input + tokens.output,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": written,
    }


def _stop_reason(answer: Answer) -> str:
    return "max_tokens" if answer.cut_by_limit else "end_turn"
