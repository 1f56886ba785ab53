"""Tokens of a call that nobody counted: its stream was left, or its provider told none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from everyspan.model.usage import Usage
from everyspan.record import names
from everyspan.record.call import Call
from everyspan.record.text import as_json
from everyspan.spool.unfinished import text_bytes, tokens_in

_INPUTS = (names.INPUT_MESSAGES, names.LANGFUSE_INPUT)


def completed_by_estimate(
    call: Call, usage: Usage | None, *, said: list[Any], output_is_final: bool
) -> Usage | None:
    """`usage` with what is missing in it estimated; the same object when nothing is.

    By the rule for calls whose process died: UTF-8 bytes of the texts divided by four, rounded up.

    Args:
        said: the messages that had arrived of the answer.
        output_is_final: the provider has counted all of the output; otherwise its count is of the beginning only.
    """
    found = usage or Usage()
    if found.input_tokens is None:
        sent = _input_bytes(call)
        if sent:
            found = replace(found, input_tokens=tokens_in(sent))
    if said and not output_is_final:
        arrived = tokens_in(sum(text_bytes(as_json(message)) for message in said))
        if arrived and arrived > (found.output_tokens or 0):
            found = replace(found, output_tokens=arrived)
    return usage if found == Usage() or found == usage else found


def _input_bytes(call: Call) -> int:
    known = getattr(call.span, "attributes", None) or {}
    sent = next((known[name] for name in _INPUTS if isinstance(known.get(name), str)), None)
    if sent is None:
        return int(known.get(names.SHED_INPUT_BYTES) or 0)
    tools = known.get(names.TOOL_DEFINITIONS) if names.INPUT_MESSAGES in known else None
    return text_bytes(str(sent)) + (len(tools.encode()) if isinstance(tools, str) else 0)
