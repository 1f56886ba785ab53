"""OpenAI's Responses API: a list of items goes in, another comes out, and events in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.cost.shapes import UsageDialect
from everyspan.cost.usage import usage_from
from everyspan.instrument.answers import Answered, read_tier, read_usage
from everyspan.instrument.fields import get
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Told
from everyspan.record.growing import GrowingMessage

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_TEXTS = frozenset({"input_text", "output_text", "summary_text", "reasoning_text", "refusal"})


def messages_of(body: Mapping[str, Any]) -> list[Any] | None:
    """The request's `instructions` and `input` as messages in the chat shape."""
    found: list[Any] = []
    if isinstance(body.get("instructions"), str):
        found.append({"role": "system", "content": body["instructions"]})
    asked = body.get("input")
    if isinstance(asked, str):
        found.append({"role": "user", "content": asked})
    elif isinstance(asked, (list, tuple)):
        found += [_message(item) for item in asked]
    return found or None


class ResponsesReader:
    """See `Reader`."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        answered.id, answered.model = text(body, "id"), text(body, "model")
        message = _joined(get(body, "output") or ())
        if message is not None:
            answered.messages.append(message)
        status = text(body, "status")
        reason = get(get(body, "incomplete_details"), "reason")
        if status:
            answered.finish_reasons.append(str(reason or status))
        read_usage(answered, get(body, "usage"))
        read_tier(answered, body)

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`."""
        ended = next((chunk for chunk in reversed(chunks) if get(chunk, "type") in _ENDS), None)
        if ended is not None:
            self.read_whole(answered, get(ended, "response"))
            return
        for chunk in chunks[:1]:
            answered.id, answered.model, _ = self.told(chunk)
        said: dict[str, str] = {"text": "", "reasoning": ""}
        calls: dict[Any, dict[str, Any]] = {}
        for chunk in chunks:
            kind, delta = get(chunk, "type"), text(chunk, "delta") or ""
            if kind == "response.output_text.delta":
                said["text"] += delta
            elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
                said["reasoning"] += delta
            elif kind == "response.output_item.added" and get(get(chunk, "item"), "type") == "function_call":
                calls[get(chunk, "output_index")] = _tool_call(get(chunk, "item"))
            elif kind == "response.function_call_arguments.delta" and get(chunk, "output_index") in calls:
                calls[get(chunk, "output_index")]["function"]["arguments"] += delta
        message: dict[str, Any] = {"role": "assistant", "content": said["text"]}
        if said["reasoning"]:
            message["reasoning_content"] = said["reasoning"]
        if calls:
            message["tool_calls"] = list(calls.values())
        answered.messages.append(message)

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        kind, delta = get(chunk, "type"), text(chunk, "delta") or ""
        if kind == "response.output_text.delta":
            message.add_text(delta)
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            message.add_reasoning(delta)
        elif kind == "response.output_item.added" and get(get(chunk, "item"), "type") == "function_call":
            item = get(chunk, "item")
            index = get(chunk, "output_index") or 0
            message.add_tool_call(index, text(item, "call_id") or "", text(item, "name") or "", "")
        elif kind == "response.function_call_arguments.delta":
            message.add_tool_call(get(chunk, "output_index") or 0, "", "", delta)

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        response = get(chunk, "response")
        usage = usage_from(get(response, "usage"), dialect=UsageDialect.RESPONSES)
        return Told(text(response, "id"), text(response, "model"), usage)

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return get(chunk, "type") in _ENDS


def _joined(output: Any) -> dict[str, Any] | None:
    """The items of an answer as one assistant message; None when nothing was said."""
    said, thought, calls, others = "", "", [], []
    for item in output:
        kind = get(item, "type")
        if kind == "message":
            said += "".join(_texts(get(item, "content")))
        elif kind == "reasoning":
            thought += "".join([*_texts(get(item, "summary")), *_texts(get(item, "content"))])
        elif kind == "function_call":
            calls.append(_tool_call(item))
        else:
            others.append(item)
    if not (said or thought or calls or others):
        return None
    content: Any = [{"type": "text", "text": said}, *others] if others else said
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    return message


def _texts(parts: Any) -> list[str]:
    return [text(part, "text") or text(part, "refusal") or "" for part in parts or ()]


def _tool_call(item: Any) -> dict[str, Any]:
    function = {"name": text(item, "name") or "", "arguments": text(item, "arguments") or ""}
    return {"id": text(item, "call_id") or "", "type": "function", "function": function}


def _message(item: Any) -> Any:
    kind = get(item, "type")
    if kind == "function_call":
        return {"role": "assistant", "content": None, "tool_calls": [_tool_call(item)]}
    if kind == "function_call_output":
        return {"role": "tool", "tool_call_id": get(item, "call_id"), "content": get(item, "output")}
    content = get(item, "content")
    if content is None:
        return {"role": str(get(item, "role") or "user"), "content": [item]}
    if isinstance(content, (list, tuple)):
        content = [
            {"type": "text", "text": get(part, "text")} if get(part, "type") in _TEXTS else part
            for part in content
        ]
    return {"role": str(get(item, "role") or "user"), "content": content}
