"""How a request and an answer look in Langfuse's public API: times, pages, bodies, errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from everyspan.collector.json_shape import check_values
from everyspan.collector.keys import DEFAULT_PROJECT
from everyspan.errors import CollectorError, EveryspanError
from everyspan.web.as_json import is_deep
from everyspan.web.endpoint import json_response
from everyspan.web.guard import KEY_ID, PROJECT

MOST_BODY_BYTES = 5 << 20
"""Langfuse takes 4.5 MB."""

_MOST_VALUES = 300_000
_MOST_DEPTH = 100
_BODY_TIMEOUT_S = 30.0
_LATEST_NS = 2**63 - 1


class RequestError(EveryspanError):
    """A request that cannot be answered; its words and its status are the answer."""

    def __init__(self, why: str, *, status: int = 400, error: object = "InvalidRequestError") -> None:
        super().__init__(why)
        self.status = status
        self.error = error


def missing(what: str) -> RequestError:
    """404, in the word by which Langfuse's SDK tells it from a broken server."""
    return RequestError(f"{what} not found", status=404, error="LangfuseNotFoundError")


class Asked(NamedTuple):
    """A request, reduced to what an answer depends on."""

    project: str
    key_id: str
    query: Mapping[str, list[str]]
    path: Mapping[str, Any]
    body: Any

    def one(self, name: str) -> str:
        """A parameter's value; empty when it is not given."""
        values = self.query.get(name, [])
        return values[-1] if values else ""

    def several(self, name: str) -> tuple[str, ...]:
        """A parameter's values, whether repeated or joined by commas."""
        return tuple(part for value in self.query.get(name, []) for part in value.split(",") if part)

    def time(self, name: str) -> int | None:
        """A parameter as nanoseconds since 1970; None when it is not given."""
        said = self.one(name)
        return None if not said else ns_of(said, name)

    def groups(self, known: Iterable[str]) -> frozenset[str] | None:
        """The parameter `fields`, groups of fields joined by commas; None when it is not given."""
        said = self.several("fields")
        for name in said:
            if name not in known:
                raise RequestError(f"fields has {name[:40]!r}; it takes {', '.join(known)}")
        return frozenset(said) or None

    def paging(self) -> tuple[int, int]:
        """Page and limit, as the older endpoints have them."""
        return self.whole("page", default=1, most=10_000), self.whole("limit", default=50, most=100)

    def whole(self, name: str, *, default: int, most: int) -> int:
        """A parameter as a number from 1 to `most`."""
        said = self.one(name)
        if not said:
            return default
        if not (said.isascii() and said.isdigit() and len(said) < 10 and int(said) >= 1):
            raise RequestError(f"{name} is {said[:40]!r}; it takes a whole number from 1")
        return min(int(said), most)


Answerer = Callable[[Asked], object]
Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(answer: Answerer, *, takes: Sequence[str] | None = None) -> Endpoint:
    """An endpoint that runs `answer` in a worker thread. A `(status, content)` pair sets a status of its own.

    Args:
        takes: the parameters that there are. Another one is refused, for an answer that ignores what narrows it is
            wider than what was asked. None for a place whose parameters narrow nothing.
    """

    async def serve(request: Request) -> Response:
        _check(request.query_params, takes)
        asked = Asked(
            project=request.scope.get(PROJECT) or DEFAULT_PROJECT,
            key_id=request.scope.get(KEY_ID, ""),
            query={name: request.query_params.getlist(name) for name in request.query_params},
            path=request.path_params,
            body=await _json_body(request) if _has_body(request) else None,
        )
        found = await run_in_threadpool(answer, asked)
        if isinstance(found, tuple):
            return json_response(found[1], status=found[0])
        return json_response(found)

    return refusing(serve)


def refusing(serve: Endpoint) -> Endpoint:
    """An endpoint that says no in Langfuse's shape: to a request that cannot be answered, and while a store fails."""

    async def guarded(request: Request) -> Response:
        try:
            return await serve(request)
        except RequestError as problem:
            return json_response({"message": str(problem), "error": problem.error}, status=problem.status)
        except EveryspanError as failure:
            return json_response({"message": str(failure), "error": "ServiceUnavailable"}, status=503)

    return guarded


def _check(said: Iterable[str], takes: Sequence[str] | None) -> None:
    for name in said:
        if takes is not None and name not in takes:
            raise RequestError(
                f"the parameter {name[:40]!r} is not supported here; known: {', '.join(takes)}"
            )


def _has_body(request: Request) -> bool:
    return request.method in ("POST", "PATCH", "PUT") or (
        # A list of what to delete.
        request.method == "DELETE" and request.headers.get("content-length", "0") != "0"
    )


async def _json_body(request: Request) -> Any:
    body = await read_body(request, most_bytes=MOST_BODY_BYTES, timeout_s=_BODY_TIMEOUT_S)
    try:
        await run_in_threadpool(check_values, body, most=_MOST_VALUES)
        return json.loads(body)
    except CollectorError as refused:
        raise RequestError(str(refused), status=refused.status) from None
    except (ValueError, RecursionError) as malformed:
        raise RequestError("Invalid request data", error=[f"the body is not JSON: {malformed}"]) from None


async def read_body(request: Request, *, most_bytes: int, timeout_s: float) -> bytes:
    """The whole body.

    Raises:
        RequestError: 413, it is longer; 408, it took longer; 400, its end never came.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise RequestError(f"the body is longer than {most_bytes} bytes", status=413)
    except TimeoutError:
        raise RequestError(f"the body took longer than {timeout_s:g} s", status=408) from None
    except ClientDisconnect:
        raise RequestError("the client went away before the end of its body") from None
    return bytes(body)


def ns_of(said: object, name: str) -> int:
    """An ISO date as nanoseconds since 1970; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(str(said))
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        found = int(at.replace(microsecond=0).timestamp()) * 10**9 + at.microsecond * 1000
    except (ValueError, OverflowError):
        raise RequestError(
            f"{name} is {str(said)[:40]!r}; it takes a date such as 2026-11-22T18:00:00Z"
        ) from None
    if not 0 <= found <= _LATEST_NS:
        raise RequestError(f"{name} is {str(said)[:40]!r}; it takes a date between 1970 and 2262")
    return found


def iso(at_ns: int) -> str:
    """Nanoseconds since 1970 as Langfuse writes a time: UTC, milliseconds."""
    at = datetime.fromtimestamp(at_ns // 10**9, UTC).replace(microsecond=at_ns % 10**9 // 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_depth(said: object) -> None:
    """See that something is not nested more deeply than what it is kept in and shown by can bear.

    Raises:
        RequestError: it is.
    """
    if is_deep(said, _MOST_DEPTH):
        raise RequestError(f"it is nested more than {_MOST_DEPTH} levels deep")


def position_of(cursor: str) -> tuple[int, str] | None:
    """Where a page begins; None for the first."""
    if not cursor:
        return None
    at, separator, key = cursor.partition(".")
    if not (separator and at.isascii() and at.isdigit() and len(at) <= 19):
        raise RequestError(f"{cursor[:80]!r} is no cursor; pass on the one that came with the last page")
    return min(int(at), 2**63 - 1), key


def paged(data: Sequence[object], *, page: int, limit: int, total: int) -> dict[str, Any]:
    """A page of Langfuse's older endpoints."""
    meta = {"page": page, "limit": limit, "totalItems": total, "totalPages": -(-total // limit)}
    return {"data": data, "meta": meta}
