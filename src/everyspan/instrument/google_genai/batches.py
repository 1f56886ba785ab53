"""Results of Gemini's batches: in the batch itself, or in a file of lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.instrument.fields import get
from everyspan.instrument.google_genai.content import EmbeddingsReader, GeminiReader
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.batches import BatchReader, Failure, Result
from everyspan.instrument.sdk.request import Asked

_INLINE = {"inlinedResponses": "generate_content", "inlinedEmbedContentResponses": "embeddings"}
"""Where a batch holds its results → what was asked."""


def results_in(batch: Any, origin: Origin) -> list[Result]:
    """What a batch holds of its results, in the order of its requests; none before it has ended."""
    about = get(batch, "metadata")
    model = (text(about, "model") or "").removeprefix("models/")
    found: list[Result] = []
    for place, operation in _INLINE.items():
        held = get(get(get(about, "output") or get(batch, "response"), place), "inlinedResponses")
        for number, each in enumerate(held if isinstance(held, list) else ()):
            named = text(get(each, "metadata"), "key") or str(number)
            result = _result(each, model, operation, origin, named)
            found += [result] if result is not None else []
    return found


def result_of(line: Any, origin: Origin) -> Result | None:
    """What a line of a file is; Vertex AI's lines hold the request, too."""
    if not isinstance(line, Mapping) or not ("key" in line or "request" in line):
        return None
    operation = "embeddings" if get(get(line, "response"), "embedding") is not None else "generate_content"
    return _result(line, "", operation, origin, text(line, "key") or "")


def may_be_results(file: bytes) -> bool:
    """Whether a file begins as results do."""
    end = file.find(b"\n")
    first = file[: end if end >= 0 else None]
    return first[:1] == b"{" and b'"key"' in first and (b'"response"' in first or b'"error"' in first)


def _result(told: Any, model: str, operation: str, origin: Origin, custom_id: str) -> Result | None:
    body, error = get(told, "response"), get(told, "error")
    reader = EmbeddingsReader() if operation == "embeddings" else GeminiReader()
    answered = text(body, "modelVersion") or model
    asked = Asked(operation=operation, model=answered, reader=BatchReader(reader), origin=origin)
    if isinstance(error, Mapping):
        kind = text(error, "status") or str(get(error, "code") or "error")
        return Result(asked, None, custom_id, Failure(kind, text(error, "message") or ""))
    if text(told, "status"):  # Vertex AI's word for what went wrong, empty for nothing
        return Result(asked, None, custom_id, Failure("error", text(told, "status") or ""))
    is_answer = any(get(body, name) is not None for name in ("candidates", "usageMetadata", "embedding"))
    return Result(asked, body, custom_id) if is_answer else None
