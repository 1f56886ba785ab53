"""Google's Gemini API, as far as a client can tell (`POST /v1beta/models/{model}:generateContent` and its kin)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from everyspan.testing.provider.answer import Answer, Block, Question, new_id
from everyspan.testing.provider.api import SERVER_SENT, BadRequestError, Json, compact

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


class GeminiApi:
    """Bodies, chunks and errors in Google's format; model and streaming stand in the path."""

    name = "google"
    stream_type = SERVER_SENT

    def __init__(self, model: str, *, stream: bool = False) -> None:
        self._model = model
        self._stream = stream

    def new_response_id(self) -> str:
        """Such as `Abc…`."""
        return new_id("", length=22)

    def api_key(self, headers: Mapping[str, str]) -> str:
        """The key of the request; empty when it has none."""
        return headers.get("x-goog-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def headers(self, request_id: str) -> dict[str, str]:
        """Headers of every answer."""
        return {"server-timing": "gfet4t7; dur=1", "x-fake-request-id": request_id}

    def question(self, body: Json) -> Question:
        """What is asked.

        Raises:
            BadRequestError: the API would not accept this.
        """
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            raise BadRequestError("contents is not specified")
        config = body.get("generationConfig") or {}
        return Question(
            model=self._model,
            blocks=tuple(_blocks(body, contents)),
            prompt="\n".join(block.text for block in _parts(contents[-1]) if block.text),
            stream=self._stream,
            max_tokens=config.get("maxOutputTokens"),
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer in one piece."""
        return _chunk(answer, answer.text, output=answer.tokens.output, finish=_finish_reason(answer))

    def opening(self, answer: Answer) -> bytes:
        """Nothing comes before the text."""
        return b""

    def piece(self, answer: Answer, index: int) -> bytes:
        """The chunk with one piece of the text; each tells the usage so far."""
        return _event(_chunk(answer, answer.pieces[index], output=index + 1, finish=None))

    def closing(self, answer: Answer) -> bytes:
        """The last chunk."""
        return _event(_chunk(answer, "", output=answer.tokens.output, finish=_finish_reason(answer)))

    def error(self, status: int, message: str, *, request_id: str) -> Json:
        """The body of an HTTP error."""
        told = f"{message} (request id {request_id})"
        return {"error": {"code": status, "message": told, "status": _STATUSES.get(status, "INTERNAL")}}

    def stream_error(self) -> bytes:
        """What a stream says that fails in its middle."""
        return _event(self.error(503, "The model is overloaded", request_id=""))


class GeminiEmbeddingsApi(GeminiApi):
    """`:batchEmbedContents`: vectors that mean nothing."""

    def question(self, body: Json) -> Question:
        """What is asked; raises BadRequestError for what the API would not accept."""
        asked = body.get("requests") or [body]
        blocks = [block for each in asked for block in _parts(each.get("content") or {})]
        return Question(
            model=self._model,
            blocks=tuple(blocks),
            prompt=blocks[-1].text or "" if blocks else "",
            max_tokens=0,
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer."""
        return {"embeddings": [{"values": [0.125] * 8}]}


def _blocks(body: Json, contents: list[Json]) -> Iterator[Block]:
    yield from (Block(compact(tool)) for tool in body.get("tools") or ())
    yield from _parts(body.get("systemInstruction") or {})
    for content in contents:
        yield from _parts(content)


def _parts(content: Json) -> Iterator[Block]:
    for part in content.get("parts") or ():
        text = part.get("text")
        yield Block(text if isinstance(text, str) else None)


def _chunk(answer: Answer, text: str, *, output: int, finish: str | None) -> dict[str, object]:
    candidate: dict[str, object] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    tokens = answer.tokens
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": tokens.input,
            "candidatesTokenCount": output,
            "totalTokenCount": tokens.input + output,
        },
        "modelVersion": answer.model,
        "responseId": answer.response_id,
    }


def _finish_reason(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.cut_by_limit else "STOP"


def _event(body: Json) -> bytes:
    return f"data: {compact(body)}\r\n\r\n".encode()
