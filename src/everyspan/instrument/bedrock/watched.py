"""What botocore gives to the user to read: a stream of events, or the body of an answer in one piece."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

from everyspan.instrument.bedrock.invoked import InvokedReader
from everyspan.instrument.sdk.answer import SdkAnswer
from everyspan.instrument.sdk.bodies import decoded, drop_ends, leave
from everyspan.record.call import Call, End, Reading, end_of
from everyspan.record.tally import TALLY

_WATCHED = "_everyspan_watched"
_subclasses: dict[type, type] = {}
"""`EventStream`, or what is derived from it → its reporting subclass."""


def watch_events(call: Call, answer: SdkAnswer, stream: Any) -> None:
    """Report to `call` what is read of an `EventStream`, whose class is exchanged for a subclass.

    A loop that is left can be taken up again, so only the end of the stream, its close or its being dropped is an end.
    """
    cls = type(stream)
    try:
        subclass = _subclasses.get(cls)
        if subclass is None:
            subclass = _subclasses[cls] = _make_subclass(cls)
        stream.__class__ = subclass
        stream.__dict__[_WATCHED] = (call, answer)
    except (AttributeError, TypeError) as error:
        TALLY.fault("watch a response", error)
        call.end(End.COMPLETE)
        return
    drop_ends(call, answer, stream)


def _make_subclass(cls: Any) -> type:
    def iterate(self: Any) -> Iterator[Any]:
        call = self.__dict__[_WATCHED][0]
        source = cls.__iter__(self)
        while True:
            with Reading(call, StopIteration):
                event = next(source, None)
                if event is not None and not call.ended:
                    call.saw_chunk(event)
            if event is None:
                break
            yield event
        call.end(End.COMPLETE)

    def close(self: Any) -> Any:
        try:
            return cls.close(self)
        finally:
            call, answer = self.__dict__[_WATCHED]
            leave(call, answer, End.CLOSED)

    about = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (cls,), {**about, "__iter__": iterate, "close": close})


class Body:
    """Stands between a `StreamingBody` and the HTTP response in it, which every way of reading it ends up in."""

    def __init__(self, call: Call, answer: SdkAnswer, source: Any, reader: Any) -> None:
        self._call = call
        self._answer = answer
        self._source = source
        self._is_counted = isinstance(reader, InvokedReader) and bool(reader.in_headers)
        self._keeps = isinstance(reader, InvokedReader) and reader.wants_body
        self._data = bytearray()

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """See urllib3's `HTTPResponse`."""
        data: bytes = self._told(lambda: self._source.read(amt, *args, **kwargs))
        self._saw(data, is_last=amt is None or amt < 0 or (not data and amt > 0))
        return data

    def readinto(self, buffer: Any) -> int:
        """The same."""
        count: int = self._told(lambda: self._source.readinto(buffer))
        self._saw(bytes(memoryview(buffer)[:count]), is_last=not count and len(buffer) > 0)
        return count

    def readlines(self, *args: Any) -> list[bytes]:
        """The same."""
        lines: list[bytes] = self._told(lambda: self._source.readlines(*args))
        self._saw(b"".join(lines), is_last=True)
        return lines

    def close(self) -> None:
        """The same."""
        try:
            self._source.close()
        finally:
            self.left(End.CLOSED)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def left(self, how: End) -> None:
        """The user reads no further. What the headers count is the whole answer, read or not."""
        if self._is_counted and not self._call.ended:
            self._answer.take_whole({})
            how = End.COMPLETE
        self._call.end(how)

    def _told(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except BaseException as error:
            self._call.end(end_of(error), error=error)
            raise

    def _saw(self, data: bytes, *, is_last: bool) -> None:
        if self._call.ended:
            return
        if self._keeps:
            self._data += data
        if is_last:
            self._answer.take_whole(decoded(bytes(self._data)) or {})
            self._call.end(End.COMPLETE)


def watch_body(call: Call, answer: SdkAnswer, body: Any, reader: Any) -> None:
    """Let a `StreamingBody` read through a `Body`; its own class and methods stay as they are."""
    watcher = body._raw_stream = Body(call, answer, body._raw_stream, reader)
    weakref.finalize(body, watcher.left, End.ABANDONED).atexit = False
