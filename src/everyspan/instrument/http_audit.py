"""Requests to hosts of known providers, seen where they leave, against the calls that were recorded.

A request that leaves while no call of ours is current was made by something that is not instrumented: a library that
we do not know, or plain HTTP. It is counted by host; `everyspan.stats()` and the doctor tell.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.record.call import inherited
from everyspan.record.shadows import looks_like_a_model_call
from everyspan.record.tally import TALLY
from everyspan.wire.notes import WITHOUT_SPAN

_HOSTS = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:"
    r"api\.openai\.com|openai\.azure\.com|api\.anthropic\.com|generativelanguage\.googleapis\.com"
    r"|aiplatform\.googleapis\.com|[a-z0-9-]*-?aiplatform\.googleapis\.com|api\.mistral\.ai|api\.cohere\.(?:com|ai)"
    r"|api\.groq\.com|api\.deepseek\.com|api\.x\.ai|api\.perplexity\.ai|api\.together\.xyz|openrouter\.ai"
    r"|api\.fireworks\.ai|api-inference\.huggingface\.co|router\.huggingface\.co"
    r"|bedrock-runtime(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com)"
)
# What asks a model for something, in the APIs of these hosts; listing models or fetching a file is no call.
_PATHS = re.compile(
    r"/(?:chat/completions|completions|responses|embeddings|messages|complete|generate|chat|rerank|invoke"
    r"|invoke-with-response-stream|converse|converse-stream|images/(?:generations|edits|variations)"
    r"|audio/(?:speech|transcriptions|translations))/?$"
    r"|:(?:generateContent|streamGenerateContent|embedContent|batchEmbedContents|predict|rawPredict|streamRawPredict)$"
)


class Uncovered:
    """Counts of requests that no span tells of. Safe from any thread: counts may lag, never break."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        """Requests to models, by host."""
        self.without_span: Counter[str] = Counter()
        """Those among them that left while no call was being recorded."""
        self._tell: Callable[[Mapping[str, object]], None] | None = None
        self._told = 0

    def tell(self) -> None:
        """Let the destinations know how many there are by now, if there are more than they know of."""
        count = self.without_span.total()
        if self._tell is not None and count != self._told:
            self._told = count
            self._tell({WITHOUT_SPAN: dict(self.without_span)})

    def tell_to(self, tell: Callable[[Mapping[str, object]], None]) -> None:
        """Where the counts go from now on."""
        self._tell = tell

    def begin_anew(self) -> None:
        """In a forked child: what the parent sent is the parent's to tell."""
        self.seen.clear()
        self.without_span.clear()
        self._told = 0

    def note(self, method: str, url: Any) -> None:
        """A request is about to leave; never raises.

        Args:
            url: a text, or an object that has `host` and `path`, as httpx's and yarl's do.
        """
        try:
            if method.upper() != "POST":
                return
            host = getattr(url, "host", None)
            if isinstance(host, str):
                path = url.path
            else:
                parts = urlsplit(str(url))
                host, path = parts.hostname or "", parts.path
            host = host.lower()
            if not _asks_a_model(host, path):
                return
            self.seen[host] += 1
            # Also a call that has ended: litellm sends some requests from tasks that outlive the wait for them.
            if inherited() is None and not _is_recorded_by_others():
                self.without_span[host] += 1
                count = self.without_span.total()
                if not count & (count - 1):
                    # At 1, 2, 4, 8 …: a program that is killed has told most of it, and one that goes on tells little.
                    self.tell()
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("look at a request", error)


@lru_cache(maxsize=1_024)
def _asks_a_model(host: str, path: str) -> bool:
    return _HOSTS.fullmatch(host) is not None and _PATHS.search(path) is not None


def _is_recorded_by_others() -> bool:
    """Whether another instrumentation's span of a model call is current, which is delivered and billed as well."""
    span = trace.get_current_span()
    return isinstance(span, ReadableSpan) and looks_like_a_model_call(span)


UNCOVERED = Uncovered()
"""The counts of this process."""

os.register_at_fork(after_in_child=UNCOVERED.begin_anew)


def install(tell: Callable[[Mapping[str, object]], None]) -> None:
    """Look at what httpx, httpx2, aiohttp and urllib3 send, from their import on; requests and botocore use urllib3."""
    UNCOVERED.tell_to(tell)
    for name in ("httpx", "httpx2"):
        when_imported(f"{name}._client", _hook_httpx)
    when_imported("aiohttp.client", _hook_aiohttp)
    when_imported("urllib3.connectionpool", _hook_urllib3)


def _hook_httpx(module: ModuleType) -> None:
    patch.exchange(module.Client.send, _httpx_send)
    patch.exchange(module.AsyncClient.send, _httpx_asend)


def _httpx_send(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request = args[1] if len(args) > 1 else kwargs.get("request")
    UNCOVERED.note(getattr(request, "method", ""), getattr(request, "url", ""))
    return original(*args, **kwargs)


async def _httpx_asend(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    request = args[1] if len(args) > 1 else kwargs.get("request")
    UNCOVERED.note(getattr(request, "method", ""), getattr(request, "url", ""))
    return await original(*args, **kwargs)


def _hook_aiohttp(module: ModuleType) -> None:
    async def request(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        method = args[1] if len(args) > 1 else kwargs.get("method", "")
        url = args[2] if len(args) > 2 else kwargs.get("str_or_url", "")
        UNCOVERED.note(str(method), url)
        return await original(*args, **kwargs)

    patch.exchange(module.ClientSession._request, request)


def _hook_urllib3(module: ModuleType) -> None:
    def urlopen(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        pool = args[0]
        method = args[1] if len(args) > 1 else kwargs.get("method", "")
        url = args[2] if len(args) > 2 else kwargs.get("url", "")
        # A retry of urllib3's own comes through here again; it is a request, too.
        UNCOVERED.note(str(method), f"https://{pool.host}{urlsplit(str(url)).path}")
        return original(*args, **kwargs)

    patch.exchange(module.HTTPConnectionPool.urlopen, urlopen)
