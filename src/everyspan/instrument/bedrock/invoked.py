"""Bedrock's InvokeModel: bodies as the maker of each model likes them, and Bedrock's own counts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.cost.shapes import UsageDialect
from everyspan.cost.usage import usage_from
from everyspan.instrument.answers import Answered
from everyspan.instrument.anthropic.messages import MessagesReader
from everyspan.instrument.bedrock import converse
from everyspan.instrument.bedrock.converse import ConverseReader
from everyspan.instrument.fields import get
from everyspan.instrument.openai.chat import ChatReader, text
from everyspan.instrument.sdk.answer import Reader, Told, says_maker
from everyspan.instrument.sdk.bodies import decoded
from everyspan.record.growing import GrowingMessage

_METRICS = "amazon-bedrock-invocationMetrics"
_HEADERS = {
    "x-amzn-bedrock-input-token-count": "inputTokens",
    "x-amzn-bedrock-output-token-count": "outputTokens",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokens",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokens",
}
_ANTHROPIC = frozenset({"message", "error", "ping", "message_start", "message_delta", "message_stop"}) | {
    f"content_block_{what}" for what in ("start", "delta", "stop")
}
_KINDS = (
    ("embed", "embeddings"),
    ("rerank", "rerank"),
    ("canvas", "image_generation"),
    ("image", "image_generation"),
    ("stability.", "image_generation"),
)
"""What the ids of models have in them that do not write texts → `gen_ai.operation.name`."""


def operation_of(model: str, body: Mapping[str, Any]) -> str:
    """What a body asks a model for: only the id tells embeddings from texts."""
    kind = next((operation for part, operation in _KINDS if part in model), "")
    return kind or ("chat" if "messages" in body else "text_completion")


def messages_of(body: Mapping[str, Any]) -> Any:
    """What a body asks, in the chat shape or as a text."""
    if "messages" in body:
        system = body.get("system")
        listed = converse.messages_of({**body, "system": None if isinstance(system, str) else system})
        return [{"role": "system", "content": system}, *(listed or ())] if isinstance(system, str) else listed
    for name in ("prompt", "inputText", "texts", "query", "message"):
        if body.get(name):
            return body[name]
    return None


class InvokedReader:
    """See `Reader`. Which maker's shape an answer has, the answer itself tells."""

    def __init__(self, model: str, operation: str) -> None:
        self._operation = operation
        self._is_named = says_maker(model)
        self.in_headers: dict[str, int] = {}
        """Bedrock's own counts of an answer in one piece."""
        self._tier: str | None = None
        self._latency: str | None = None

    @property
    def wants_body(self) -> bool:
        """Whether anything in the body is of use; pictures and vectors are not kept."""
        if self._operation == "image_generation":
            return False
        return self._is_text or not self.in_headers

    @property
    def _is_text(self) -> bool:
        return self._operation in ("chat", "text_completion")

    def read_headers(self, headers: Mapping[str, Any]) -> None:
        """Take what Bedrock says of an answer beside it."""
        found = ((name, headers.get(header)) for header, name in _HEADERS.items())
        self.in_headers = {
            name: int(told) for name, told in found if isinstance(told, str) and told.isdigit()
        }
        self._tier = text(headers, "x-amzn-bedrock-service-tier")
        self._latency = text(headers, "x-amzn-bedrock-performanceconfig-latency")

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        if not self._is_text:
            answered.usage = usage_from(body) if body else None
            answered.estimates = self._operation != "image_generation"
        elif body:
            _reader_of(body).read_whole(answered, body)
        self._finish(answered, self.in_headers)

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`. Bedrock's counts come with the last event, whoever made the model."""
        events = [event for event in map(event_of, chunks) if event is not None]
        if events:
            _reader_of(events[0]).read_chunks(answered, events)
        metrics = next((get(each, _METRICS) for each in reversed(events) if get(each, _METRICS)), None)
        if metrics is not None and not answered.output_is_final:
            answered.usage, answered.output_is_final = None, True
        self._finish(answered, metrics)

    def _finish(self, answered: Answered, counts: Any) -> None:
        if answered.usage is None and counts:
            answered.usage_raw = counts
            answered.usage = usage_from(counts, dialect=UsageDialect.BEDROCK)
        answered.usage = converse.with_tier(answered.usage, self._tier, self._latency)
        if self._is_named:
            answered.model = None

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        event = event_of(chunk)
        if event is not None:
            _reader_of(event).grow(message, event)

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        event = event_of(chunk)
        told = Told() if event is None else _reader_of(event).told(event)
        return told._replace(model=None) if self._is_named else told

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        event = event_of(chunk)
        return event is not None and (bool(get(event, _METRICS)) or _reader_of(event).is_last(event))


class _TextReader:
    """Models that answer with a text in a field of their own: Llama, Titan, Mistral, Cohere, AI21."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        self.read_chunks(answered, [body])

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`."""
        said = "".join(_said(chunk) for chunk in chunks)
        answered.messages.append({"role": "assistant", "content": said})
        reason = next((each for each in map(_reason, reversed(chunks)) if each), None)
        if reason:
            answered.finish_reasons.append(reason.lower())
        if len(chunks) == 1:  # one of several counts what has come so far, if it counts
            answered.usage = usage_from(chunks[0])

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        message.add_text(_said(chunk))

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        return Told()

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return _reason(chunk) is not None


_MESSAGES, _CONVERSE, _CHAT, _TEXT = MessagesReader(), ConverseReader(), ChatReader(), _TextReader()


def event_of(chunk: Any) -> Any:
    """The JSON in an event of InvokeModelWithResponseStream; None when it has none."""
    data = get(get(chunk, "chunk"), "bytes")
    return decoded(bytes(data)) if isinstance(data, (bytes, bytearray)) else None


def _reader_of(body: Any) -> Reader:
    if text(body, "type") in _ANTHROPIC:
        return _MESSAGES
    if get(get(body, "output"), "message") is not None or (
        isinstance(body, Mapping) and not converse.EVENTS.isdisjoint(body)
    ):
        return _CONVERSE
    if get(body, "choices") is not None:
        return _CHAT
    return _TEXT


_LISTS = ("outputs", "results", "generations", "completions")
_TEXTS = ("generation", "outputText", "completion", "text")
_REASONS = ("stop_reason", "completionReason", "finish_reason")


def _said(body: Any) -> str:
    pieces = [text(body, name) for name in _TEXTS]
    for each in _listed(body):
        pieces += [text(each, name) for name in _TEXTS] + [text(get(each, "data"), "text")]
    return next((piece for piece in pieces if piece), "")


def _reason(body: Any) -> str | None:
    found = [text(each, name) for each in (body, *_listed(body)) for name in _REASONS]
    return next((reason for reason in found if reason), None)


def _listed(body: Any) -> list[Any]:
    return next((list(get(body, name)) for name in _LISTS if isinstance(get(body, name), (list, tuple))), [])
