"""OpenAI's smaller APIs: completions, embeddings, images, speech."""

from __future__ import annotations

import time

from everyspan.testing.provider.answer import Answer, Block, Question, new_id
from everyspan.testing.provider.api import BadRequestError, Json, checked_model, compact
from everyspan.testing.provider.openai_api import OpenAIApi, finish_reason, usage_of

_DIMENSIONS = 8


class CompletionsApi(OpenAIApi):
    """`POST /v1/completions`: a text goes on."""

    def new_response_id(self) -> str:
        """Such as `cmpl-Abc…`."""
        return new_id("cmpl-", length=29)

    def question(self, body: Json) -> Question:
        """What is asked; raises BadRequestError for what the API would not accept."""
        texts = texts_in(body.get("prompt"), "prompt")
        stream = bool(body.get("stream"))
        options = body.get("stream_options") or {}
        return Question(
            model=checked_model(body),
            blocks=tuple(map(Block, texts)),
            prompt=texts[-1],
            stream=stream,
            max_tokens=body.get("max_tokens"),
            include_usage=not stream or bool(options.get("include_usage")),
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer in one piece."""
        return _completion(answer, answer.text, finish_reason(answer)) | {"usage": usage_of(answer)}

    def opening(self, answer: Answer) -> bytes:
        """Nothing comes before the text."""
        return b""

    def piece(self, answer: Answer, index: int) -> bytes:
        """The chunk with one piece of the text."""
        return _event(_completion(answer, answer.pieces[index], None))

    def closing(self, answer: Answer) -> bytes:
        """The chunks after the text; the usage comes last, if it was asked for."""
        end = _event(_completion(answer, "", finish_reason(answer)))
        if answer.include_usage:
            end += _event(_completion(answer, "", None) | {"choices": [], "usage": usage_of(answer)})
        return end + b"data: [DONE]\n\n"


class EmbeddingsApi(OpenAIApi):
    """`POST /v1/embeddings`: vectors that mean nothing, and the input's tokens."""

    def question(self, body: Json) -> Question:
        """What is asked; raises BadRequestError for what the API would not accept."""
        texts = texts_in(body.get("input"), "input")
        return Question(
            model=checked_model(body), blocks=tuple(map(Block, texts)), prompt=texts[-1], max_tokens=0
        )

    def plain(self, answer: Answer) -> Json:
        """The body of an answer."""
        vector = [0.125] * _DIMENSIONS
        return {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "model": answer.model,
            "usage": {"prompt_tokens": answer.tokens.input, "total_tokens": answer.tokens.input},
        }


class ImagesApi(OpenAIApi):
    """`POST /v1/images/generations`: one tiny picture, in base64."""

    def question(self, body: Json) -> Question:
        """What is asked; raises BadRequestError for what the API would not accept."""
        texts = texts_in(body.get("prompt"), "prompt")
        return Question(model=checked_model(body), blocks=tuple(map(Block, texts)), prompt=texts[-1])

    def plain(self, answer: Answer) -> Json:
        """The body of an answer; the picture counts as many tokens as a text would have."""
        tokens = answer.tokens
        return {
            "created": int(time.time()),
            "data": [{"b64_json": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"}],
            "usage": {
                "input_tokens": tokens.input,
                "input_tokens_details": {"text_tokens": tokens.input, "image_tokens": 0},
                "output_tokens": tokens.output,
                "total_tokens": tokens.input + tokens.output,
            },
        }


class SpeechApi(OpenAIApi):
    """`POST /v1/audio/speech`: the real one sends sound and tells no usage; this one sends JSON in its place."""

    def question(self, body: Json) -> Question:
        """What is asked; raises BadRequestError for what the API would not accept."""
        texts = texts_in(body.get("input"), "input")
        return Question(model=checked_model(body), blocks=tuple(map(Block, texts)), prompt=texts[-1])


def texts_in(value: object, name: str) -> list[str]:
    """A text, or a list of them.

    Raises:
        BadRequestError: it is neither.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError(f"{name}: a text or a list of texts is required")
    return texts


def _completion(answer: Answer, text: str, finish: str | None) -> dict[str, object]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {
        "id": answer.response_id,
        "object": "text_completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [choice],
    }


def _event(body: Json) -> bytes:
    return f"data: {compact(body)}\n\n".encode()
