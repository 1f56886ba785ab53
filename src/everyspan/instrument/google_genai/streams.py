"""The generators that google-genai gives to the user: whether one was closed or dropped, and not only that it is over.

The SDK's generators stand in each other, and when the outermost one is left, the inner ones are told the same
`GeneratorExit` in either case. So the outermost one is ours: it is dropped when nobody refers to it any more, and
closed when it is told to while somebody does.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar, Token
from types import AsyncGeneratorType, GeneratorType, ModuleType
from typing import Any

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.instrument.sdk.answer import SdkAnswer
from everyspan.instrument.sdk.bodies import leave
from everyspan.record.call import Call, End
from everyspan.record.tally import TALLY


class Held:
    """A stream in the hands of the user, and the call that its chunks come from; tools may make it several calls."""

    def __init__(self) -> None:
        self.call: Call | None = None

    def left(self, how: End) -> None:
        """The user reads no further."""
        call = self.call
        if call is not None and isinstance(call.answer, SdkAnswer):
            leave(call, call.answer, how)


_held: ContextVar[Held | None] = ContextVar("everyspan_google_stream", default=None)


def install() -> None:
    """Hook the methods that give streams, now if they are loaded, else at their import."""
    when_imported("google.genai.models", lambda module: _hook(module, "generate_content_stream", "Models"))
    when_imported("google.genai.chats", lambda module: _hook(module, "send_message_stream", "Chat"))


def belongs_to(call: Call) -> None:
    """Let the stream that is being read, if any, know the call that answers it."""
    held = _held.get()
    if held is not None:
        held.call = call


def _hook(module: ModuleType, method: str, owner: str) -> None:
    patch.exchange(getattr(getattr(module, owner), method), _stream, at_call=True)
    patch.exchange(getattr(getattr(module, f"Async{owner}"), method), _astream)


def _stream(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _owned(original(*args, **kwargs), GeneratorType, _relay)


async def _astream(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _owned(await original(*args, **kwargs), AsyncGeneratorType, _arelay)


def _owned(source: Any, kind: type[Any], relay: Callable[[Any, Held], Any]) -> Any:
    # A chat's stream reads the one of `models`, which is then not in the user's hands.
    if not isinstance(source, kind) or _held.get() is not None:
        return source
    held = Held()
    stream: Any = relay(source, held)
    stream.__name__, stream.__qualname__ = source.__name__, source.__qualname__
    # Told before the generator itself is: what it hears afterwards comes too late.
    weakref.finalize(stream, held.left, End.ABANDONED).atexit = False
    return stream


def _relay(source: Any, held: Held) -> Iterator[Any]:
    try:
        while True:
            with _Step(held):
                chunk = next(source, _OVER)
            if chunk is _OVER:
                return
            yield chunk
    except GeneratorExit:
        held.left(End.CLOSED)
        source.close()
        raise


async def _arelay(source: Any, held: Held) -> AsyncIterator[Any]:
    try:
        while True:
            with _Step(held):
                chunk = await anext(source, _OVER)
            if chunk is _OVER:
                return
            yield chunk
    except GeneratorExit:
        held.left(End.CLOSED)
        await source.aclose()
        raise


_OVER = object()


class _Step:
    """One step of the SDK's generators: a call that begins in it answers the stream."""

    __slots__ = ("_held", "_token")

    def __init__(self, held: Held) -> None:
        self._held = held

    def __enter__(self) -> None:
        self._token: Token[Held | None] = _held.set(self._held)

    def __exit__(self, *exc_info: object) -> None:
        try:
            _held.reset(self._token)
        except ValueError as fault:  # the step was finished from another context, which ends with it
            TALLY.fault("leave a context", fault)
