"""Lines of the files in which OpenAI, and who follows it, gives the results of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.instrument.fields import get
from everyspan.instrument.openai.chat import text
from everyspan.instrument.openai.endpoints import ENDPOINTS
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.batches import BatchReader, Failure, Result

_PATH_OF = {
    "chat.completion": "/chat/completions",
    "response": "/responses",
    "text_completion": "/completions",
    "list": "/embeddings",
}
"""What an answer calls itself → where it is asked for."""


def result_of(line: Any, origin: Origin) -> Result | None:
    """What a line is. Files hold other things too: only what looks like a result is read."""
    custom_id = text(line, "custom_id")
    if custom_id is None or not isinstance(line, Mapping) or "response" not in line:
        return None
    response = get(line, "response")
    body = get(response, "body")
    failure = _failure(line, response, body)
    if failure is not None:
        # Which endpoint and which model it was for stands in the request alone.
        asked = ENDPOINTS["/chat/completions"]({}, origin)
        return Result(asked, None, custom_id, failure)
    path = _PATH_OF.get(text(body, "object") or "")
    if path is None or get(response, "status_code") != 200:
        return None
    asked = ENDPOINTS[path]({"model": text(body, "model") or ""}, origin)
    return Result(asked._replace(reader=BatchReader(asked.reader)), body, custom_id)


def _failure(line: Any, response: Any, body: Any) -> Failure | None:
    error = get(line, "error")  # it expired, or the batch was cancelled, before the request was tried
    if isinstance(error, Mapping):
        return Failure(text(error, "code") or "error", text(error, "message") or "")
    status = get(response, "status_code")
    if not isinstance(status, int) or status < 400:
        return None
    refusal = get(body, "error")
    return Failure(
        text(refusal, "code") or text(refusal, "type") or str(status), text(refusal, "message") or ""
    )
