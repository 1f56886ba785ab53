"""One call of a provider's SDK: its span is opened before the request leaves and ended by what ends the call."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.trace import SpanKind, Tracer

from everyspan.instrument import langfuse_openai
from everyspan.instrument.sdk.answer import SdkAnswer
from everyspan.instrument.sdk.request import Asked, request_attributes
from everyspan.record import otel_context
from everyspan.record.budget import limits
from everyspan.record.call import Call, Entered, current, end_of
from everyspan.record.opening import start_span
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY

Answered = Callable[[Call, Any], Any]
"""Takes what the SDK returned, gives what the user gets; ends the call or sees to it that something will."""


class Calls:
    """Opens calls with the tracer of the moment."""

    def __init__(self, tracer: Callable[[], Tracer], registry: Registry) -> None:
        self._tracer = tracer
        self.registry = registry

    def open(self, asked: Asked, *, is_spent: bool = False) -> Call | None:
        """A call for what is asked; None when it is how an open call does its work, or the span cannot be made.

        Args:
            is_spent: it was made long ago, so no limit can hinder it, and no open call is what it is a part of.

        Raises:
            BudgetExceeded: a limit of the user's own is reached. Nothing else is raised.
        """
        outer = current()
        if outer is not None and not is_spent and _is_request_of(outer, asked.model):
            TALLY.absorbed += 1
            return None
        around = () if is_spent else limits()
        try:
            name, context = f"{asked.operation} {asked.model}".strip(), otel_context.current()
            attributes = request_attributes(asked, self.registry)
            said = langfuse_openai.take()
            if said is not None:
                name, context = said.name or name, said.context or context
                attributes.update(said.attributes)
            started_ns = time.time_ns()
            span = start_span(
                self._tracer(),
                name,
                context=context,
                kind=SpanKind.CLIENT,
                attributes=attributes,
                start_ns=started_ns,
            )
            call = Call(span, model=asked.model, started_ns=started_ns)
            call.outer, call.budgets = outer, around
            call.answer = SdkAnswer(self.registry, asked.reader, asked.origin)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("open the span of a call", error)
            return None
        return call


def _is_request_of(outer: Call, model: str) -> bool:
    """True when a request for `model` is how the open call reaches its provider, and no call of its own.

    litellm names models with their provider in front. Another model inside an open call is a judge, a guardrail or an
    agent's step, with tokens of its own.
    """
    return not model or not outer.model or outer.model == model or outer.model.endswith(f"/{model}")


def run(call: Call, work: Callable[[], Any], answered: Answered) -> Any:
    """Do a call's work with the call as the current one."""
    try:
        with Entered(call):
            answer = work()
    except BaseException as error:
        _failed(call, error)
        raise
    return _given(call, answer, answered)


async def arun(call: Call, work: Callable[[], Awaitable[Any]], answered: Answered) -> Any:
    """The same for work that is awaited."""
    try:
        with Entered(call):
            answer = await work()
    except BaseException as error:
        _failed(call, error)
        raise
    return _given(call, answer, answered)


def _failed(call: Call, error: BaseException) -> None:
    call.answer = None  # nothing came: there is nothing to read, and nothing to pay when the provider refused
    call.end(end_of(error), error=error)


def _given(call: Call, answer: Any, answered: Answered) -> Any:
    try:
        return answered(call, answer)
    except Exception as error:  # noqa: BLE001 - an answer we cannot read still belongs to the user
        TALLY.fault("read an answer", error)
        return answer
