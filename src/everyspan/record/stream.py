"""Streams: the call ends where the stream does, however that is.

A stream object keeps its identity: its class is exchanged for a subclass that reports each read and each close
(libraries test `isinstance` and read private attributes of their streams; litellm's Router turns its mid-stream
fallback off for any other object). Generators are wrapped in a generator of the same kind.

No context is ever attached across a `yield`: the reader's own spans must not become children of the stream.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from everyspan.record.call import Call, End, Reading, end_of

_ATTRIBUTE = "_everyspan_call"
_tracking: dict[type, type] = {}
"""Stream class → its reporting subclass, which maps to itself."""


_MOST_CLASSES = 256
_answers: set[type] = set()
"""Pydantic models that are no streams: asking one of them for what it does not have takes long."""


def is_stream(answer: object) -> bool:
    """True for objects that are read chunk by chunk."""
    if isinstance(answer, (dict, str, bytes)) or type(answer) in _answers:
        return False
    found = hasattr(answer, "__anext__") or hasattr(answer, "__next__")
    if not found and hasattr(type(answer), "__pydantic_fields__") and len(_answers) < _MOST_CLASSES:
        _answers.add(type(answer))
    return found


def track(call: Call, stream: Any) -> Any:
    """The stream to hand to the user; reading it, closing it or dropping it ends `call`.

    The same object, except for generators. A class that allows no exchange is wrapped by its iterator.
    """
    if isinstance(stream, GeneratorType):
        return _owned(call, _generator(call, stream, keep=None))
    if isinstance(stream, AsyncGeneratorType):
        return _owned(call, _async_generator(call, stream, keep=None))
    try:
        subclass = _tracking.get(type(stream)) or _make_subclass(type(stream))
        attributes = stream.__dict__
        stream.__class__ = subclass
        attributes[_ATTRIBUTE] = call
    except (AttributeError, TypeError):
        # Slots or a compiled class: no exchange. Reading still works; other methods of the object are gone.
        wrap = _async_generator if hasattr(stream, "__anext__") else _generator
        return _owned(call, wrap(call, stream, keep=None))
    return _owned(call, stream)


def _owned(call: Call, stream: Any) -> Any:
    # At exit open calls are ended as EXIT; a finalizer that ran before would call them abandoned.
    weakref.finalize(stream, call.end, End.ABANDONED).atexit = False
    return stream


def _open_call(stream: Any) -> Call | None:
    call: Call | None = stream.__dict__.get(_ATTRIBUTE)
    return None if call is None or call.ended else call


def _make_subclass(cls: type) -> type:
    body: dict[str, Any] = {"__slots__": (), "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    makers: dict[str, Callable[[Any], Callable[..., Any]]] = {
        "__next__": _reporting_next,
        "__anext__": _reporting_anext,
        "__iter__": _reporting_iter,
        "__aiter__": _reporting_aiter,
        "close": _reporting_close,
        "aclose": _reporting_close,
        "__exit__": _reporting_exit,
        "__aexit__": _reporting_exit,
    }
    for name, make in makers.items():
        method = getattr(cls, name, None)
        if callable(method):
            body[name] = make(method)
    subclass = type(cls)(cls.__name__, (cls,), body)
    _tracking[cls] = subclass
    _tracking[subclass] = subclass
    return subclass


def _reporting_next(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read_next(self: Any) -> Any:
        call = _open_call(self)
        if call is None:
            return read(self)
        with Reading(call, StopIteration):
            chunk = read(self)
        call.saw_chunk(chunk)
        return chunk

    return read_next


def _reporting_anext(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def read_next(self: Any) -> Any:
        call = _open_call(self)
        if call is None:
            return await read(self)
        with Reading(call, StopAsyncIteration):
            chunk = await read(self)
        call.saw_chunk(chunk)
        return chunk

    return read_next


def _reporting_iter(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def iterate(self: Any) -> Any:
        iterator, call = make(self), _open_call(self)
        # An iterator of its own bypasses __next__; it must keep the stream alive, or the finalizer ends the call.
        return iterator if iterator is self or call is None else _generator(call, iterator, keep=self)

    return iterate


def _reporting_aiter(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def iterate(self: Any) -> Any:
        iterator, call = make(self), _open_call(self)
        return iterator if iterator is self or call is None else _async_generator(call, iterator, keep=self)

    return iterate


def _reporting_close(close: Callable[..., Any]) -> Callable[..., Any]:
    def ended(self: Any) -> None:
        call = _open_call(self)
        # litellm 1.109 and openai 3 close the stream inside the read that finds its end.
        if call is not None and not call.inside:
            call.end(End.CLOSED)

    if inspect.iscoroutinefunction(close):

        async def aclose(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return await close(self, *args, **kwargs)
            finally:
                ended(self)

        return aclose

    def close_(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return close(self, *args, **kwargs)
        finally:
            ended(self)

    return close_


def _reporting_exit(leave: Callable[..., Any]) -> Callable[..., Any]:
    def ended(self: Any, error: BaseException | None) -> None:
        call = _open_call(self)
        if call is not None:
            call.end(End.CLOSED if error is None else end_of(error), error=error)

    if inspect.iscoroutinefunction(leave):

        async def aleave(self: Any, kind: Any, error: BaseException | None, trace: Any) -> Any:
            try:
                return await leave(self, kind, error, trace)
            finally:
                ended(self, error)

        return aleave

    def leave_(self: Any, kind: Any, error: BaseException | None, trace: Any) -> Any:
        try:
            return leave(self, kind, error, trace)
        finally:
            ended(self, error)

    return leave_


def _generator(call: Call, source: Iterator[Any], *, keep: object) -> Iterator[Any]:
    """`source`, reporting to `call`; holds `keep` as long as it is being read."""
    try:
        for chunk in source:
            call.saw_chunk(chunk)
            yield chunk
    except GeneratorExit:
        call.end(End.CLOSED)
        close = getattr(source, "close", None)
        if close is not None:
            close()
        raise
    except BaseException as error:
        call.end(end_of(error), error=error)
        raise
    call.end(End.COMPLETE)
    del keep


async def _async_generator(call: Call, source: AsyncIterator[Any], *, keep: object) -> AsyncIterator[Any]:
    try:
        async for chunk in source:
            call.saw_chunk(chunk)
            yield chunk
    except GeneratorExit:
        call.end(End.CLOSED)
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
        raise
    except BaseException as error:
        call.end(end_of(error), error=error)
        raise
    call.end(End.COMPLETE)
    del keep
