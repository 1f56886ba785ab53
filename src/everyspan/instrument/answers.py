"""What a model call brought back, in the shape OpenAI gave the world and litellm gives to every provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.util.types import AttributeValue

from everyspan.cost.price import Purchase, price
from everyspan.cost.usage import attributes_of, langfuse_usage_details, usage_from
from everyspan.instrument.cost_attributes import cost_attributes, langfuse_cost_details
from everyspan.instrument.fields import get, held, plain
from everyspan.model.money import Cost
from everyspan.model.usage import Usage
from everyspan.record import names
from everyspan.record.budget import charge
from everyspan.record.call import Call, End
from everyspan.record.estimate import completed_by_estimate
from everyspan.record.growing import GrowingMessage
from everyspan.record.messages import messages_as_json
from everyspan.record.registry import Arrived, Registry
from everyspan.record.text import as_json

_REASONS: dict[tuple[str, ...], tuple[str, ...]] = {
    reasons: reasons for reasons in (("stop",), ("length",), ("tool_calls",))
}
"""How nearly all answers end: the same object each time, so that the encoder knows it again."""

# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_COMPLETE = End.COMPLETE


class Answered:
    """The facts of an answer that every library can tell, on the way to attributes."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.provider = ""
        self.usage: Usage | None = None
        self.usage_raw: Any = None
        self.messages: list[Any] = []
        self.finish_reasons: list[str] = []
        self.cache_hit = False
        self.server_address = ""
        self.estimates = False
        """What the provider did not count is estimated: a stream tells its usage late, some APIs tell none."""
        self.output_is_final = True
        """The usage, if there is any, counts all of the output and not only its beginning."""
        self.more: dict[str, AttributeValue] = {}

    def attributes(self, call: Call, end: End, registry: Registry) -> dict[str, AttributeValue]:
        """Everything as span attributes, usage and cost included."""
        found: dict[str, AttributeValue] = dict(self.more)
        if self.estimates and not self.cache_hit and (self.usage is None or not self.output_is_final):
            self._estimate(call, found)
        if self.id:
            found[names.RESPONSE_ID] = self.id
        if self.model:
            found[names.RESPONSE_MODEL] = self.model
        if self.provider:
            found[names.PROVIDER] = self.provider
        if self.finish_reasons:
            reasons = tuple(self.finish_reasons)
            found[names.FINISH_REASONS] = _REASONS.get(reasons, reasons)
        if self.cache_hit:
            found[names.CACHE_HIT] = True
        if self.usage is not None:
            found.update(attributes_of(self.usage))
            if self.usage_raw is not None:
                found[names.USAGE_RAW] = as_json(self.usage_raw)
            if not call.claim(self.usage.input_tokens, self.usage.output_tokens):
                found[names.UNBILLED] = "an inner call reported the same usage"
        self._write_messages(found, registry)
        bill = price(
            Purchase(
                usage=self.usage,
                model=self.model or call.model,
                provider=self.provider,
                server_address=self.server_address,
                at_ns=call.started_ns,
                cache_hit=self.cache_hit,
                estimated=self.usage is not None and (end is not _COMPLETE or names.USAGE_SOURCE in found),
            )
        )
        if call.budgets and names.UNBILLED not in found:
            charge(call.budgets, bill)
        found.update(cost_attributes(bill, unbilled=names.UNBILLED in found))
        if registry.for_langfuse:
            found.update(self._langfuse(call, bill, unbilled=names.UNBILLED in found))
        return found

    def _estimate(self, call: Call, found: dict[str, AttributeValue]) -> None:
        counted = self.usage
        self.usage = completed_by_estimate(
            call, counted, said=self.messages, output_is_final=counted is not None and self.output_is_final
        )
        if self.usage is not counted:
            found[names.USAGE_SOURCE] = "estimated"

    def _write_messages(self, found: dict[str, AttributeValue], registry: Registry) -> None:
        if not self.messages:
            return
        if registry.for_otlp:
            found[names.OUTPUT_MESSAGES] = messages_as_json(self.messages)
        if registry.for_langfuse:
            found[names.LANGFUSE_OUTPUT] = as_json(
                self.messages[0] if len(self.messages) == 1 else self.messages
            )

    def _langfuse(self, call: Call, bill: Cost, *, unbilled: bool) -> dict[str, AttributeValue]:
        """What a Langfuse server should show: our figure, not one it computes from its own table."""
        found: dict[str, AttributeValue] = {names.LANGFUSE_MODEL: self.model or call.model}
        if self.usage is not None:
            found[names.LANGFUSE_USAGE] = as_json(langfuse_usage_details(self.usage))
        details = langfuse_cost_details(bill, unbilled=unbilled)
        if details:
            found[names.LANGFUSE_COST] = details
        if call.first_chunk_ns:
            first = datetime.fromtimestamp(0, UTC) + timedelta(
                microseconds=(call.started_ns + call.first_chunk_ns) // 1000
            )
            # Langfuse's SDKs send the time as JSON, quotes included, and its server expects it so.
            found[names.LANGFUSE_FIRST_TOKEN_AT] = as_json(first.isoformat().replace("+00:00", "Z"))
        return found


class ChatAnswer:
    """Reads one answer of litellm or OpenAI, whole or in chunks, into `Answered`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._chunks: list[Any] = []
        self._whole: Any = None
        self._kept_chunks: list[Any] | None = None
        self._growing: GrowingMessage | None = None
        self._parts = self._grown = self._seen = 0

    @classmethod
    def whole(cls, answer: Any, registry: Registry) -> ChatAnswer:
        """The reader of a complete response."""
        made = cls(registry)
        made._whole = answer
        return made

    @classmethod
    def streamed(cls, stream: Any, registry: Registry) -> ChatAnswer:
        """The reader of a stream. litellm keeps all chunks, those with usage that it hides from the user too."""
        made = cls(registry)
        kept = getattr(stream, "chunks", None)
        made._kept_chunks = kept if isinstance(kept, list) else None
        return made

    def add(self, chunk: Any) -> None:
        """Keep a chunk; it is read when the stream has ended, so that the user does not wait for it now."""
        self._chunks.append(chunk)

    def keep_part(self, call: Call) -> None:
        """See `Answer`. Of several choices only the first is kept until the end."""
        fresh, self._grown = self._chunks[self._grown :], len(self._chunks)
        growing = self._growing = self._growing or GrowingMessage()
        for chunk in fresh:
            grow(growing, chunk)
        found: dict[str, AttributeValue] = {}
        if not self._parts:
            found[names.TIME_TO_FIRST_CHUNK] = call.first_chunk_ns / 1e9
            answer_id, model = _text(self._chunks[0], "id"), _text(self._chunks[0], "model")
            found.update({names.RESPONSE_ID: answer_id} if answer_id else {})
            found.update({names.RESPONSE_MODEL: model} if model else {})
        found.update(self._input_usage())
        self._parts += write_part(call, self._registry, growing, found, number=self._parts + 1)

    def _input_usage(self) -> dict[str, AttributeValue]:
        """What the provider told of the input while the answer still arrives; Anthropic does at the beginning."""
        chunks = self._kept_chunks if self._kept_chunks is not None else self._chunks
        fresh, self._seen = chunks[self._seen :], len(chunks)
        for chunk in reversed(fresh):
            told = Answered()
            read_usage(told, get(chunk, "usage"))
            if told.usage is not None and told.usage.input_tokens:
                return {
                    name: value for name, value in attributes_of(told.usage).items() if "output" not in name
                }
        return {}

    def attributes(self, call: Call, end: End) -> Mapping[str, AttributeValue]:
        """The attributes of the ended call."""
        answered = Answered()
        if self._whole is not None:
            read_whole(answered, self._whole)
        elif self._chunks or self._kept_chunks:
            answered.estimates = True
            read_chunks(answered, self._chunks, self._kept_chunks or ())
        for told in (self._whole, *self._chunks[-2:]):
            read_tier(answered, told)
        read_hidden(answered, self._whole if self._whole is not None else _last(self._chunks))
        return answered.attributes(call, end, self._registry)


def write_part(
    call: Call,
    registry: Registry,
    growing: GrowingMessage,
    found: Mapping[str, AttributeValue],
    *,
    number: int,
) -> bool:
    """Put on disk what `growing` got since the last time and what was `found` out; False when that is nothing."""
    grown: dict[str, tuple[str, str]] = {}
    if registry.for_otlp:
        grown[names.OUTPUT_MESSAGES] = growing.take_genai()
    if registry.for_langfuse:
        grown[names.LANGFUSE_OUTPUT] = growing.take_chat()
    grows = [(name, text) for name, (text, _) in grown.items() if text]
    if not found and not grows:
        return False
    closes = {name: end for name, (_, end) in grown.items() if end}
    registry.write_part(call.span, number, Arrived(found, grows, closes))
    return True


def read_whole(answered: Answered, answer: Any) -> None:
    """Read a complete answer in the chat or completion shape, an object or a dict."""
    told = held(answer, _OF_ANSWER)
    made, model = told.get("id"), told.get("model")
    answered.id = made if isinstance(made, str) else None
    answered.model = model if isinstance(model, str) else None
    for each in told.get("choices") or ():
        choice = held(each, _OF_CHOICE)
        message = choice.get("message")
        if message is not None:
            answered.messages.append(_plain_message(message))
        elif choice.get("text") is not None:
            answered.messages.append({"role": "assistant", "content": choice["text"]})
        if choice.get("finish_reason"):
            answered.finish_reasons.append(str(choice["finish_reason"]))
    read_usage(answered, told.get("usage"))


def read_chunks(answered: Answered, chunks: list[Any], kept: Any) -> None:
    """Read a stream in that shape; `kept` has the chunks that the user did not see, usage among them."""
    text: list[str] = []
    reasoning: list[str] = []
    tools: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        answered.id = answered.id or _text(chunk, "id")
        answered.model = answered.model or _text(chunk, "model")
        for choice in get(chunk, "choices") or ():
            delta = get(choice, "delta")
            text.append((get(delta, "content") if delta is not None else get(choice, "text")) or "")
            reasoning.append(get(delta, "reasoning_content") or "")
            for piece in get(delta, "tool_calls") or ():
                _join_tool_call(tools, piece)
            if get(choice, "finish_reason"):
                answered.finish_reasons.append(str(get(choice, "finish_reason")))
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text)}
    if any(reasoning):
        message["reasoning_content"] = "".join(reasoning)
    if tools:
        message["tool_calls"] = [tools[index] for index in sorted(tools)]
    answered.messages.append(message)
    usages = (get(chunk, "usage") for chunk in (*reversed(kept), *reversed(chunks)))
    read_usage(answered, next((usage for usage in usages if usage is not None), None))


def read_tier(answered: Answered, body: Any) -> None:
    """Read the tier that was billed: it stands beside the usage, and decides the price."""
    tier = _text(body, "service_tier")
    if tier and answered.usage is not None and answered.usage.service_tier is None:
        answered.usage = replace(answered.usage, service_tier=tier.lower())


def grow(message: GrowingMessage, chunk: Any) -> None:
    """Add what a chunk brings to a message that grows."""
    for choice in get(chunk, "choices") or ():
        if get(choice, "index"):
            continue
        delta = get(choice, "delta")
        message.add_reasoning(get(delta, "reasoning_content") or "")
        message.add_text((get(delta, "content") if delta is not None else get(choice, "text")) or "")
        for piece in get(delta, "tool_calls") or ():
            function, index = get(piece, "function"), get(piece, "index")
            message.add_tool_call(
                index if isinstance(index, int) else 0,
                get(piece, "id") or "",
                get(function, "name") or "",
                get(function, "arguments") or "",
            )


def read_usage(answered: Answered, usage: Any) -> None:
    """Read a usage object, or none."""
    if usage is None:
        return
    # Reading a plain dict is several times faster than asking a pydantic model for each of thirty names.
    answered.usage_raw = plain(usage)
    answered.usage = usage_from(answered.usage_raw)


def read_hidden(answered: Answered, answer: Any) -> None:
    """What litellm knows beside the answer (`_hidden_params`)."""
    private = getattr(answer, "__pydantic_private__", None)
    if type(private) is dict and "_hidden_params" in private:
        hidden = private["_hidden_params"]  # asking the model itself takes six calls more
    else:
        hidden = getattr(answer, "_hidden_params", None)
    if type(hidden) is not dict and not isinstance(hidden, Mapping):
        return
    provider = hidden.get("custom_llm_provider")
    if provider == "cached_response":
        answered.cache_hit = True
    elif isinstance(provider, str):
        answered.provider = provider
    # litellm leaves the full price here on a cache hit, so the flag decides (1.83.7 to 1.109.1).
    answered.cache_hit = answered.cache_hit or bool(hidden.get("cache_hit"))
    claimed = hidden.get("response_cost")
    if isinstance(claimed, (int, float)) and not isinstance(claimed, bool):
        answered.more[names.COST_CLAIMED] = repr(claimed)
    headers = hidden.get("additional_headers")
    if headers and isinstance(headers, Mapping):
        for name in ("llm_provider-request-id", "llm_provider-x-request-id"):
            if isinstance(headers.get(name), str):
                answered.more[names.REQUEST_ID] = headers[name]


def _join_tool_call(tools: dict[int, dict[str, Any]], piece: Any) -> None:
    index = get(piece, "index")
    call = tools.setdefault(
        index if isinstance(index, int) else len(tools),
        {"type": "function", "function": {"name": "", "arguments": ""}},
    )
    function = get(piece, "function")
    if get(piece, "id"):
        call["id"] = get(piece, "id")
    call["function"]["name"] += get(function, "name") or ""
    call["function"]["arguments"] += get(function, "arguments") or ""


_OPTIONAL = ("tool_calls", "function_call", "reasoning_content", "refusal", "audio")
_OF_ANSWER = ("id", "model", "choices", "usage")
_OF_CHOICE = ("message", "text", "finish_reason")
_OF_MESSAGE = ("role", "content", *_OPTIONAL)


def _plain_message(message: Any) -> dict[str, Any]:
    told = held(message, _OF_MESSAGE)
    found = {"role": told.get("role"), "content": told.get("content")}
    for name in _OPTIONAL:
        if told.get(name) is not None:
            found[name] = told[name]
    return found


def _last(chunks: list[Any]) -> Any:
    return chunks[-1] if chunks else None


def _text(thing: Any, name: str) -> str | None:
    value = get(thing, name)
    return value if isinstance(value, str) else None
