"""litellm: one span for each call, opened where the user calls, ended by what ends the call.

litellm tells its callbacks of a success in background tasks after the call has returned, so a span made there is
lost with the event loop (BerriAI/litellm #26376). We exchange the entry functions instead. Every function that
litellm decorates with `@client` shares two code objects, so all of them are found however they are reached; the
public dispatch functions (litellm >= 1.106) are exchanged too, because some calls no longer pass `@client`.
"""

from __future__ import annotations

import gc
import inspect
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from opentelemetry.trace import SpanKind, Tracer

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.instrument.litellm_answers import answer_of
from everyspan.instrument.litellm_request import read_request
from everyspan.record.budget import limits
from everyspan.record.call import Call, End, Entered, current, end_of
from everyspan.record.opening import start_span
from everyspan.record.registry import Registry
from everyspan.record.stream import is_stream, track
from everyspan.record.tally import TALLY

# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_COMPLETE, _CLIENT = End.COMPLETE, SpanKind.CLIENT

OPERATIONS = {
    "completion": "chat",
    "acompletion": "chat",
    "text_completion": "text_completion",
    "atext_completion": "text_completion",
    "embedding": "embeddings",
    "aembedding": "embeddings",
    "responses": "chat",
    "aresponses": "chat",
    "anthropic_messages": "chat",
    "image_generation": "image_generation",
    "aimage_generation": "image_generation",
    "image_edit": "image_generation",
    "aimage_edit": "image_generation",
    "transcription": "transcription",
    "atranscription": "transcription",
    "speech": "speech",
    "aspeech": "speech",
    "rerank": "rerank",
    "arerank": "rerank",
}
"""Function → GenAI operation, where the conventions have one."""

# A public function that enters itself or its twin with one of these set is still the same call.
_SAME_CALL_FLAGS = frozenset(
    {
        *("acompletion", "aembedding", "atext_completion", "text_completion", "async_call", "is_async"),
        *(
            "aresponses",
            "aimg_generation",
            "aimage_edit",
            "image_edit",
            "atranscription",
            "aspeech",
            "arerank",
        ),
    }
)


class LitellmHooks:
    """Instruments litellm when the program imports it."""

    def __init__(self, tracer: Callable[[], Tracer], registry: Registry) -> None:
        self._tracer = tracer
        self._registry = registry

    def install(self) -> None:
        """Hook litellm now if it is loaded, else at its import."""
        when_imported("litellm.litellm_core_utils.litellm_logging", self._hook_attempts)
        # Hooked before litellm decorates its functions, `client` gives them over one by one; no search is needed.
        when_imported("litellm.utils", self._hook_decorator)
        when_imported("litellm", self._hook_functions)

    def _hook_decorator(self, utils: ModuleType) -> None:
        def client(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            decorated = original(*args, **kwargs)
            if isinstance(decorated, FunctionType) and decorated.__name__ in OPERATIONS:
                self._instrument(decorated)
            return decorated

        patch.exchange(utils.client, client)

    def _hook_attempts(self, logging: ModuleType) -> None:
        # litellm announces each request to a provider here, retries and fallbacks included.
        patch.exchange(logging.Logging.pre_call, _count_attempt)

    def _hook_functions(self, litellm: ModuleType) -> None:
        codes = _decorated_codes(patch.original_of(litellm.utils.client))
        found = [
            thing
            for thing in gc.get_objects()
            if type(thing) is FunctionType and thing.__code__ in codes and thing.__name__ in OPERATIONS
        ]
        for name, module in list(sys.modules.items()):
            if name.startswith("litellm.") and name.endswith(".dispatch"):
                public = (getattr(module, entry, None) for entry in getattr(module, "__all__", ()))
                found += [thing for thing in public if isinstance(thing, FunctionType)]
        for function in found:
            if function.__name__ in OPERATIONS:
                self._instrument(function)

    def _instrument(self, function: FunctionType) -> None:
        if patch.is_exchanged(function):
            return
        operation = OPERATIONS[function.__name__]
        # A dispatch function forwards to the decorated function it wraps.
        target = function.__dict__.get("__wrapped__") if ".dispatch" in (function.__module__ or "") else None
        make = self._async_wrapper if inspect.iscoroutinefunction(function) else self._wrapper
        patch.exchange(function, make(function, operation, target))

    def _wrapper(self, function: FunctionType, operation: str, target: object) -> patch.Wrapper:
        def wrapper(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._open(function, operation, args, kwargs)
            if call is None:
                return original(*args, **kwargs)
            call.target = target
            try:
                with Entered(call):
                    answer = original(*args, **kwargs)
            except BaseException as error:
                call.end(end_of(error), error=error)
                raise
            # `completion(acompletion=True)` gives a coroutine: the call goes on inside it.
            if inspect.iscoroutine(answer):
                return self._awaited(call, lambda: answer, function.__name__)
            return self._answered(call, answer, function.__name__)

        return wrapper

    def _async_wrapper(self, function: FunctionType, operation: str, target: object) -> patch.Wrapper:
        async def wrapper(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            call = self._open(function, operation, args, kwargs)
            if call is None:
                return await original(*args, **kwargs)
            call.target = target
            return await self._awaited(call, lambda: original(*args, **kwargs), function.__name__)

        return wrapper

    async def _awaited(self, call: Call, work: Callable[[], Awaitable[Any]], name: str) -> Any:
        try:
            with Entered(call):
                answer = await work()
        except BaseException as error:
            call.end(end_of(error), error=error)
            raise
        return self._answered(call, answer, name)

    def _answered(self, call: Call, answer: Any, name: str) -> Any:
        try:
            call.answer = answer_of(name, answer, self._registry)
            if is_stream(answer):
                return track(call, answer)
        except Exception as error:  # noqa: BLE001 - an answer we cannot read still belongs to the user
            TALLY.fault("read an answer", error)
        call.end(_COMPLETE)
        return answer

    def _open(
        self, function: FunctionType, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call | None:
        """The call that begins here, or None when this is a deeper layer of one that is open (or we failed).

        Raises:
            BudgetExceeded: a limit of the user's own is reached. Nothing else is raised.
        """
        outer = current()
        if outer is not None and _is_same_call(outer, function, kwargs):
            TALLY.absorbed += 1
            if isinstance(kwargs.get("model"), str):
                outer.model = kwargs["model"]
            return None
        around = limits()
        try:
            request = read_request(operation, args, kwargs, self._registry)
            started_ns = time.time_ns()
            span = start_span(
                self._tracer(),
                request.name,
                context=request.parent,
                kind=_CLIENT,
                attributes=request.attributes,
                start_ns=started_ns,
            )
            call = Call(span, model=request.model, started_ns=started_ns)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("open the span of a call", error)
            return None
        call.outer, call.budgets = outer, around
        return call


def _count_attempt(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = current()
    if call is not None:
        call.attempts += 1
    return original(*args, **kwargs)


def _is_same_call(outer: Call, function: FunctionType, kwargs: Mapping[str, Any]) -> bool:
    """True when litellm has entered itself on behalf of the open call: a retry, a fallback, a bridge, a twin.

    Anything else inside an open call is a call of its own (guardrails, agent loops): it has its own tokens.
    """
    if kwargs.get("litellm_logging_obj") is not None:
        return True
    if not _SAME_CALL_FLAGS.isdisjoint(kwargs) and any(kwargs.get(flag) is True for flag in _SAME_CALL_FLAGS):
        return True
    if outer.target is not None and outer.target is function:
        outer.target = None
        return True
    return False


def _decorated_codes(client: Any) -> set[CodeType]:
    """The code objects that `litellm.utils.client` gives to the functions it decorates."""
    constants = client.__code__.co_consts
    return {
        code
        for code in constants
        if isinstance(code, CodeType) and code.co_name in ("wrapper", "wrapper_async")
    }
