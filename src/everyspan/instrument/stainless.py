"""The SDKs that Stainless generates (openai 1 to 3, anthropic): one funnel for all of their calls.

Every method of theirs, `parse` and the streaming helpers included, ends up in `SyncAPIClient.request` or
`AsyncAPIClient.request`. Exchanging those covers clients that exist already, subclasses for the clouds, and names that
were imported before us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Protocol

from everyspan.errors import BudgetExceeded
from everyspan.instrument import patch
from everyspan.instrument.fields import is_model
from everyspan.instrument.sdk.answer import SdkAnswer
from everyspan.instrument.sdk.batches import Lines, Result, may_be_results, tapped
from everyspan.instrument.sdk.bodies import BodyWatch, Watch, decoded, drop_ends, watch
from everyspan.instrument.sdk.calls import Calls, arun, run
from everyspan.instrument.sdk.reads import AsyncReads, Hides, Reads
from everyspan.instrument.sdk.request import Asked
from everyspan.record.call import Call, End, current
from everyspan.record.tally import TALLY

_JSON_LINES = frozenset({"JSONLDecoder", "AsyncJSONLDecoder"})


class Library(Protocol):
    """What differs between the SDKs."""

    def asked(self, client: Any, path: str, body: Mapping[str, Any]) -> Asked | None:
        """What a POST to `path` asks for; None when it is no call of a model."""

    def batch_line(self, client: Any, line: Any) -> Result | None:
        """What a line of a file is that a client fetched; None when it is no result of a batch."""

    def prepare(self, client: Any, asked: Asked, options: Any) -> Hides:
        """Change what is about to be sent, if that is safe; tells which chunks of the answer to hide then."""


class StainlessHooks:
    """Instruments one SDK's `_base_client` module."""

    def __init__(self, calls: Calls, library: Library) -> None:
        self._calls = calls
        self._library = library

    def hook(self, module: ModuleType) -> None:
        """Exchange the funnel's two halves."""
        patch.exchange(module.SyncAPIClient.request, self._request)
        patch.exchange(module.AsyncAPIClient.request, self._arequest)
        patch.exchange(module.BaseClient._build_request, self._build)

    def _request(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opened = self._open(args, kwargs)
        if opened is None:
            return self._fetched(original(*args, **kwargs), args)
        call, answered = opened
        return run(call, lambda: original(*args, **kwargs), answered)

    async def _arequest(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        opened = self._open(args, kwargs)
        if opened is None:
            return self._fetched(await original(*args, **kwargs), args)
        call, answered = opened
        return await arun(call, lambda: original(*args, **kwargs), answered)

    def _fetched(self, answer: Any, args: tuple[Any, ...]) -> Any:
        """The answer to a request that calls no model; the results of a batch are recorded as they are read."""
        try:
            kind = type(answer).__name__
            if kind in _JSON_LINES:
                answer._raw_iterator = tapped(
                    answer._raw_iterator, Lines(self._calls, args[0], self._library.batch_line)
                )
            elif kind == "HttpxBinaryResponseContent" and may_be_results(answer.content):
                Lines(self._calls, args[0], self._library.batch_line).saw_whole(answer.content)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read a batch's results", error)
        return answer

    def _build(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Called once for each attempt. A call of litellm's counts its attempts itself.
        call = current()
        if call is not None and call.target is self:
            call.attempts += 1
        return original(*args, **kwargs)

    def _open(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Call, Callable[[Call, Any], Any]] | None:
        """The call that begins here and what to do with its answer; None when none does.

        Raises:
            BudgetExceeded: a limit of the user's own is reached. Nothing else is raised.
        """
        try:
            client = args[0]
            options = args[2] if len(args) > 2 else kwargs["options"]
            asked = self._asked(client, options)
            if asked is None:
                return None
            call = self._calls.open(asked)
            if call is None:
                return None
            call.target = self
            hides = self._library.prepare(client, asked, options)
        except BudgetExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read the arguments of a call", error)
            return None
        return call, lambda call, answer: _answered(call, answer, hides)

    def _asked(self, client: Any, options: Any) -> Asked | None:
        if str(options.method).lower() != "post":
            return None
        body = options.json_data
        path = str(options.url).partition("?")[0]
        return self._library.asked(client, path, body if isinstance(body, Mapping) else {})


def _answered(call: Call, answer: Any, hides: Hides) -> Any:
    """What the user gets for what the SDK returned: the same object."""
    reader = call.answer
    if not isinstance(reader, SdkAnswer):
        return answer
    # Asking a pydantic model for what it does not have takes long, and it is never one of the others.
    if is_model(answer):
        reader.request_id = _request_id(answer)
        reader.take_whole(answer)
        call.end(End.COMPLETE)
    elif hasattr(answer, "_iterator") and hasattr(answer, "response"):
        _stream(call, reader, answer, hides)
    elif hasattr(answer, "http_response"):  # with_raw_response, with_streaming_response
        _raw(call, reader, answer.http_response)
    elif hasattr(answer, "iter_bytes") and hasattr(
        answer, "headers"
    ):  # asked for as the HTTP response itself
        _raw(call, reader, answer)
    else:
        reader.request_id = _request_id(answer)
        # Sound comes as an object around the HTTP response, and tells no usage.
        if not hasattr(type(answer), "write_to_file"):
            reader.take_whole(answer)
        call.end(End.COMPLETE)
    return answer


def _stream(call: Call, reader: SdkAnswer, stream: Any, hides: Hides) -> None:
    reader.request_id = _header_id(stream.response)
    source = stream._iterator
    stream._iterator = (AsyncReads if hasattr(source, "__anext__") else Reads)(call, source, hides)
    watch(stream.response, Watch(call, reader))
    drop_ends(call, reader, stream)


def _raw(call: Call, reader: SdkAnswer, response: Any) -> None:
    reader.request_id = _header_id(response)
    content_type = response.headers.get("content-type", "")
    if hasattr(response, "_content"):  # read already
        if "json" in content_type:
            reader.take_whole(decoded(response.content))
        call.end(End.COMPLETE)
    elif watch(response, BodyWatch(call, reader, content_type)):
        drop_ends(call, reader, response)
    else:
        call.end(End.COMPLETE)


def _header_id(response: Any) -> str:
    for name in ("x-request-id", "request-id", "apim-request-id"):
        value = response.headers.get(name)
        if value:
            return str(value)
    return ""


def _request_id(answer: Any) -> str:
    value = getattr(answer, "_request_id", None)
    return value if isinstance(value, str) else ""
