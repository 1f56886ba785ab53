"""Bedrock's Converse: what goes in, what comes out, and the events in between. Nova speaks the same in InvokeModel."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from everyspan.cost.shapes import UsageDialect
from everyspan.cost.usage import usage_from
from everyspan.instrument.answers import Answered
from everyspan.instrument.fields import get
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Told
from everyspan.model.usage import Usage
from everyspan.record.growing import GrowingMessage

EVENTS = frozenset(
    {
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    }
)
"""What the events of a stream are called."""


def messages_of(request: Mapping[str, Any]) -> list[Any] | None:
    """A request's `system` and `messages` as messages in the chat shape."""
    system = request.get("system")
    found: list[Any] = [{"role": "system", "content": _parts(system)}] if system else []
    listed = request.get("messages")
    for message in listed if isinstance(listed, (list, tuple)) else ():
        found.append({"role": get(message, "role"), "content": _parts(get(message, "content"))})
    return found or None


class ConverseReader:
    """See `Reader`."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        blocks = get(get(get(body, "output"), "message"), "content") or ()
        answered.messages.append(_message([_part(block) for block in blocks]))
        self._read_end(answered, text(body, "stopReason"), body)

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`. The last event alone tells the usage, and all of it."""
        blocks: dict[int, dict[str, Any]] = {}
        reason = None
        for chunk in chunks:
            start, piece = get(chunk, "contentBlockStart"), get(chunk, "contentBlockDelta")
            tool = get(get(start, "start"), "toolUse")
            if tool is not None:
                made = {"type": "tool_use", "id": text(tool, "toolUseId"), "name": text(tool, "name")}
                blocks[_index(start)] = made | {"input": ""}
            if piece is not None:
                _join(blocks.setdefault(_index(piece), {}), get(piece, "delta"))
            reason = text(get(chunk, "messageStop"), "stopReason") or reason
        answered.messages.append(_message([blocks[index] for index in sorted(blocks)]))
        told = (get(chunk, "metadata") for chunk in reversed(chunks))
        self._read_end(answered, reason, next((each for each in told if each is not None), None))

    def _read_end(self, answered: Answered, reason: str | None, about: Any) -> None:
        """What an answer and the last event of a stream say alike."""
        if reason:
            answered.finish_reasons.append(reason)
        # A router of prompts chooses the model, and that one is paid.
        answered.model = text(get(get(about, "trace"), "promptRouter"), "invokedModelId")
        answered.usage_raw = get(about, "usage")
        answered.usage = with_tier(
            usage_from(answered.usage_raw, dialect=UsageDialect.BEDROCK),
            text(get(about, "serviceTier"), "type"),
            text(get(about, "performanceConfig"), "latency"),
        )

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        start, piece = get(chunk, "contentBlockStart"), get(chunk, "contentBlockDelta")
        tool = get(get(start, "start"), "toolUse")
        if tool is not None:
            message.add_tool_call(_index(start), text(tool, "toolUseId") or "", text(tool, "name") or "", "")
        delta = get(piece, "delta")
        message.add_text(text(delta, "text") or "")
        message.add_reasoning(text(get(delta, "reasoningContent"), "text") or "")
        written = text(get(delta, "toolUse"), "input")
        if written:
            message.add_tool_call(_index(piece), "", "", written)

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        return Told()

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return get(chunk, "messageStop") is not None or get(chunk, "metadata") is not None


def with_tier(usage: Usage | None, tier: str | None, latency: str | None) -> Usage | None:
    """`usage` with what decides its price beside the model: the tier, or inference that was optimised for latency."""
    bought = "optimized" if latency == "optimized" else tier
    if usage is None or not bought or bought == "default":
        return usage
    return replace(usage, service_tier=bought.lower())


def _parts(content: Any) -> Any:
    if not isinstance(content, (list, tuple)):
        return content
    parts = [_part(block) for block in content]
    # Most messages are one text, which is written out much quicker.
    return parts[0]["text"] if len(parts) == 1 and get(parts[0], "type") == "text" else parts


def _part(block: Any) -> Any:
    """A block of Converse as a part of the chat shape; what that has no word for stays what it is."""
    if not isinstance(block, Mapping) or "type" in block:
        return block
    if text(block, "text") is not None:
        return {"type": "text", "text": text(block, "text")}
    use, result, thought = (get(block, name) for name in ("toolUse", "toolResult", "reasoningContent"))
    if use is not None:
        named = {"id": text(use, "toolUseId"), "name": text(use, "name")}
        return {"type": "tool_use", **named, "input": get(use, "input")}
    if result is not None:
        parts = [_part(each) for each in get(result, "content") or ()]
        return {"type": "tool_result", "tool_use_id": text(result, "toolUseId"), "content": parts}
    if get(thought, "reasoningText") is not None:
        return {"type": "thinking", "thinking": text(get(thought, "reasoningText"), "text") or ""}
    for kind in ("image", "document", "video", "audio"):
        data = get(get(get(block, kind), "source"), "bytes")
        if isinstance(data, (bytes, bytearray)):
            source = {"type": "base64", "format": text(block[kind], "format")}
            # What goes to the disk has a reference to it instead: `record/media.py`.
            return {"type": kind, "source": source | {"data": base64.b64encode(data).decode()}}
    return block


def _join(block: dict[str, Any], delta: Any) -> None:
    if text(delta, "text"):
        block["type"] = "text"
        block["text"] = (block.get("text") or "") + (text(delta, "text") or "")
    thought = text(get(delta, "reasoningContent"), "text")
    if thought:
        block["type"] = "thinking"
        block["thinking"] = (block.get("thinking") or "") + thought
    written = text(get(delta, "toolUse"), "input")
    if written:
        block["input"] = (block.get("input") or "") + written


def _message(parts: list[Any]) -> dict[str, Any]:
    """An assistant message in the chat shape."""
    said = "".join(part["text"] for part in parts if get(part, "type") == "text")
    thought = "".join(part["thinking"] for part in parts if get(part, "type") == "thinking")
    calls = [_tool_call(part) for part in parts if get(part, "type") == "tool_use"]
    others = [part for part in parts if part and get(part, "type") not in ("text", "thinking", "tool_use")]
    message: dict[str, Any] = {"role": "assistant", "content": said}
    if others:
        message["content"] = [{"type": "text", "text": said}, *others]
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    return message


def _tool_call(part: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": part.get("name"), "arguments": part.get("input")}
    return {"id": part.get("id"), "type": "function", "function": function}


def _index(event: Any) -> int:
    index = get(event, "contentBlockIndex")
    return index if isinstance(index, int) else 0
