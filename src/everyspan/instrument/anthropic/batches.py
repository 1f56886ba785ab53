"""Lines of what Anthropic gives as the results of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.instrument.anthropic.messages import MessagesReader
from everyspan.instrument.fields import get
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.batches import BatchReader, Failure, Result
from everyspan.instrument.sdk.request import Asked

_FAILED = frozenset({"errored", "canceled", "expired"})


def result_of(line: Any, origin: Origin) -> Result | None:
    """What a line is; the usage of an answer says by itself that it is a batch's."""
    result = get(line, "result")
    kind, message = text(result, "type") or "", get(result, "message")
    answered = kind == "succeeded" and isinstance(message, Mapping)
    if not answered and kind not in _FAILED:
        return None
    model = (text(message, "model") or "") if answered else ""  # a failed line does not tell which was asked
    asked = Asked(operation="chat", model=model, reader=BatchReader(MessagesReader()), origin=origin)
    custom_id = text(line, "custom_id") or ""
    if answered:
        return Result(asked, message, custom_id)
    error = get(get(result, "error"), "error")
    return Result(asked, None, custom_id, Failure(text(error, "type") or kind, text(error, "message") or ""))
