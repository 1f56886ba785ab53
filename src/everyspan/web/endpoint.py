"""A place of the API: what it answers, what it may be asked, how errors look. Routes and documentation come from it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from everyspan.errors import EveryspanError, NotFoundError, SettingsError
from everyspan.web.as_json import as_json
from everyspan.web.guard import NO_STORE, PROJECT
from everyspan.web.parameters import Parameter, read_query

_LONG_BYTES = 32_768
_LOOPBACK = frozenset({"127.0.0.1", "::1"})

Said = dict[str, Any]
"""A request's query, checked and held to the key's project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, ready to be answered."""

    said: Said
    path: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One GET.

    Attributes:
        answer: runs in a worker thread, because the store blocks; a `Response` is sent as it is.
        gives: the type of what is answered, for the documentation; None when it is no JSON.
    """

    path: str
    about: str
    answer: Callable[[Asked], object]
    parameters: tuple[Parameter, ...] = ()
    gives: Any = None
    media_type: str = "application/json"
    refused: Callable[[str, int], Response] | None = None
    """How an error looks, where other people's clients expect another shape."""

    def route(self) -> Route:
        """The route, for a Starlette application behind `web.guard`."""

        def endpoint(request: Request) -> Response:
            try:
                said = _within_project(read_query(request.query_params, self.parameters), request)
                found = self.answer(Asked(said=said, path=request.path_params))
                answer = found if isinstance(found, Response) else json_response(as_json(found))
                return _squeezed(answer, request)
            except EveryspanError as failure:
                return (self.refused or error_response)(str(failure), _status_of(failure))

        return Route(self.path, endpoint, methods=["GET"])


def _squeezed(answer: Response, request: Request) -> Response:
    """The answer in gzip where that is quicker: long ones, to other machines, that said they can read it."""
    near = request.client is None or request.client.host in _LOOPBACK
    if near or len(answer.body) < _LONG_BYTES or "gzip" not in request.headers.get("accept-encoding", ""):
        return answer
    answer.body = gzip.compress(answer.body, compresslevel=1, mtime=0)
    answer.headers["content-length"] = str(len(answer.body))
    answer.headers["content-encoding"] = "gzip"
    answer.headers["vary"] = "accept-encoding"
    return answer


def json_response(content: object, *, status: int = 200) -> Response:
    """`content` as JSON that no cache keeps."""
    try:
        body = orjson.dumps(content)
    except TypeError:
        # A number of more than 64 bits, or a lone surrogate: neither must turn an answer into a 500.
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        body = text.encode("utf-8", "backslashreplace")
    return Response(
        body, status_code=status, media_type="application/json", headers={"cache-control": NO_STORE}
    )


def _status_of(failure: EveryspanError) -> int:
    if isinstance(failure, NotFoundError):
        return 404
    return 400 if isinstance(failure, SettingsError) else 503


def error_response(why: str, status: int) -> Response:
    """The one shape of an error; see `collector.answers.refusal`."""
    return json_response({"message": why, "error": why}, status=status)


async def not_served(request: Request, failure: Exception) -> Response:
    """404 for a place and 405 for a method that there is none of, in the one shape."""
    status = failure.status_code if isinstance(failure, HTTPException) else 404
    answer = error_response(f"there is no {request.method} {request.url.path}", status)
    answer.headers.update(getattr(failure, "headers", None) or {})
    return answer


def _within_project(said: Said, request: Request) -> Said:
    """`said` held to the key's project. Only without keys may a request name one: there is nothing to protect."""
    own = request.scope.get(PROJECT, "")
    if own and said.get("project", own) != own:
        raise NotFoundError(f"this key opens project {own!r}, not {said['project']!r}")
    return {**said, "project": own} if own else said
