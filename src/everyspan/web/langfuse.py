"""The few calls that Langfuse's SDK makes at run time, so that it takes us for home."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from everyspan.collector.keys import DEFAULT_PROJECT
from everyspan.version import __version__
from everyspan.web.endpoint import json_response
from everyspan.web.guard import PROJECT


def routes() -> list[Route]:
    """Routes for `auth_check()` and probes (Langfuse public API: health, projects)."""
    return [
        Route("/api/public/health", _health, methods=["GET"]),
        Route("/api/public/ready", _health, methods=["GET"]),
        Route("/api/public/projects", _projects, methods=["GET"]),
        Route("/api/public/{rest:path}", _not_here, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


async def _health(request: Request) -> Response:
    return json_response({"status": "OK", "version": __version__})


async def _projects(request: Request) -> Response:
    project = request.scope.get(PROJECT) or DEFAULT_PROJECT
    organization = {"id": "everyspan", "name": "everyspan"}
    return json_response(
        {"data": [{"id": project, "name": project, "organization": organization, "metadata": {}}]}
    )


async def _not_here(request: Request) -> Response:
    # The SDK tells "no such thing" from "broken" by this very word.
    why = f"everyspan has no {request.method} {request.url.path}"
    return json_response({"message": why, "error": "LangfuseNotFoundError"}, status=404)
