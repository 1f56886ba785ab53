"""litellm's batches: the file that `litellm.file_content` gives holds the results, whoever the provider is.

Of OpenAI and Azure litellm fetches it with the openai SDK, which is instrumented itself. Those of Anthropic it writes
anew in OpenAI's shape, others it passes on as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from opentelemetry.trace import Tracer

from everyspan.instrument import patch
from everyspan.instrument.anthropic import batches as anthropic
from everyspan.instrument.google_genai import batches as google
from everyspan.instrument.imports import when_imported
from everyspan.instrument.openai import batches as openai
from everyspan.instrument.sdk.answer import Origin
from everyspan.instrument.sdk.batches import Lines, Result, Watching, may_be_results
from everyspan.instrument.sdk.calls import Calls
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY


class LitellmBatchHooks:
    """Reads the results of batches out of the files that the program fetches with litellm."""

    def __init__(self, tracer: Callable[[], Tracer], registry: Registry) -> None:
        self._calls = Calls(tracer, registry)

    def install(self) -> None:
        """Hook litellm's files now if they are loaded, else at their import."""
        when_imported("litellm.files.main", self._hook)

    def _hook(self, module: ModuleType) -> None:
        patch.exchange(module.file_content, self._fetch)
        patch.exchange(module.afile_content, self._afetch)

    def _fetch(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if kwargs.get("afile_content") is True:  # the other one does its work here
            return original(*args, **kwargs)
        with Watching() as inner:
            answer = original(*args, **kwargs)
        return answer if inner.recorded else self._read(answer, args, kwargs)

    async def _afetch(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        with Watching() as inner:
            answer = await original(*args, **kwargs)
        return answer if inner.recorded else self._read(answer, args, kwargs)

    def _read(self, answer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            file = getattr(answer, "content", None)
            if isinstance(file, bytes) and _may_be_results(file):
                provider = (
                    kwargs.get("custom_llm_provider") or (args[2] if len(args) > 2 else None) or "openai"
                )
                origin = Origin(str(provider), "")
                Lines(self._calls, None, lambda _, line: _result_of(line, origin)).saw_whole(file)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("read a batch's results", error)
        return answer


def _may_be_results(file: bytes) -> bool:
    if may_be_results(file) or google.may_be_results(file):
        return True
    first = file.partition(b"\n")[0]
    named = (b'"custom_id"' in first and b'"result"' in first) or b'"usageMetadata"' in first
    return first[:1] == b"{" and named


def _result_of(line: Any, origin: Origin) -> Result | None:
    for read in (openai.result_of, anthropic.result_of, google.result_of):
        result = read(line, origin)
        if result is not None:
            return result
    return None
