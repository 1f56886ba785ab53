"""One LLM call, from the moment it begins in the caller's context to whatever ends it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from enum import StrEnum
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from everyspan.record import names, quiet
from everyspan.record.attributes import set_attributes
from everyspan.record.budget import Limits, charge
from everyspan.record.otel_context import attach, detach
from everyspan.record.tally import TALLY


class End(StrEnum):
    """What ended a call."""

    COMPLETE = "complete"
    """The response, or the last chunk of the stream."""
    CLOSED = "closed"
    """The user closed the stream before its end."""
    ABANDONED = "abandoned"
    """The stream was dropped before its end and garbage-collected."""
    CANCELLED = "cancelled"
    """The task was cancelled, or a deadline of asyncio passed."""
    TIMEOUT = "timeout"
    ERROR = "error"
    EXIT = "exit"
    """The process ended in order while the stream was still open."""
    INTERRUPTED = "interrupted"
    """The process died; written by whoever finds its spool."""


_NOT_CHARGED = frozenset({400, 401, 403, 404, 413, 422, 429})
"""HTTP answers by which a provider says that it did no work. After a 5xx or a timeout nobody can know."""

_FIRST_PAUSE_NS, _LONGEST_PAUSE_NS = 100_000_000, 1_000_000_000
"""Between two writes of what has arrived of a stream."""

UNFINISHED = frozenset(
    {End.CLOSED, End.ABANDONED, End.CANCELLED, End.TIMEOUT, End.EXIT, End.INTERRUPTED, End.ERROR}
)


def end_of(error: BaseException) -> End:
    """What kind of end an exception is. Timeouts are told by name: every client library has its own class."""
    asyncio = sys.modules.get("asyncio")  # a program that never loaded it cancels nothing
    if asyncio is not None and isinstance(error, asyncio.CancelledError):
        return End.CANCELLED
    if isinstance(error, GeneratorExit):
        return End.CLOSED
    if "Timeout" in type(error).__name__:
        return End.TIMEOUT
    return End.ERROR


def _status_of(error: BaseException) -> object:
    """The HTTP status that a library's error tells, where it tells one."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)  # google-genai's
    response = getattr(error, "response", None) if status is None else None
    if isinstance(response, dict):  # botocore's
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


class Answer(Protocol):
    """Reads what a call brought back and turns it into attributes; one per library and kind of answer."""

    def add(self, chunk: Any) -> None:
        """Take the next chunk of a stream. Must be quick: it stands between the user and the chunk."""

    def keep_part(self, call: Call) -> None:
        """Put on disk what came since the last time, so that it survives the death of the process."""

    def attributes(self, call: Call, end: End) -> Mapping[str, AttributeValue]:
        """What is known at the end of the call, usage and cost included."""


class Call:
    """An open LLM call and its span.

    `end` takes effect once, whoever comes first: the stream's reader, a finalizer in another thread, the exit.
    """

    __slots__ = (
        "__weakref__",
        "_latch",
        "_next_part_ns",
        "_part_pause_ns",
        "_started_monotonic_ns",
        "answer",
        "attempts",
        "bills",
        "budgets",
        "first_chunk_ns",
        "inside",
        "model",
        "outer",
        "span",
        "started_ns",
        "target",
    )

    def __init__(self, span: Span, *, model: str, started_ns: int) -> None:
        self.span = span
        self.model = model
        self.started_ns = started_ns
        self.answer: Answer | None = None
        self.first_chunk_ns = 0
        """Nanoseconds from the start to the first chunk; 0 while there is none."""
        self.attempts = 0
        self.outer: Call | None = None
        """The call in which this one was made, if any."""
        self.bills: set[tuple[int | None, int | None]] = set()
        """Input and output tokens of the calls made inside this one."""
        self.budgets: Limits = ()
        """The limits that this call's cost counts towards."""
        self.inside = False
        """A read of the stream is under way: a close that happens within it is not the user's."""
        self.target: object = None
        """The function this call's dispatcher will enter next, which is then not a call of its own."""
        self._started_monotonic_ns = time.perf_counter_ns()
        self._next_part_ns = 0
        self._part_pause_ns = _FIRST_PAUSE_NS
        # Popping from a list is atomic and takes no lock: a finalizer may run in the middle of another `end`.
        self._latch = [True]
        _OPEN[id(self)] = self
        TALLY.opened += 1
        if not span.is_recording():
            TALLY.unsampled += 1

    @property
    def ended(self) -> bool:
        """True once something has ended this call."""
        return not self._latch

    def elapsed_ns(self) -> int:
        """Nanoseconds since the call began, on a clock that never steps back."""
        return time.perf_counter_ns() - self._started_monotonic_ns

    def saw_chunk(self, chunk: Any) -> None:
        """Note a chunk on its way to the user; never raises."""
        now_ns = time.perf_counter_ns()
        if not self.first_chunk_ns:
            self.first_chunk_ns = now_ns - self._started_monotonic_ns
        answer = self.answer
        if answer is not None:
            try:
                answer.add(chunk)
                if now_ns >= self._next_part_ns:
                    # At the first chunk, which may tell the input's tokens, and then after pauses that double.
                    self._next_part_ns = now_ns + self._part_pause_ns
                    self._part_pause_ns = min(2 * self._part_pause_ns, _LONGEST_PAUSE_NS)
                    answer.keep_part(self)
            except Exception as error:  # noqa: BLE001 - a chunk we cannot read must still reach the user
                TALLY.fault("read a chunk", error)

    def claim(self, input_tokens: int | None, output_tokens: int | None) -> bool:
        """Tell what this call used; False when a call made inside it told the same, so that it must not count again.

        A litellm custom provider that calls litellm reports one usage twice; a guardrail that asks a judge has two.
        """
        bill = (input_tokens, output_tokens)
        if self.outer is not None:
            self.outer.bills.add(bill)
        return bill not in self.bills

    def end(self, how: End, *, error: BaseException | None = None) -> bool:
        """End the span; True for the one caller whose word counted. Never raises."""
        try:
            self._latch.pop()
        except IndexError:
            return False
        _OPEN.pop(id(self), None)
        TALLY.ended[how] += 1
        try:
            self._finish(how, error)
        except Exception as failure:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("end a span", failure)
        return True

    def _finish(self, how: End, error: BaseException | None) -> None:
        ended_ns = self.started_ns + self.elapsed_ns()
        attributes: dict[str, AttributeValue] = {names.END: how._value_}  # `value` is a property in Python
        if self.first_chunk_ns:
            attributes[names.TIME_TO_FIRST_CHUNK] = self.first_chunk_ns / 1e9
        if self.attempts > 1:
            attributes[names.ATTEMPTS] = self.attempts
        try:
            if self.answer is not None:
                attributes.update(self.answer.attributes(self, how))
        except Exception as failure:  # noqa: BLE001 - a span without its usage is better than none
            charge(self.budgets, None)
            attributes[names.CAPTURE_ERROR] = repr(failure)[:200]
            TALLY.fault("read an answer", failure)
        if error is not None:
            kind = type(error).__name__
            attributes[names.ERROR_TYPE] = kind
            status = _status_of(error)
            if self.answer is None and isinstance(status, int) and status in _NOT_CHARGED:
                attributes[names.UNBILLED] = f"the provider refused the call ({status})"
            elif self.answer is None:
                charge(self.budgets, None)
            self.span.set_status(Status(StatusCode.ERROR, f"{kind}: {str(error)[:500]}"))
        elif how in UNFINISHED:
            attributes[names.ERROR_TYPE] = how.value
        set_attributes(self.span, attributes)
        self.span.end(ended_ns)
        self.answer = None


_OPEN: dict[int, Call] = {}
_current: ContextVar[Call | None] = ContextVar("everyspan_call", default=None)


def current() -> Call | None:
    """The LLM call that is open in this context.

    A finished call does not count: background tasks inherit the context of the call that started them.
    """
    call = _current.get()
    return None if call is None or not call._latch else call


def inherited() -> Call | None:
    """The LLM call this context stems from, finished or not."""
    return _current.get()


class Reading:
    """While a chunk is read, what instrumentations record is about this call; what a read raises ends the call.

    Args:
        last: the exception by which this kind of stream says that it is over.
    """

    __slots__ = ("_call", "_last", "_token")

    def __init__(self, call: Call, last: type[Exception]) -> None:
        self._call = call
        self._last = last

    def __enter__(self) -> None:
        self._call.inside = True
        self._token = _current.set(self._call)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        call = self._call
        try:
            if isinstance(error, self._last):
                call.end(End.COMPLETE)
            elif error is not None:
                call.end(end_of(error), error=error)
        finally:
            # The chunk is on its way to the user, who has nothing of ours around them.
            call.inside = False
            try:
                _current.reset(self._token)
            except ValueError as fault:  # the read was finished from another context, which ends with it
                TALLY.fault("leave a context", fault)


def open_calls() -> list[Call]:
    """The calls that have not ended yet, oldest first."""
    return list(_OPEN.values())


def end_open_calls() -> None:
    """End every call that is still open, because the process is about to end."""
    for call in open_calls():
        call.end(End.EXIT)


def forget_open_calls() -> None:
    """In a forked child: the calls of the parent are the parent's to end."""
    for call in _OPEN.values():
        call._latch.clear()
    _OPEN.clear()


class Entered:
    """The call is current while the library works on it: its HTTP spans nest, inner instrumentations stay silent."""

    __slots__ = ("_call", "_call_token", "_otel_token")

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        self._otel_token: Token[Context] = attach(quiet.inside(self._call.span))
        self._call_token = _current.set(self._call)

    def __exit__(self, *exc_info: object) -> None:
        # A coroutine that is closed from another context cannot reset; that context ends with it anyway.
        try:
            _current.reset(self._call_token)
            detach(self._otel_token)
        except ValueError as error:
            TALLY.fault("leave a context", error)
