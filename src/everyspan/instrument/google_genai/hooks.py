"""google-genai: one span for each request to a model.

All methods, chats and automatic function calling included, end up in four functions of the SDK's own HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import Tracer

from everyspan.errors import BudgetExceeded
from everyspan.instrument import patch
from everyspan.instrument.google_genai import streams
from everyspan.instrument.google_genai.batches import may_be_results, result_of, results_in
from everyspan.instrument.google_genai.content import EmbeddingsReader, GeminiReader, body_of, messages_of
from everyspan.instrument.imports import when_imported
from everyspan.instrument.sdk.answer import Origin, SdkAnswer
from everyspan.instrument.sdk.batches import Lines, record
from everyspan.instrument.sdk.bodies import drop_ends
from everyspan.instrument.sdk.calls import Calls, arun, run
from everyspan.instrument.sdk.reads import AsyncReads, Reads
from everyspan.instrument.sdk.request import Asked
from everyspan.record.call import Call, End
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY

_OPERATIONS = {
    "generateContent": "generate_content",
    "streamGenerateContent": "generate_content",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
}


_MOST_BATCHES = 10_000


class GoogleGenaiHooks:
    """Instruments google-genai when the program imports it."""

    def __init__(self, tracer: Callable[[], Tracer], registry: Registry) -> None:
        self._calls = Calls(tracer, registry)
        self._batches: set[str] = set()

    def install(self) -> None:
        """Hook google-genai now if it is loaded, else at its import."""
        when_imported("google.genai._api_client", self._hook)
        streams.install()

    def _hook(self, module: ModuleType) -> None:
        client = module.BaseApiClient
        patch.exchange(client.request, self._request)
        patch.exchange(client.request_streamed, self._streamed)
        patch.exchange(client.async_request, self._arequest)
        patch.exchange(client.async_request_streamed, self._arequest)
        patch.exchange(client.download_file, self._download)
        patch.exchange(client.async_download_file, self._adownload)

    def _request(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._open(args, kwargs)
        if call is None:
            return self._fetched(original(*args, **kwargs), args, kwargs)
        return run(call, lambda: original(*args, **kwargs), _answered)

    async def _arequest(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = self._open(args, kwargs)
        if call is None:
            return self._fetched(await original(*args, **kwargs), args, kwargs)
        return await arun(call, lambda: original(*args, **kwargs), _answered)

    def _streamed(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._open(args, kwargs)
        source = original(*args, **kwargs)  # a generator: the request leaves with its first step
        if call is None:
            return source
        streams.belongs_to(call)
        return Reads(call, source)

    def _download(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._downloaded(original(*args, **kwargs), args)

    async def _adownload(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self._downloaded(await original(*args, **kwargs), args)

    def _fetched(self, answer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The answer to a request that calls no model; a batch that has ended may hold its results."""
        try:
            name = _batch_in(*args, **kwargs)
            if name and name not in self._batches:
                results = results_in(body_of(answer), _origin(args[0]))
                for result in results:
                    record(self._calls, result)
                if results and len(self._batches) < _MOST_BATCHES:  # whoever asks how it goes asks again
                    self._batches.add(name)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read a batch's results", error)
        return answer

    def _downloaded(self, file: Any, args: tuple[Any, ...]) -> Any:
        try:
            if isinstance(file, bytes) and may_be_results(file):
                origin = _origin(args[0])
                Lines(self._calls, None, lambda _, line: result_of(line, origin)).saw_whole(file)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read a batch's results", error)
        return file

    def _open(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call | None:
        try:
            asked = _asked(*args, **kwargs)
            return None if asked is None else self._calls.open(asked)
        except BudgetExceeded:
            raise
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read the arguments of a call", error)
            return None


def _asked(
    client: Any, http_method: str, path: str, request_dict: Any, *_rest: Any, **_more: Any
) -> Asked | None:
    """What a request asks for; the parameters are named as in the SDK, which passes them by name too."""
    place, _, verb = path.partition("?")[0].rpartition(":")
    operation = _OPERATIONS.get(verb)
    if operation is None or http_method.lower() != "post" or not isinstance(request_dict, Mapping):
        return None
    model = place.rpartition("models/")[2]
    config = request_dict.get("generationConfig")
    return Asked(
        operation=operation,
        model=model,
        reader=EmbeddingsReader() if operation == "embeddings" else GeminiReader(),
        origin=_origin(client),
        messages=messages_of(request_dict),
        tools=request_dict.get("tools"),
        parameters=_parameters(config) if isinstance(config, Mapping) else {},
        stream=verb.startswith("stream"),
    )


def _batch_in(_client: Any, http_method: str, path: str, *_rest: Any, **_more: Any) -> str:
    """The name of the batch that is asked for; empty for every other request."""
    name = path.partition("?")[0]
    return name if http_method.lower() == "get" and name.startswith("batches/") else ""


def _origin(client: Any) -> Origin:
    url = getattr(getattr(client, "_http_options", None), "base_url", None)
    provider = "gcp.vertex_ai" if getattr(client, "vertexai", False) else "gcp.gemini"
    return Origin(provider, (urlsplit(url).hostname or "") if isinstance(url, str) else "")


_SPELLINGS = {
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_output_tokens",
    "stopSequences": "stop_sequences",
    "candidateCount": "n",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
}


def _parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    return {_SPELLINGS.get(name, name): value for name, value in config.items()}


def _answered(call: Call, answer: Any) -> Any:
    reader = call.answer
    if hasattr(answer, "__anext__"):
        reads = AsyncReads(call, answer)
        streams.belongs_to(call)
        if isinstance(reader, SdkAnswer):
            drop_ends(call, reader, reads)
        return reads
    if isinstance(reader, SdkAnswer):
        reader.take_whole(body_of(answer))
    call.end(End.COMPLETE)
    return answer
