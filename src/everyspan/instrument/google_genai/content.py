"""Gemini's contents: what goes in and what comes out, as JSON on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.instrument.answers import Answered
from everyspan.instrument.fields import get
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Told
from everyspan.instrument.sdk.bodies import decoded
from everyspan.model.usage import Usage
from everyspan.record.growing import GrowingMessage


def body_of(response: Any) -> Any:
    """The decoded body of the SDK's own HTTP response; older versions give just that."""
    if isinstance(response, Mapping):
        return response
    body = getattr(response, "body", None)
    return decoded(body.encode()) if isinstance(body, str) and body else body


def messages_of(request: Mapping[str, Any]) -> list[Any] | None:
    """A request's `systemInstruction` and `contents`, or the texts to embed, as messages in the chat shape."""
    found: list[Any] = []
    system = request.get("systemInstruction")
    if system:
        found.append({"role": "system", "content": _parts(system)})
    contents = request.get("contents")
    listed = contents if isinstance(contents, (list, tuple)) else [contents] if contents else []
    found += [_message(content) for content in listed]
    for each in request.get("requests") or ([request] if "content" in request else ()):
        found.append(_message(get(each, "content")))
    return found or None


class GeminiReader:
    """See `Reader`."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        self._read(answered, [body])

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`. Each chunk tells the usage so far."""
        self._read(answered, [body_of(chunk) for chunk in chunks])

    def _read(self, answered: Answered, bodies: list[Any]) -> None:
        said, thought, calls, others = "", "", [], []
        for body in bodies:
            answered.id = text(body, "responseId") or answered.id
            answered.model = text(body, "modelVersion") or answered.model
            answered.usage_raw = get(body, "usageMetadata") or answered.usage_raw
            for candidate in get(body, "candidates") or ():
                if text(candidate, "finishReason"):
                    answered.finish_reasons.append((text(candidate, "finishReason") or "").lower())
                for part in get(get(candidate, "content"), "parts") or ():
                    if text(part, "text") is not None:
                        thought += (text(part, "text") or "") if get(part, "thought") else ""
                        said += "" if get(part, "thought") else text(part, "text") or ""
                    elif get(part, "functionCall"):
                        calls.append(_tool_call(get(part, "functionCall")))
                    else:
                        others.append(part)
        content: Any = [{"type": "text", "text": said}, *map(_part, others)] if others else said
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if thought:
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = calls
        answered.messages.append(message)
        answered.usage = _usage(answered.usage_raw)
        # A stream that is cut has the count of what it told, and the model may have gone on.
        answered.output_is_final = bool(answered.finish_reasons)

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        for candidate in get(body_of(chunk), "candidates") or ():
            for part in get(get(candidate, "content"), "parts") or ():
                add = message.add_reasoning if get(part, "thought") else message.add_text
                add(text(part, "text") or "")

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        body = body_of(chunk)
        return Told(text(body, "responseId"), text(body, "modelVersion"), _usage(get(body, "usageMetadata")))

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return any(get(candidate, "finishReason") for candidate in get(body_of(chunk), "candidates") or ())


class EmbeddingsReader(GeminiReader):
    """Vectors are not kept. The Gemini API tells no usage for them: the input is estimated."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        answered.usage_raw = get(body, "usageMetadata")
        answered.usage = _usage(answered.usage_raw)
        answered.estimates = True


def _usage(raw: Any) -> Usage | None:
    """Gemini's counts: the prompt's include what was cached, thoughts stand beside the candidates."""
    if not isinstance(raw, Mapping):
        return None
    written, thought = _count(raw, "candidatesTokenCount"), _count(raw, "thoughtsTokenCount")
    read, tools = _count(raw, "promptTokenCount"), _count(raw, "toolUsePromptTokenCount")
    ins, outs = raw.get("promptTokensDetails"), raw.get("candidatesTokensDetails")
    found = Usage(
        input_tokens=None if read is None and tools is None else (read or 0) + (tools or 0),
        output_tokens=None if written is None and thought is None else (written or 0) + (thought or 0),
        cache_read_tokens=_count(raw, "cachedContentTokenCount"),
        reasoning_tokens=thought,
        input_audio_tokens=_of_kind(ins, "AUDIO"),
        output_audio_tokens=_of_kind(outs, "AUDIO"),
        cache_read_audio_tokens=_of_kind(raw.get("cacheTokensDetails"), "AUDIO"),
        input_image_tokens=_of_kind(ins, "IMAGE"),
        output_image_tokens=_of_kind(outs, "IMAGE"),
        service_tier=None,
    )
    return None if found == Usage() else found


def _count(raw: Mapping[str, Any], name: str) -> int | None:
    value = raw.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _of_kind(details: Any, kind: str) -> int | None:
    counts = [_count(each, "tokenCount") or 0 for each in details or () if get(each, "modality") == kind]
    return sum(counts) if counts else None


def _message(content: Any) -> dict[str, Any]:
    role = "assistant" if get(content, "role") == "model" else str(get(content, "role") or "user")
    return {"role": role, "content": _parts(content)}


def _parts(content: Any) -> list[Any]:
    return [_part(part) for part in get(content, "parts") or ()]


def _part(part: Any) -> Any:
    if text(part, "text") is not None:
        return {"type": "thinking" if get(part, "thought") else "text", "text": text(part, "text")} | (
            {"thinking": text(part, "text")} if get(part, "thought") else {}
        )
    call, response = get(part, "functionCall"), get(part, "functionResponse")
    if call:
        return {
            "type": "tool_use",
            "id": get(call, "id"),
            "name": get(call, "name"),
            "input": get(call, "args"),
        }
    if response:
        return {
            "type": "tool_result",
            "tool_use_id": get(response, "id"),
            "content": get(response, "response"),
        }
    return part


def _tool_call(call: Any) -> dict[str, Any]:
    function = {"name": get(call, "name"), "arguments": get(call, "args")}
    return {"id": get(call, "id"), "type": "function", "function": function}
