"""HTTP responses whose body the user reads: `with_raw_response`, `with_streaming_response`, and a stream's own.

The response object's class is exchanged for a subclass until the body has ended, so that its identity, its
`isinstance` and every way of reading it stay what they were (httpx and httpx2 alike).
"""

from __future__ import annotations

import json
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

from everyspan.instrument.sdk.answer import SdkAnswer
from everyspan.record.call import Call, End, end_of
from everyspan.record.tally import TALLY

_WATCH = "_everyspan_watch"
_watched: dict[tuple[type, bool], type] = {}
"""Response class, and whether the body is looked at → its reporting subclass."""


class Watch:
    """What a response reports to: here its end alone, when a stream above it reads the body."""

    taps_body = False

    def __init__(self, call: Call, answer: SdkAnswer) -> None:
        self.call = call
        self.answer = answer

    def __enter__(self) -> None:
        self.call.inside = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.call.inside = False
        if error is not None:
            self.call.end(end_of(error), error=error)

    def saw(self, data: bytes) -> None:
        """A piece of the decoded body is on its way to the user."""

    def exhausted(self) -> None:
        """The body was read to its end."""

    def closed(self) -> None:
        """The response was closed, by the user or because it has ended."""
        # openai and anthropic close the response inside the read that finds the stream's end.
        if not self.call.inside:
            leave(self.call, self.answer, End.CLOSED)


class BodyWatch(Watch):
    """A body that the user reads as bytes, text, lines or JSON, or through a stream made of it later."""

    taps_body = True

    def __init__(self, call: Call, answer: SdkAnswer, content_type: str) -> None:
        super().__init__(call, answer)
        self._is_events = "event-stream" in content_type
        self._is_json = "json" in content_type
        self._pending = bytearray()

    def saw(self, data: bytes) -> None:
        """Keep what can be read; sound and pictures are not kept."""
        if self.call.ended:
            return
        if not self._is_events:
            if not self.call.first_chunk_ns:
                self.call.first_chunk_ns = self.call.elapsed_ns()
            if self._is_json:
                self._pending += data
            return
        self._pending += data
        *events, rest = bytes(self._pending).replace(b"\r\n", b"\n").split(b"\n\n")
        self._pending = bytearray(rest)
        for event in events:
            chunk = _chunk_of(event)
            if chunk is not None:
                self.call.saw_chunk(chunk)

    def exhausted(self) -> None:
        """See `Watch`."""
        if self._is_json and self._pending:
            self.answer.take_whole(decoded(bytes(self._pending)))
        self.call.end(End.COMPLETE)


def watch(response: Any, watcher: Watch) -> bool:
    """Report what becomes of `response` until the call has ended; False when its class allows no exchange."""
    cls = type(response)
    try:
        subclass = _watched.get((cls, watcher.taps_body))
        response.__class__ = subclass or _make_subclass(cls, taps_body=watcher.taps_body)
        response.__dict__[_WATCH] = watcher
    except (AttributeError, TypeError) as error:
        TALLY.fault("watch a response", error)
        return False
    return True


def drop_ends(call: Call, answer: SdkAnswer, held: Any) -> None:
    """End the call when what the user holds is dropped; at exit open calls are ended as EXIT instead."""
    weakref.finalize(held, leave, call, answer, End.ABANDONED).atexit = False


def leave(call: Call, answer: SdkAnswer, how: End) -> None:
    """The user reads no further. Nothing is lost by that when all of the answer has come."""
    call.end(End.COMPLETE if answer.is_complete else how)


def decoded(body: bytes) -> Any:
    """The JSON of a body; None when it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None  # an error page of some gateway: it tells no usage, and the user sees it as it is


def events_in(data: bytes) -> list[Any]:
    """The JSON of whole server-sent events; half an event at the end is left out."""
    found = (_chunk_of(event) for event in data.replace(b"\r\n", b"\n").split(b"\n\n"))
    return [chunk for chunk in found if chunk is not None]


def _chunk_of(event: bytes) -> Any:
    data = b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
    return decoded(data) if data and data != b"[DONE]" else None


def _make_subclass(cls: Any, *, taps_body: bool) -> type:
    def iter_bytes(self: Any, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        watcher: Watch = self.__dict__[_WATCH]
        source = cls.iter_bytes(self, *args, **kwargs)
        while True:
            with watcher:
                data = next(source, None)
            if data is None:
                break
            watcher.saw(data)
            yield data
        watcher.exhausted()
        _restore(self, cls)

    async def aiter_bytes(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
        watcher: Watch = self.__dict__[_WATCH]
        source = cls.aiter_bytes(self, *args, **kwargs)
        while True:
            with watcher:
                data = await anext(source, None)
            if data is None:
                break
            watcher.saw(data)
            yield data
        watcher.exhausted()
        _restore(self, cls)

    def close(self: Any) -> None:
        try:
            cls.close(self)
        finally:
            self.__dict__[_WATCH].closed()
            _restore(self, cls)

    async def aclose(self: Any) -> None:
        try:
            await cls.aclose(self)
        finally:
            self.__dict__[_WATCH].closed()
            _restore(self, cls)

    body: dict[str, Any] = {"close": close, "aclose": aclose}
    if taps_body:
        body |= {"iter_bytes": iter_bytes, "aiter_bytes": aiter_bytes}
    about = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    subclass = type(cls.__name__, (cls,), {**about, **body})
    _watched[cls, taps_body] = subclass
    return subclass


def _restore(response: Any, cls: type) -> None:
    # Nothing is left to report; a response of its own class can be pickled, too.
    if response.__dict__[_WATCH].call.ended:
        response.__class__ = cls
