"""Results of batches: each answer in them is a call, recorded when it is fetched, at the price of batches.

A batch is worked off hours after the process that ordered it, often in another one, so there is nothing to be opened
when it begins. Whoever fetches results twice records them twice; the collector bills an answer once, by its id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from everyspan.instrument.answers import Answered
from everyspan.instrument.sdk.answer import Reader, SdkAnswer, Told
from everyspan.instrument.sdk.bodies import decoded
from everyspan.instrument.sdk.calls import Calls
from everyspan.instrument.sdk.request import Asked
from everyspan.record import names
from everyspan.record.call import End
from everyspan.record.growing import GrowingMessage
from everyspan.record.tally import TALLY


class Result(NamedTuple):
    """A line of a batch's results that a model answered."""

    asked: Asked
    body: Any
    custom_id: str


ReadLine = Callable[[Any, Any], Result | None]
"""Reads a decoded line that a client fetched; None for one that no model answered."""


class BatchReader:
    """Another reader's reading, with usage that was billed as a batch's."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read_whole(self, answered: Answered, body: Any) -> None:
        """See `Reader`."""
        self._reader.read_whole(answered, body)
        if answered.usage is not None:
            answered.usage = replace(answered.usage, batch=True)

    def read_chunks(self, answered: Answered, chunks: list[Any]) -> None:
        """See `Reader`. Batches do not stream."""

    def grow(self, message: GrowingMessage, chunk: Any) -> None:
        """See `Reader`."""

    def told(self, chunk: Any) -> Told:
        """See `Reader`."""
        return Told()

    def is_last(self, chunk: Any) -> bool:
        """See `Reader`."""
        return True


class Lines:
    """Takes the bytes of a file of JSON lines as they pass, and records each line when it is whole."""

    def __init__(self, calls: Calls, client: Any, read: ReadLine) -> None:
        self._calls = calls
        self._client = client
        self._read = read
        self._pending = b""

    def saw(self, data: bytes) -> None:
        """A piece of the file; never raises."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._record(line)

    def ended(self) -> None:
        """The file is over; the last line may have no end."""
        self._record(self._pending)
        self._pending = b""

    def _record(self, line: bytes) -> None:
        try:
            result = self._read(self._client, decoded(line)) if line.strip() else None
            call = self._calls.open(result.asked, is_spent=True) if result is not None else None
            if result is None or call is None:
                return
            call.span.set_attribute(names.BATCH_CUSTOM_ID, result.custom_id)
            if isinstance(call.answer, SdkAnswer):
                call.answer.take_whole(result.body)
            call.end(End.COMPLETE)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read a batch's results", error)


def may_be_results(file: bytes) -> bool:
    """Whether a file begins as OpenAI's results do: training data is as long, and not worth decoding."""
    end = file.find(b"\n")
    first = file[: end if end >= 0 else None]
    return first[:1] == b"{" and b'"custom_id"' in first and b'"response"' in first


def tapped(source: Any, lines: Lines) -> Any:
    """An iterator of bytes that also go to `lines`, as it is read: sync or async as `source` is."""
    return _atapped(source, lines) if hasattr(source, "__anext__") else _tapped(source, lines)


def _tapped(source: Iterator[bytes], lines: Lines) -> Iterator[bytes]:
    for data in source:
        lines.saw(data)
        yield data
    lines.ended()


async def _atapped(source: AsyncIterator[bytes], lines: Lines) -> AsyncIterator[bytes]:
    async for data in source:
        lines.saw(data)
        yield data
    lines.ended()
