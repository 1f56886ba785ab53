"""litellm's answers in other shapes than chat completions: responses, Anthropic messages, and what only counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.util.types import AttributeValue

from everyspan.instrument.answers import Answered, ChatAnswer, read_hidden
from everyspan.instrument.anthropic.messages import MessagesReader
from everyspan.instrument.openai.chat import OtherReader
from everyspan.instrument.openai.responses import ResponsesReader
from everyspan.instrument.sdk.answer import Origin, Reader, SdkAnswer
from everyspan.instrument.sdk.bodies import events_in
from everyspan.record.call import Call, End
from everyspan.record.registry import Registry
from everyspan.record.stream import is_stream

_READERS: Mapping[str, Callable[[], Reader]] = {
    "responses": ResponsesReader,
    "aresponses": ResponsesReader,
    "anthropic_messages": MessagesReader,
    "image_generation": OtherReader,
    "aimage_generation": OtherReader,
    "image_edit": OtherReader,
    "aimage_edit": OtherReader,
    "transcription": OtherReader,
    "atranscription": OtherReader,
    "speech": OtherReader,
    "aspeech": OtherReader,
    "rerank": OtherReader,
    "arerank": OtherReader,
}
"""Function → how its answers are read; all others answer in the chat shape."""


def answer_of(function: str, answer: Any, registry: Registry) -> ChatAnswer | LitellmAnswer:
    """The reader of what `function` gave."""
    make = _READERS.get(function)
    if make is None:
        return (ChatAnswer.streamed if is_stream(answer) else ChatAnswer.whole)(answer, registry)
    made = LitellmAnswer(registry, make(), Origin("", ""))
    made.given = answer
    if not is_stream(answer):
        made.take_whole(answer)
    return made


class LitellmAnswer(SdkAnswer):
    """An answer that litellm passes on in the provider's own shape, with its notes beside it."""

    given: Any = None

    def add(self, chunk: Any) -> None:
        """See `SdkAnswer`. litellm streams Anthropic's messages as the bytes that came."""
        if isinstance(chunk, bytes):
            for event in events_in(chunk):
                super().add(event)
        else:
            super().add(chunk)

    def finish(self, answered: Answered, call: Call, end: End) -> Mapping[str, AttributeValue]:
        """See `SdkAnswer`."""
        read_hidden(answered, self.given)
        return super().finish(answered, call, end)
