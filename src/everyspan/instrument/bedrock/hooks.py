"""Bedrock through botocore: one span for each Converse and InvokeModel, streamed or not.

Every operation of every client, boto3's included, ends up in `BaseClient._make_api_call`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import Tracer

from everyspan.errors import BudgetExceeded
from everyspan.instrument import patch
from everyspan.instrument.bedrock import converse, invoked
from everyspan.instrument.bedrock.converse import ConverseReader
from everyspan.instrument.bedrock.invoked import InvokedReader
from everyspan.instrument.bedrock.watched import watch_body, watch_events
from everyspan.instrument.fields import get
from everyspan.instrument.imports import when_imported
from everyspan.instrument.openai.chat import text
from everyspan.instrument.sdk.answer import Origin, Reader, SdkAnswer
from everyspan.instrument.sdk.bodies import decoded
from everyspan.instrument.sdk.calls import Calls, run
from everyspan.instrument.sdk.request import Asked
from everyspan.record.call import Call, End
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY

_CONVERSE = frozenset({"Converse", "ConverseStream"})
_INVOKE = frozenset({"InvokeModel", "InvokeModelWithResponseStream"})
_STREAMED = frozenset({"ConverseStream", "InvokeModelWithResponseStream"})
_SPELLINGS = {
    "maxTokens": "max_tokens",
    "maxTokenCount": "max_tokens",
    "max_gen_len": "max_tokens",
    "topP": "top_p",
    "p": "top_p",
    "topK": "top_k",
    "k": "top_k",
    "stopSequences": "stop_sequences",
}


class BedrockHooks:
    """Instruments botocore when the program imports it."""

    def __init__(self, tracer: Callable[[], Tracer], registry: Registry) -> None:
        self._calls = Calls(tracer, registry)

    def install(self) -> None:
        """Hook botocore now if it is loaded, else at its import."""
        when_imported("botocore.client", self._hook)

    def _hook(self, module: ModuleType) -> None:
        patch.exchange(module.BaseClient._make_api_call, self._called)

    def _called(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = self._open(args, kwargs)
        if opened is None:
            return original(*args, **kwargs)
        call, reader = opened
        return run(
            call,
            lambda: _tried(call, original, args, kwargs),
            lambda call, answer: _answered(call, reader, answer),
        )

    def _open(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Call, Reader] | None:
        """The call that begins here and who reads its answer; None for everything else that botocore does.

        Raises:
            BudgetExceeded: a limit of the user's own is reached. Nothing else is raised.
        """
        try:
            asked = _asked(*args, **kwargs)
            call = None if asked is None else self._calls.open(asked)
        except BudgetExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read the arguments of a call", error)
            return None
        return None if asked is None or call is None else (call, asked.reader)


def _asked(client: Any, operation_name: str, api_params: Any) -> Asked | None:
    """What an operation asks for; the parameters are named as in botocore."""
    if operation_name not in _CONVERSE and operation_name not in _INVOKE:
        return None
    if client.meta.service_model.service_name != "bedrock-runtime" or not isinstance(api_params, Mapping):
        return None
    origin = Origin("aws.bedrock", urlsplit(client.meta.endpoint_url).hostname or "")
    model = text(api_params, "modelId") or ""
    is_stream = operation_name in _STREAMED
    if operation_name in _CONVERSE:
        return Asked(
            operation="chat",
            model=model,
            reader=ConverseReader(),
            origin=origin,
            messages=converse.messages_of(api_params),
            tools=get(api_params.get("toolConfig"), "tools"),
            parameters=_parameters(api_params.get("inferenceConfig")),
            stream=is_stream,
        )
    body = _body(api_params.get("body"))
    operation = invoked.operation_of(model, body)
    config = body.get("inferenceConfig") or body.get("textGenerationConfig")
    return Asked(
        operation=operation,
        model=model,
        reader=InvokedReader(model, operation),
        origin=origin,
        messages=invoked.messages_of(body),
        tools=body.get("tools") or get(body.get("toolConfig"), "tools"),
        parameters={**_parameters(body), **_parameters(config)},
        stream=is_stream,
    )


def _body(given: Any) -> Mapping[str, Any]:
    # A file is read once, and that is by botocore.
    data = given.encode() if isinstance(given, str) else given
    found = decoded(bytes(data)) if isinstance(data, (bytes, bytearray)) else None
    return found if isinstance(found, Mapping) else {}


def _parameters(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        return {}
    return {_SPELLINGS.get(str(name), str(name)): value for name, value in given.items()}


def _tried(call: Call, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        answer = original(*args, **kwargs)
    except Exception as error:
        call.attempts = _attempts(getattr(error, "response", None))
        raise
    call.attempts = _attempts(answer)
    return answer


def _attempts(answer: Any) -> int:
    again = get(get(answer, "ResponseMetadata"), "RetryAttempts")
    return 1 + again if isinstance(again, int) else 1


def _answered(call: Call, reader: Reader, answer: Any) -> Any:
    """What the user gets: the same answer, with the same objects in it."""
    held = call.answer
    if not isinstance(held, SdkAnswer) or not isinstance(answer, Mapping):
        return answer
    about = get(answer, "ResponseMetadata")
    held.request_id = text(about, "RequestId") or ""
    if isinstance(reader, InvokedReader):
        reader.read_headers(get(about, "HTTPHeaders") or {})
    body = answer.get("stream") or answer.get("body")
    if hasattr(body, "_event_generator"):
        watch_events(call, held, body)
    elif hasattr(body, "_raw_stream"):
        watch_body(call, held, body, reader)
    else:
        held.take_whole(answer)
        call.end(End.COMPLETE)
    return answer
