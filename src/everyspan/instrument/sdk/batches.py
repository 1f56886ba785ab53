"""Results of batches: each request in them is a call, recorded when it is fetched, at the price of batches.

A batch is worked off hours after the process that ordered it, often in another one, so there is nothing to be opened
when it begins. Whoever fetches results twice records them twice; the collector bills an answer once, by its id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
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


class Failure(NamedTuple):
    """Why a request of a batch has no answer."""

    kind: str
    """The provider's own word for it: `expired`, `batch_cancelled`, `invalid_request_error`."""
    message: str


class Result(NamedTuple):
    """What became of one request of a batch."""

    asked: Asked
    body: Any
    custom_id: str
    failure: Failure | None = None
    """None where a model answered; what failed costs nothing, at any provider."""


class BatchRequestError(Exception):
    """What ends the span of a request of a batch that failed. Never raised."""


ReadLine = Callable[[Any, Any], Result | None]
"""Reads a decoded line that a client fetched; None for one that is no result of a batch."""

_told: ContextVar[list[int] | None] = ContextVar("everyspan_batch_results", default=None)


class Watching:
    """While a library fetches results, maybe through another one that is instrumented and records them."""

    def __enter__(self) -> Watching:
        self._counts: list[int] = []
        self._token = _told.set(self._counts)
        return self

    def __exit__(self, *exc_info: object) -> None:
        _told.reset(self._token)

    @property
    def recorded(self) -> bool:
        """Whether any result was recorded meanwhile."""
        return bool(self._counts)


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

    def saw_whole(self, file: bytes) -> None:
        """A file in one piece."""
        self.saw(file)
        self.ended()

    def _record(self, line: bytes) -> None:
        try:
            result = self._read(self._client, decoded(line)) if line.strip() else None
            if result is not None:
                record(self._calls, result)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read a batch's results", error)


def record(calls: Calls, result: Result) -> None:
    """One span for what became of a request."""
    call = calls.open(result.asked, is_spent=True)
    if call is None:
        return
    counts = _told.get()
    if counts is not None:
        counts.append(1)
    call.span.set_attribute(names.BATCH_CUSTOM_ID, result.custom_id)
    if result.failure is None:
        if isinstance(call.answer, SdkAnswer):
            call.answer.take_whole(result.body)
        call.end(End.COMPLETE)
        return
    kind, message = result.failure
    call.answer = None
    call.span.set_attribute(names.UNBILLED, f"the request of the batch failed ({kind})")
    call.end(End.ERROR, error=BatchRequestError(f"{kind}: {message}" if message else kind))


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
