"""Context that follows the work: into threads that nobody else carries it to."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import context as otel_context

from everyspan.record import ambient

P = ParamSpec("P")
R = TypeVar("R")


def propagate(work: Callable[P, R]) -> Callable[P, R]:
    """`work`, to be called later or elsewhere as if it were called here: below the span that is current now.

    Executors, `asyncio.to_thread`, tasks and plain threads carry their context along by themselves; queues, callbacks
    and pools with workers of their own do not. May be called any number of times, at once too.
    """
    if inspect.iscoroutinefunction(work):
        here, said = otel_context.get_current(), ambient.attributes()

        @functools.wraps(work)
        async def carried(*args: Any, **kwargs: Any) -> Any:
            span_token, said_token = otel_context.attach(here), ambient.say(said)
            try:
                return await work(*args, **kwargs)
            finally:
                ambient.unsay(said_token)
                otel_context.detach(span_token)

        return cast(Callable[P, R], carried)
    surroundings = copy_context()

    @functools.wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context can be entered once at a time: each call has a copy of its own.
        return surroundings.copy().run(work, *args, **kwargs)

    return run
