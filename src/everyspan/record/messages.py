"""Chat messages in the shape of OpenTelemetry's GenAI conventions.

Source: semantic-conventions-genai, gen-ai-input-messages.json and gen-ai-output-messages.json: a message is
`{role, parts: [{type, ...}]}`. Parts of unknown type keep their own shape, which the schema allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from everyspan.record.text import as_json, text_as_json

_PLAIN = frozenset({"role", "content"})
"""What most messages consist of; they need none of the questions below."""
_HEADS = {role: f'{{"role":"{role}","parts":[' for role in ("user", "assistant", "system", "developer")}


def messages_as_json(messages: Any) -> str:
    """The JSON text of `genai_messages`; written out at once where each message is a role and a text."""
    if type(messages) is not list:
        return as_json(genai_messages(messages))
    written = []
    for message in messages:
        if type(message) is not dict or not message.keys() <= _PLAIN:
            return as_json(genai_messages(messages))
        role, content = message.get("role"), message.get("content")
        if type(content) is not str or (role is not None and type(role) is not str):
            return as_json(genai_messages(messages))
        head = _HEADS.get(role or "user") or f'{{"role":{text_as_json(role or "user")},"parts":['
        written.append(f'{head}{{"type":"text","content":{text_as_json(content)}}}]}}')
    return f"[{','.join(written)}]"


def genai_messages(messages: Any) -> list[dict[str, Any]]:
    """Messages as a caller gives them (OpenAI's or Anthropic's chat shape, objects or a plain prompt)."""
    if isinstance(messages, str):
        return [{"role": "user", "parts": [_text(messages)]}]
    if isinstance(messages, Sequence):
        return [_message(message) for message in messages]
    return [_message(messages)]


def _message(message: Any) -> dict[str, Any]:
    if type(message) is dict and message.keys() <= _PLAIN and type(message.get("content")) is str:
        return {"role": message.get("role") or "user", "parts": [_text(message["content"])]}
    if isinstance(message, str):
        return {"role": "user", "parts": [_text(message)]}
    role = str(_get(message, "role") or "user")
    content = _get(message, "content")
    if role == "tool":
        response = {"type": "tool_call_response", "id": _get(message, "tool_call_id"), "response": content}
        return {"role": role, "parts": [response]}
    parts = _parts(content)
    reasoning = _get(message, "reasoning_content")
    if reasoning:
        parts.insert(0, {"type": "reasoning", "content": reasoning})
    parts += [_tool_call(call) for call in _get(message, "tool_calls") or ()]
    finished: dict[str, Any] = {"role": role, "parts": parts}
    if _get(message, "name"):
        finished["name"] = _get(message, "name")
    return finished


def _parts(content: Any) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [_text(content)]
    if isinstance(content, Sequence):
        return [_part(part) for part in content]
    return [{"type": "object", "content": content}]


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return _text(part)
    kind = _get(part, "type")
    if kind == "text":
        return _text(_get(part, "text"))
    if kind == "thinking":
        return {"type": "reasoning", "content": _get(part, "thinking")}
    if kind == "tool_use":
        call = {"id": _get(part, "id"), "name": _get(part, "name"), "arguments": _get(part, "input")}
        return {"type": "tool_call", **call}
    if kind == "tool_result":
        response = {"id": _get(part, "tool_use_id"), "response": _get(part, "content")}
        return {"type": "tool_call_response", **response}
    return dict(part) if isinstance(part, Mapping) else {"type": "object", "content": part}


def _text(text: Any) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _tool_call(call: Any) -> dict[str, Any]:
    function = _get(call, "function")
    return {
        "type": "tool_call",
        "id": _get(call, "id"),
        "name": _get(function, "name"),
        "arguments": _get(function, "arguments"),
    }


def _get(thing: Any, name: str) -> Any:
    if type(thing) is dict:
        return thing.get(name)
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
