"""Saved views of the list of traces: names for what stands in an address, kept by the collector for a whole project."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from everyspan.collector.keys import DEFAULT_PROJECT
from everyspan.errors import EveryspanError, SettingsError, StoreError
from everyspan.web.as_json import as_json
from everyspan.web.endpoint import error_response, json_response
from everyspan.web.guard import PROJECT

MOST_VIEWS = 200
"""In one project."""

_MOST_NAME, _MOST_QUERY, _MOST_BODY_BYTES = 80, 2000, 16_384
_BODY_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A name and what it stands for."""

    name: str
    query: str
    """As it stands in an address, such as `tag=beta&errors=yes`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewList:
    """All of a project, by name."""

    views: tuple[View, ...]


class Views:
    """The views of all projects, in one small file; may be used from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def listed(self, project: str) -> ViewList:
        """What is saved in a project; without keys, the one that there is.

        Raises:
            StoreError: the file cannot be read.
        """
        mine = self._read().get(project or DEFAULT_PROJECT, {})
        return ViewList(views=tuple(View(name=name, query=query) for name, query in sorted(mine.items())))

    def keep(self, project: str, name: str, query: str) -> ViewList:
        """Save a view, in place of one with the same name; an empty query forgets it. It survives a restart.

        Raises:
            SettingsError: the name or the query is too long or empty, or there are too many.
            StoreError: the file cannot be read or written.
        """
        name = name.strip()
        if not 0 < len(name) <= _MOST_NAME or not name.isprintable():
            raise SettingsError(f"the name of a view has 1 to {_MOST_NAME} characters that can be printed")
        if len(query) > _MOST_QUERY or (query and not parse_qsl(query)):
            raise SettingsError(f"query is no part of an address, or longer than {_MOST_QUERY} characters")
        with self._lock:
            everything = self._read()
            mine = everything.setdefault(project or DEFAULT_PROJECT, {})
            mine.pop(name, None)
            if query:
                mine[name] = query
            if len(mine) > MOST_VIEWS:
                raise SettingsError(f"a project keeps at most {MOST_VIEWS} views; forget one first")
            self._write(everything)
        return self.listed(project)

    def routes(self) -> list[Route]:
        """The route that saves; `Api` has the one that reads."""
        return [Route("/api/v1/views/{name:path}", self._put, methods=["PUT"])]

    async def _put(self, request: Request) -> Response:
        try:
            said = await _body(request)
            project, name = request.scope.get(PROJECT, ""), request.path_params["name"]
            return json_response(as_json(await run_in_threadpool(self.keep, project, name, said)))
        except SettingsError as wrong:
            return error_response(str(wrong), 400)
        except EveryspanError as failure:
            return error_response(str(failure), 503)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as unreadable:
            raise StoreError(f"the saved views in {self._path} cannot be read: {unreadable}") from None
        if not isinstance(said, dict) or not all(isinstance(each, dict) for each in said.values()):
            raise StoreError(f"{self._path} holds no saved views; move it away, or mend it")
        return said

    def _write(self, everything: dict[str, dict[str, str]]) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            # Whole or not at all: dying in between leaves the file as it was.
            with os.fdopen(
                os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w"
            ) as file:
                json.dump(everything, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as unwritable:
            raise StoreError(f"the view cannot be saved in {self._path}: {unwritable}") from None


async def _body(request: Request) -> str:
    """The query that a body asks to save."""
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for part in request.stream():
                parts.append(part)
                if sum(map(len, parts)) > _MOST_BODY_BYTES:
                    raise SettingsError(f"the body is longer than {_MOST_BODY_BYTES} bytes")
        said: Any = json.loads(b"".join(parts))
    except (ValueError, RecursionError, TimeoutError, ClientDisconnect):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("query"), str):
        raise SettingsError('the body is a JSON object such as {"query": "tag=beta&errors=yes"}')
    query: str = said["query"]
    return query
