"""Stands between an SDK's stream and the iterator in it: each chunk passes here, whichever way the user reads.

Stainless streams keep one iterator and read it from `__next__` and from the generator that `__iter__` makes. The
stream object itself, its class and its methods stay untouched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from everyspan.record.call import Call, End, Reading

Hides = Callable[[Any], bool] | None
"""Tells the chunks that the user did not ask for."""


class Reads(Iterator[Any]):
    """The iterator of a stream, reporting to `call`; nothing of everyspan is current while the user has the chunk."""

    __slots__ = ("__weakref__", "_call", "_hides", "_source")

    def __init__(self, call: Call, source: Iterator[Any], hides: Hides = None) -> None:
        self._call = call
        self._source = source
        self._hides = hides

    def __next__(self) -> Any:
        call = self._call
        with Reading(call, StopIteration):
            while True:
                chunk = self._source.__next__()
                if not call.ended:
                    call.saw_chunk(chunk)
                if self._hides is None or not self._hides(chunk):
                    return chunk

    def close(self) -> None:
        """What `yield from` calls when its own generator is closed or dropped."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()
        self._call.end(End.CLOSED)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class AsyncReads(AsyncIterator[Any]):
    """The same for a stream that is read with `async for`."""

    __slots__ = ("__weakref__", "_call", "_hides", "_source")

    def __init__(self, call: Call, source: AsyncIterator[Any], hides: Hides = None) -> None:
        self._call = call
        self._source = source
        self._hides = hides

    async def __anext__(self) -> Any:
        call = self._call
        with Reading(call, StopAsyncIteration):
            while True:
                chunk = await self._source.__anext__()
                if not call.ended:
                    call.saw_chunk(chunk)
                if self._hides is None or not self._hides(chunk):
                    return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)
