"""The answer of a provider's SDK, whole or in chunks, on the way to attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from opentelemetry.util.types import AttributeValue

from everyspan.cost.usage import attributes_of
from everyspan.instrument.answers import Answered, write_part
from everyspan.model.usage import Usage
from everyspan.record import names
from everyspan.record.call import Call, End
from everyspan.record.growing import GrowingMessage
from everyspan.record.registry import Registry


class Origin(NamedTuple):
    """Who answers."""

    provider: str
    """As `gen_ai.provider.name` spells it."""
    server_address: str
    """The host; it decides whose price list counts."""


class Told(NamedTuple):
    """What a chunk says beside its text."""

    response_id: str | None = None
    model: str | None = None
    usage: Usage | None = None


class Reader(Protocol):
    """One API's answers. Objects of the SDK and plain dicts, out of raw bodies, are read alike."""

    def read_whole(self, answered: Answered, body: Any) -> None:
        """Read an answer in one piece."""

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """Read what came of a stream; `answered.output_is_final` says whether its usage counts all of it."""

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """Add a chunk's text to a message that grows."""

    def told(self, chunk: Any) -> Told:
        """What a chunk says of the answer as a whole."""

    def is_last(self, chunk: Any) -> bool:
        """True for a chunk after which no more text comes."""


class SdkAnswer:
    """Takes an answer as the SDK gives it and reads it when the call has ended."""

    def __init__(self, registry: Registry, reader: Reader, origin: Origin) -> None:
        self._registry = registry
        self._reader = reader
        self._origin = origin
        self._whole: Any = None
        self._chunks: list[Any] = []
        self._growing: GrowingMessage | None = None
        self._parts = self._grown = 0
        self.request_id = ""

    def take_whole(self, body: Any) -> None:
        """The answer came in one piece."""
        self._whole = body

    def add(self, chunk: Any) -> None:
        """Keep a chunk; it is read when the stream has ended, so that the user does not wait for it now."""
        self._chunks.append(chunk)

    @property
    def is_complete(self) -> bool:
        """True once nothing but the end of the stream is missing: whoever leaves it then has all of the answer."""
        # OpenAI's usage comes in a chunk behind the last one.
        return any(self._reader.is_last(chunk) for chunk in self._chunks[-2:])

    def keep_part(self, call: Call) -> None:
        """See `Answer`."""
        fresh, self._grown = self._chunks[self._grown :], len(self._chunks)
        growing = self._growing = self._growing or GrowingMessage()
        found: dict[str, AttributeValue] = {}
        for chunk in fresh:
            self._reader.grow(growing, chunk)
            if not self._parts:
                found.update(_early(self._reader.told(chunk)))
        if not self._parts:
            found[names.TIME_TO_FIRST_CHUNK] = call.first_chunk_ns / 1e9
        self._parts += write_part(call, self._registry, growing, found, number=self._parts + 1)

    def attributes(self, call: Call, end: End) -> Mapping[str, AttributeValue]:
        """The attributes of the ended call."""
        answered = Answered()
        answered.provider, answered.server_address = self._origin
        if self._whole is not None:
            self._reader.read_whole(answered, self._whole)
        elif self._chunks:
            answered.estimates = True
            self._reader.read_chunks(answered, self._chunks)
        if self.request_id:
            answered.more[names.REQUEST_ID] = self.request_id
        if (
            answered.provider == "aws.bedrock"
            and says_maker(call.model)
            and "." not in (answered.model or "")
        ):
            answered.model = None
        return self.finish(answered, call, end)

    def finish(self, answered: Answered, call: Call, end: End) -> Mapping[str, AttributeValue]:
        """The attributes of what was read."""
        return answered.attributes(call, end, self._registry)


def says_maker(model: str) -> bool:
    """Whether an id of Bedrock's names who made the model, and with that, where it matters, the place.

    A model's own answer calls it by its bare name, which says nothing of where it ran; that decides the price.
    """
    return "." in model.rpartition("/")[2]


def _early(told: Told) -> dict[str, AttributeValue]:
    """What is known of the answer while it still arrives; the input's tokens are final then, the output's are not."""
    found: dict[str, AttributeValue] = {}
    if told.response_id:
        found[names.RESPONSE_ID] = told.response_id
    if told.model:
        found[names.RESPONSE_MODEL] = told.model
    if told.usage is not None and told.usage.input_tokens:
        known = attributes_of(told.usage)
        found |= {name: value for name, value in known.items() if "output" not in name}
    return found
