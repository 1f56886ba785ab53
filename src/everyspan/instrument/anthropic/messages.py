"""Anthropic's Messages API: what goes in, what comes out, and the events in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.cost.shapes import UsageDialect
from everyspan.cost.usage import usage_from
from everyspan.instrument.answers import Answered
from everyspan.instrument.fields import get, plain
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Told
from everyspan.record.growing import GrowingMessage


def messages_of(body: Mapping[str, Any]) -> list[Any] | None:
    """The request's `system` and `messages` as messages in the chat shape."""
    found: list[Any] = []
    if body.get("system"):
        found.append({"role": "system", "content": body["system"]})
    if isinstance(body.get("messages"), (list, tuple)):
        found += body["messages"]
    return found or None


class MessagesReader:
    """See `Reader`."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        answered.id, answered.model = text(body, "id"), text(body, "model")
        answered.messages.append(_message([_plain(block) for block in get(body, "content") or ()]))
        if text(body, "stop_reason"):
            answered.finish_reasons.append(text(body, "stop_reason") or "")
        _set_usage(answered, _plain(get(body, "usage")))

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`. The first event tells the input's tokens, the last but one all of them."""
        blocks: dict[int, dict[str, Any]] = {}
        usage: dict[str, Any] = {}
        answered.output_is_final = False
        for chunk in chunks:
            kind = get(chunk, "type")
            if kind == "message_start":
                message = get(chunk, "message")
                answered.id, answered.model = text(message, "id"), text(message, "model")
                usage |= _plain(get(message, "usage"))
            elif kind == "content_block_start":
                blocks[_index(chunk)] = _plain(get(chunk, "content_block"))
            elif kind == "content_block_delta":
                _join(blocks.setdefault(_index(chunk), {"type": "text", "text": ""}), get(chunk, "delta"))
            elif kind == "message_delta":
                answered.output_is_final = True
                usage |= _plain(get(chunk, "usage"))
                if text(get(chunk, "delta"), "stop_reason"):
                    answered.finish_reasons.append(text(get(chunk, "delta"), "stop_reason") or "")
        answered.messages.append(_message([blocks[index] for index in sorted(blocks)]))
        _set_usage(answered, usage)

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        kind = get(chunk, "type")
        if kind == "content_block_start":
            block = get(chunk, "content_block")
            if get(block, "type") == "tool_use":
                message.add_tool_call(_index(chunk), text(block, "id") or "", text(block, "name") or "", "")
        elif kind == "content_block_delta":
            delta = get(chunk, "delta")
            message.add_text(text(delta, "text") or "")
            message.add_reasoning(text(delta, "thinking") or "")
            if text(delta, "partial_json"):
                message.add_tool_call(_index(chunk), "", "", text(delta, "partial_json") or "")

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        if get(chunk, "type") != "message_start":
            return Told()
        message = get(chunk, "message")
        usage = usage_from(get(message, "usage"), dialect=UsageDialect.ANTHROPIC)
        return Told(text(message, "id"), text(message, "model"), usage)

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return get(chunk, "type") in ("message_delta", "message_stop")


def _set_usage(answered: Answered, usage: dict[str, Any]) -> None:
    if usage:
        answered.usage_raw = usage
        answered.usage = usage_from(usage, dialect=UsageDialect.ANTHROPIC)


def _message(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """An assistant message in the chat shape; blocks that it has no word for stay what they are."""
    texts = [block.get("text") or "" for block in blocks if block.get("type") == "text"]
    thoughts = [block.get("thinking") or "" for block in blocks if block.get("type") == "thinking"]
    calls = [_tool_call(block) for block in blocks if block.get("type") == "tool_use"]
    others = [block for block in blocks if block.get("type") not in ("text", "thinking", "tool_use")]
    said = "".join(texts)
    message: dict[str, Any] = {"role": "assistant", "content": said}
    if others:
        message["content"] = [{"type": "text", "text": said}, *others]
    if any(thoughts):
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    written = block.get("partial_json")
    function = {"name": block.get("name"), "arguments": written if written else block.get("input")}
    return {"id": block.get("id"), "type": "function", "function": function}


def _join(block: dict[str, Any], delta: Any) -> None:
    for name in ("text", "thinking", "partial_json"):
        more = text(delta, name)
        if more:
            block[name] = (block.get(name) or "") + more


def _index(chunk: Any) -> int:
    index = get(chunk, "index")
    return index if isinstance(index, int) else 0


def _plain(thing: Any) -> dict[str, Any]:
    """What an object of the SDK holds, without what it does not say."""
    if isinstance(thing, dict):
        return dict(thing)
    held = plain(thing)
    if type(held) is not dict:
        return {}
    return {name: value for name, value in held.items() if value is not None}
