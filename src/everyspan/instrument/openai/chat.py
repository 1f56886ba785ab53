"""OpenAI's chat completions and completions, and the APIs that tell little but their usage."""

from __future__ import annotations

from typing import Any

from everyspan.cost.usage import usage_from
from everyspan.instrument.answers import Answered, grow, read_chunks, read_tier, read_usage, read_whole
from everyspan.instrument.fields import get
from everyspan.instrument.sdk.answer import Told
from everyspan.record.growing import GrowingMessage


class ChatReader:
    """See `Reader`."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        read_whole(answered, body)
        read_tier(answered, body)

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`."""
        read_chunks(answered, chunks, ())
        for chunk in chunks[-2:]:
            read_tier(answered, chunk)

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""
        grow(message, chunk)

    def told(self, chunk: Any) -> Told:
        """See `Reader`. Some compatible servers tell the usage so far in each chunk."""
        return Told(text(chunk, "id"), text(chunk, "model"), usage_from(get(chunk, "usage")))

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return any(get(choice, "finish_reason") for choice in get(chunk, "choices") or ())


class OtherReader(ChatReader):
    """Embeddings, images and sound: what matters is the usage; vectors and pictures are not kept."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        answered.id, answered.model = text(body, "id"), text(body, "model")
        said = text(body, "text")  # a transcription
        if said is not None:
            answered.messages.append({"role": "assistant", "content": said})
        read_usage(answered, get(body, "usage"))

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`: the events of pictures and sound in a stream; the last one tells the usage."""
        said = [
            text(chunk, "delta") or "" for chunk in chunks if get(chunk, "type") == "transcript.text.delta"
        ]
        if any(said):
            answered.messages.append({"role": "assistant", "content": "".join(said)})
        told = (get(chunk, "usage") for chunk in reversed(chunks))
        read_usage(answered, next((usage for usage in told if usage is not None), None))

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        kind = get(chunk, "type")
        return isinstance(kind, str) and kind.endswith((".completed", ".done"))


def text(thing: Any, name: str) -> str | None:
    """A text in an object or a dict; None for anything else."""
    value = get(thing, name)
    return value if isinstance(value, str) else None
