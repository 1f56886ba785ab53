"""The door: OTLP over HTTP, as a bare ASGI application.

No framework stands between the socket and the inbox: half of a request's CPU time went there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from google.protobuf.json_format import MessageToJson

from everyspan.collector.accept import JSON, PROTOBUF, Examined
from everyspan.collector.answers import Answer, refusal
from everyspan.collector.intake import Intake, Taken, response_to
from everyspan.collector.issued import Scope as KeyScope
from everyspan.collector.keys import Admitted, Keys
from everyspan.collector.limits import Limits
from everyspan.collector.origin import is_forged
from everyspan.errors import CollectorError
from everyspan.version import __version__

_LOGGER = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

TRACES_PATHS = ("/v1/traces", "/api/public/otel/v1/traces")
METRICS_PATHS = ("/api/public/otel/v1/metrics",)
_HIGHEST_INGESTION_VERSION = 4
_LONG_BODY_BYTES = 128 << 10
_FORGOTTEN_BYTES = 256 << 20
_FORGOTTEN_S = 10.0


class Door:
    """Takes OTLP requests; answers 200 when the body is on stable storage, and never 500."""

    def __init__(self, intake: Intake, keys: Keys) -> None:
        self._intake = intake
        self._keys = keys
        self._limits = intake.limits
        self.taken = intake.taken

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Whatever goes wrong becomes an answer that tells an OTLP client what to do."""
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        source = _Source(receive)
        kind = headers.get("content-type", "") or JSON
        try:
            answer = await self._answer(scope, headers, source)
        except CollectorError as refused:
            again_s = refused.retry_after_s
            answer = refusal(str(refused), status=refused.status, retry_after_s=again_s, asked_in=kind)
        except Exception as failure:
            # OpenTelemetry's exporter and Langfuse's SDK drop a batch at 500 and keep it at 503.
            self.taken.faults += 1
            _LOGGER.exception("a request to %s failed", scope["path"])
            why = f"the collector failed with {type(failure).__name__}; try again"
            answer = refusal(why, status=503, asked_in=kind)
        self.taken.requests += 1
        self.taken.refused += answer.status >= 400
        await source.run_dry()
        await answer.send(send)

    async def _answer(self, scope: Scope, headers: dict[str, str], source: _Source) -> Answer:
        if scope["method"] != "POST":
            return refusal(f"{scope['path']} takes POST", status=405, headers=(("allow", "POST"),))
        if is_forged(scope["method"], headers):
            raise CollectorError("a page of another origin may not send here", status=403)
        admitted = self._keys.let_in(headers.get("authorization"), KeyScope.INGEST)
        if scope["path"] in METRICS_PATHS:
            return Answer(200, b"{}", JSON)
        _check_ingestion_version(headers.get("x-langfuse-ingestion-version", ""))
        held = _Held(self.taken, self._limits)
        try:
            body = await self._body(headers, source, held)
            return await self._take(body, headers, admitted, held)
        finally:
            admitted.received(held.received_bytes)
            held.release()

    async def _body(self, headers: dict[str, str], source: _Source, held: _Held) -> bytes:
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._limits.body_bytes:
            raise CollectorError(
                f"the body has {announced} bytes; the limit is {self._limits.body_bytes}", status=413
            )
        parts = []
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                while not source.ended:
                    part = await source.read()
                    held.add(len(part))
                    parts.append(part)
        except TimeoutError:
            source.ended = True  # as far as we are concerned
            raise CollectorError(
                f"the body took longer than {self._limits.body_timeout_s:g} s", status=408
            ) from None
        return b"".join(parts)

    async def _take(self, body: bytes, headers: dict[str, str], admitted: Admitted, held: _Held) -> Answer:
        kind = headers.get("content-type", "")
        encoding = headers.get("content-encoding", "")
        if len(body) > _LONG_BODY_BYTES:
            # Long enough for others to notice the wait.
            found = await asyncio.to_thread(self._intake.examine, body, content_type=kind, encoding=encoding)
        else:
            found = self._intake.examine(body, content_type=kind, encoding=encoding)
        held.grow(len(found.body))
        kept = self._intake.keep(found, headers, admitted)
        if kept is not None:
            await asyncio.wrap_future(kept)
        self.taken.spans += found.spans
        return _stored(found, as_json=kind.lower().startswith(JSON))


class _Source:
    """The body of one request as it comes in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def read(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.ended = True
            raise CollectorError("the client went away before the end of its body", status=400)
        self.ended = not message.get("more_body")
        part: bytes = message.get("body", b"")
        return part

    async def run_dry(self) -> None:
        """Read on and forget, within limits, so that a refused client hears why.

        Closing while it still writes resets the connection: it would never see the 413, take us for unreachable
        and send the same body again, for ever.
        """
        left = _FORGOTTEN_BYTES
        try:
            async with asyncio.timeout(_FORGOTTEN_S):
                while not self.ended and left > 0:
                    left -= len(await self.read())
        except (TimeoutError, CollectorError):
            self.ended = True  # it stopped or went away; the answer is sent into the void


class _Held:
    """The bytes of one request while it is with us, counted into the sum of all."""

    def __init__(self, taken: Taken, limits: Limits) -> None:
        self._taken = taken
        self._limits = limits
        self._size_bytes = 0
        self.received_bytes = 0
        """As they travelled."""

    def add(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes
        self.grow(size_bytes)
        if self._size_bytes > self._limits.body_bytes:
            raise CollectorError(f"the body is longer than {self._limits.body_bytes} bytes", status=413)

    def grow(self, size_bytes: int) -> None:
        self._size_bytes += size_bytes
        self._taken.in_flight_bytes += size_bytes
        if self._taken.in_flight_bytes > self._limits.in_flight_bytes:
            raise CollectorError("too many requests are under way; try again", status=503)

    def release(self) -> None:
        self._taken.in_flight_bytes -= self._size_bytes
        self._size_bytes = 0


def _check_ingestion_version(said: str) -> None:
    # Langfuse answers 400 to what it does not know; a client of a later protocol must not believe it was understood.
    if said and not (said.isascii() and said.isdigit() and int(said) <= _HIGHEST_INGESTION_VERSION):
        raise CollectorError(f"Unsupported x-langfuse-ingestion-version {said[:20]!r}", status=400)


def _stored(found: Examined, *, as_json: bool) -> Answer:
    headers = (("everyspan-collector", __version__),)
    response = response_to(found)
    if not as_json:
        return Answer(200, response.SerializeToString(), PROTOBUF, headers)
    return Answer(200, MessageToJson(response, indent=None).encode(), JSON, headers)
