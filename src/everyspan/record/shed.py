"""Texts that are left out of spans while the spool is nearly full, so that money still fits."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.altered import AlteredSpan

LONG_TEXT = 4096
"""Characters from which on any other text is left out, whoever wrote it."""

_BODIES = frozenset(
    {
        names.INPUT_MESSAGES,
        names.OUTPUT_MESSAGES,
        names.TOOL_DEFINITIONS,
        names.USAGE_RAW,
        names.LANGFUSE_INPUT,
        names.LANGFUSE_OUTPUT,
        "gen_ai.system_instructions",
        "langfuse.trace.input",
        "langfuse.trace.output",
        "input.value",
        "output.value",
        "traceloop.entity.input",
        "traceloop.entity.output",
    }
)
_BODY_PREFIXES = (
    "gen_ai.prompt",
    "gen_ai.completion",
    "llm.input_messages.",
    "llm.output_messages.",
    "ai.prompt",
    "ai.response.text",
)
_MONEY_PREFIXES = ("everyspan.cost.", "gen_ai.usage.")
_INPUTS = (names.INPUT_MESSAGES, names.LANGFUSE_INPUT)


class ShedSpan(AlteredSpan):
    """A span without its texts: everything else is the original's, and `everyspan.shed` names what is missing.

    `everyspan.shed.input_bytes` tells how long the input of a model call was, so that one that is interrupted can
    still be estimated.
    """

    def __init__(self, span: ReadableSpan) -> None:
        events = [event for event in span.events if not _is_heavy(event)]
        super().__init__(span, without_texts(span.attributes or {}), events=events)


def without_texts(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    """`attributes` without their texts, and what is missing by name."""
    held = list(attributes.items())
    kept = {name: value for name, value in held if not _is_text(name, value)}
    shed = [name for name, _ in held if name not in kept]
    if not shed:
        return kept
    kept[names.SHED] = tuple(shed)
    sent = next((value for name, value in held if name in _INPUTS and isinstance(value, str)), "")
    tools = next((value for name, value in held if name == names.TOOL_DEFINITIONS), "")
    if sent:
        size = len(sent.encode("utf-8", "replace"))
        kept[names.SHED_INPUT_BYTES] = size + (len(tools) if isinstance(tools, str) else 0)
    return kept


def is_body(name: str) -> bool:
    """True for attributes that hold what was asked and answered, in any of the conventions."""
    return name in _BODIES or name.startswith(_BODY_PREFIXES)


def _is_text(name: str, value: AttributeValue) -> bool:
    if is_body(name):
        return True
    return isinstance(value, str) and len(value) > LONG_TEXT and not name.startswith(_MONEY_PREFIXES)


def _is_heavy(event: Event) -> bool:
    """Whether it is a message in the conventions that write those as events, or long."""
    return event.name.startswith("gen_ai.") or any(
        isinstance(value, str) and len(value) > LONG_TEXT for value in (event.attributes or {}).values()
    )
