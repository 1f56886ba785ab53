"""`@everyspan.observe` and `everyspan.span()`: spans of the user's own, around the calls they make."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextvars import Context, copy_context
from typing import Any, ParamSpec, TypeVar, cast, overload

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.call import End, end_of
from everyspan.record.tally import TALLY
from everyspan.record.text import as_json

P = ParamSpec("P")
R = TypeVar("R")

# OpenInference's names for what went in and came out of any span; Langfuse and Phoenix read them too.
_INPUT = "input.value"
_OUTPUT = "output.value"


class Observer:
    """Makes `span` and `observe` over a source of tracers."""

    def __init__(self, tracer: Callable[[], Tracer]) -> None:
        self._tracer = tracer

    def span(self, name: str, *, attributes: Mapping[str, AttributeValue] | None = None) -> SpanBlock:
        """A span around a block: `with span("load"):` or `async with span("load"):`, giving the OpenTelemetry span."""
        return SpanBlock(self.start(name, attributes))

    def start(self, name: str, attributes: Mapping[str, AttributeValue] | None = None) -> Span:
        """A new span below the current one; one that records nothing when making it fails. Never raises."""
        try:
            return self._tracer().start_span(name, attributes=attributes)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("start a span", error)
            return trace.INVALID_SPAN

    @overload
    def observe(self, function: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def observe(
        self, /, *, name: str | None = None, capture_input: bool = True, capture_output: bool = True
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
    def observe(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        capture_input: bool = True,
        capture_output: bool = True,
    ) -> Any:
        """Record each call of a function as a span: plain and async functions, generators and async generators.

        The span begins when the function is called, in the caller's context, and ends when it returns, raises, is
        cancelled, or when its generator is read out, closed or dropped. Model calls inside become its children.

        Args:
            name: the span's name; the function's own by default.
            capture_input: keep the arguments, as JSON.
            capture_output: keep the result, as JSON; for generators the list of what they gave.
        """
        if function is None:
            return functools.partial(
                self._observed, name=name, capture_input=capture_input, capture_output=capture_output
            )
        return self._observed(function, name=name, capture_input=capture_input, capture_output=capture_output)

    def _observed(
        self, function: Callable[..., Any], *, name: str | None, capture_input: bool, capture_output: bool
    ) -> Callable[..., Any]:
        label = name or str(getattr(function, "__name__", type(function).__name__))

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Observation:
            known = {_INPUT: _arguments(function, args, kwargs)} if capture_input else None
            return Observation(self.start(label, known), capture_output=capture_output)

        wrapper: Callable[..., Any]
        if inspect.iscoroutinefunction(function):

            async def wrapper(*args: Any, **kwargs: Any) -> Any:
                with begin(args, kwargs) as seen:
                    return seen.result(await function(*args, **kwargs))

        elif inspect.isgeneratorfunction(function):

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return ObservedGenerator(begin(args, kwargs), function(*args, **kwargs))

        elif inspect.isasyncgenfunction(function):

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return ObservedAsyncGenerator(begin(args, kwargs), function(*args, **kwargs))

        else:

            def wrapper(*args: Any, **kwargs: Any) -> Any:
                with begin(args, kwargs) as seen:
                    return seen.result(function(*args, **kwargs))

        return functools.wraps(function)(wrapper)


class Observation:
    """One observed call; its span ends once, whoever comes first."""

    def __init__(self, span: Span, *, capture_output: bool) -> None:
        self.span = span
        self.context = set_span_in_context(span)
        self._capture_output = capture_output
        self._latch = [True]

    def __enter__(self) -> Observation:
        self._token = otel_context.attach(self.context)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace_: object) -> None:
        _detach(self._token)
        self.end(error=error)

    def result(self, value: R) -> R:
        """Note what the function gave back."""
        if self._capture_output and value is not None and self.span.is_recording():
            self.span.set_attribute(_OUTPUT, as_json(value))
        return value

    def end(self, how: End | None = None, *, error: BaseException | None = None) -> None:
        """End the span; never raises."""
        try:
            self._latch.pop()
        except IndexError:
            return
        try:
            _finish(self.span, how, error)
        except Exception as failure:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("end a span", failure)


class SpanBlock:
    """What `everyspan.span()` gives: a context manager, plain and async, whose value is the OpenTelemetry span."""

    def __init__(self, span: Span) -> None:
        self._seen = Observation(span, capture_output=False)

    def __enter__(self) -> Span:
        self._seen.__enter__()
        return self._seen.span

    def __exit__(self, kind: object, error: BaseException | None, trace_: object) -> None:
        self._seen.__exit__(kind, error, trace_)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace_: object) -> None:
        self.__exit__(kind, error, trace_)


class ObservedGenerator(Generator[Any, Any, Any]):
    """A generator whose body runs in a context of its own, so that its span never leaks to whoever reads it."""

    def __init__(self, seen: Observation, source: Generator[Any, Any, Any]) -> None:
        self._seen = seen
        self._source = source
        self._gave: list[Any] = []
        self._context: Context = copy_context()
        self._context.run(otel_context.attach, seen.context)
        weakref.finalize(self, seen.end, End.ABANDONED).atexit = False

    def send(self, value: Any) -> Any:
        """The next value, as of any generator."""
        return self._step(self._source.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception where the generator stands, as of any generator."""
        return self._step(self._source.throw, *error)

    def close(self) -> None:
        """Close the generator; its span ends."""
        try:
            self._context.run(self._source.close)
        finally:
            self._seen.end(End.CLOSED)

    def _step(self, advance: Callable[..., Any], *args: Any) -> Any:
        try:
            value = self._context.run(advance, *args)
        except StopIteration:
            self._seen.result(self._gave)
            self._seen.end()
            raise
        except BaseException as error:
            self._seen.end(error=error)
            raise
        self._gave.append(value)
        return value


class ObservedAsyncGenerator(AsyncGenerator[Any, Any]):
    """The same for async generators: the span is current only while the body runs."""

    def __init__(self, seen: Observation, source: AsyncGenerator[Any, Any]) -> None:
        self._seen = seen
        self._source = source
        self._gave: list[Any] = []
        weakref.finalize(self, seen.end, End.ABANDONED).atexit = False

    async def asend(self, value: Any) -> Any:
        """The next value, as of any async generator."""
        return await self._step(self._source.asend(value))

    async def athrow(self, *error: Any) -> Any:
        """Raise an exception where the generator stands, as of any async generator."""
        return await self._step(self._source.athrow(*error))

    async def aclose(self) -> None:
        """Close the generator; its span ends."""
        try:
            await self._source.aclose()
        finally:
            self._seen.end(End.CLOSED)

    async def _step(self, advance: Awaitable[Any]) -> Any:
        # Attached for one step only and in the task that takes it: nothing of the reader runs in between.
        token = otel_context.attach(self._seen.context)
        try:
            value = await advance
        except StopAsyncIteration:
            self._seen.result(self._gave)
            self._seen.end()
            raise
        except BaseException as error:
            self._seen.end(error=error)
            raise
        finally:
            _detach(token)
        self._gave.append(value)
        return value


def _finish(span: Span, how: End | None, error: BaseException | None) -> None:
    if error is not None:
        how = how or end_of(error)
        span.set_attribute(names.ERROR_TYPE, type(error).__name__)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {str(error)[:500]}"))
    if how is not None:
        span.set_attribute(names.END, how.value)
    span.end()


def _detach(token: Any) -> None:
    # Closing a coroutine from another context cannot detach; that context ends with it anyway.
    otel_context.detach(cast(Any, token))


def _arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    try:
        bound = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        return as_json({"args": args, "kwargs": kwargs})
    # A method's own object says nothing and may be huge.
    return as_json({name: value for name, value in bound.items() if name not in ("self", "cls")})
