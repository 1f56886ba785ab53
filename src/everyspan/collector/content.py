"""What went into a call and what came out, wherever the instrumentation at hand keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from everyspan.collector.attributes import Attributes, Value, as_text, from_json, nested
from everyspan.record import names

Event = tuple[str, Attributes]
"""Name and attributes of a span event."""


class Content(NamedTuple):
    """Input and output as text (JSON when they are structured), and the attributes that they were taken from."""

    input: str = ""
    output: str = ""
    taken: frozenset[str] = frozenset()


_LANGFUSE_PAIR = (names.LANGFUSE_INPUT, names.LANGFUSE_OUTPUT)
# The order of Langfuse's OtelIngestionProcessor, for the conventions that we know.
_PAIRS = (
    ("traceloop.entity.input", "traceloop.entity.output"),
    ("input.value", "output.value"),
    ("input", "output"),
    # pydantic-ai and Logfire: tools, whole agents, and calls to a model.
    ("tool_arguments", "tool_response"),
    ("pydantic_ai.all_messages", "final_result"),
    ("request_data", "response_data"),
)
_LAST_PAIRS = (
    (names.INPUT_MESSAGES, names.OUTPUT_MESSAGES),
    ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
)
_FLATTENED = (
    ("gen_ai.prompt", "gen_ai.completion"),
    ("llm.input_messages", "llm.output_messages"),
    ("llm.prompts", "llm.completions"),
)
_ANY_OF_PAIRS = frozenset(name for pair in _PAIRS for name in pair)
_FLAT_PREFIXES = tuple(prefix for pair in _FLATTENED for prefix in pair)
_SYSTEM = "gen_ai.system_instructions"
_DETAILS_EVENT = "gen_ai.client.inference.operation.details"
_ASKED_EVENTS = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}
_ANSWER_EVENT = "gen_ai.choice"


def content_of(attributes: Attributes, events: Sequence[Event]) -> Content:
    """The first pair of input and output of which one side is there.

    `taken` names the attributes that need not be kept a second time.
    """
    found = _pair(attributes, _LANGFUSE_PAIR) or (_from_events(events) if events else None)
    # Most spans speak one language: what none of them says is asked in one step.
    if found is None and not _ANY_OF_PAIRS.isdisjoint(attributes):
        found = _first(attributes, _PAIRS, _pair)
    if found is None and _may_be_flattened(attributes):
        found = _first(attributes, _FLATTENED, _flattened)
    return found or _first(attributes, _LAST_PAIRS, _pair) or Content()


def _may_be_flattened(attributes: Attributes) -> bool:
    """Whether some name may begin with one of the prefixes: six looks into one text instead of one for each name."""
    all_names = "".join(attributes)
    return any(prefix in all_names for prefix in _FLAT_PREFIXES)


def _first(
    attributes: Attributes,
    pairs: Sequence[tuple[str, str]],
    find: Callable[[Attributes, tuple[str, str]], Content | None],
) -> Content | None:
    for pair in pairs:
        found = find(attributes, pair)
        if found is not None:
            return found
    return None


def _pair(attributes: Attributes, pair: tuple[str, str]) -> Content | None:
    asked, answered = attributes.get(pair[0]), attributes.get(pair[1])
    if (asked is None or asked == "") and (answered is None or answered == ""):
        return None
    taken = {name for name in pair if name in attributes}
    text = as_text(asked)
    if pair[0] == names.INPUT_MESSAGES and attributes.get(_SYSTEM):
        text = _with_system(text, attributes[_SYSTEM])
        taken.add(_SYSTEM)
    return Content(text, as_text(answered), frozenset(taken))


def _with_system(messages: str, instructions: Value) -> str:
    listed = from_json(messages)
    if not isinstance(listed, list):
        return messages
    if any(isinstance(message, dict) and message.get("role") == "system" for message in listed):
        return messages
    return as_text([{"role": "system", "parts": from_json(instructions)}, *listed])


def _flattened(attributes: Attributes, pair: tuple[str, str]) -> Content | None:
    # OpenTelemetry's deprecated `gen_ai.prompt` is the prefix itself and holds the whole prompt.
    sides = [attributes.get(prefix) or nested(attributes, prefix) for prefix in pair]
    if all(side in (None, "") for side in sides):
        return None
    prefixes = tuple(prefix + "." for prefix in pair)
    taken = frozenset(name for name in attributes if name.startswith(prefixes) or name in pair)
    return Content(as_text(sides[0]), as_text(sides[1]), taken)


def _from_events(events: Sequence[Event]) -> Content | None:
    asked: list[Value] = []
    answered: list[Value] = []
    for name, attributes in events:
        if name == _DETAILS_EVENT:
            found = _pair(attributes, (names.INPUT_MESSAGES, names.OUTPUT_MESSAGES))
            if found is not None:
                return found._replace(taken=frozenset())
        elif name in _ASKED_EVENTS:
            asked.append({"role": _ASKED_EVENTS[name], **attributes})
        elif name == _ANSWER_EVENT:
            answered.append(dict(attributes))
        elif name == "gen_ai.content.prompt":
            asked.append(from_json(attributes.get("gen_ai.prompt")))
        elif name == "gen_ai.content.completion":
            answered.append(from_json(attributes.get("gen_ai.completion")))
    if not asked and not answered:
        return None
    return Content(as_text(asked) if asked else "", as_text(answered) if answered else "")
