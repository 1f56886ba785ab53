"""Langfuse's public API, as far as its SDKs and litellm's callbacks need it to take us for home."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from everyspan.collector.keys import DEFAULT_PROJECT
from everyspan.store.store import Store
from everyspan.version import __version__
from everyspan.web.endpoint import json_response
from everyspan.web.guard import PROJECT
from everyspan.web.langfuse.daily import Daily
from everyspan.web.langfuse.ids import trace_id_of
from everyspan.web.langfuse.ingestion import Ingestion
from everyspan.web.langfuse.media import Files
from everyspan.web.langfuse.metrics import Metrics
from everyspan.web.langfuse.observations import Observations
from everyspan.web.langfuse.score_lists import ScoreLists
from everyspan.web.langfuse.scores import Scores
from everyspan.web.langfuse.traces import Traces


def routes(store: Store) -> list[Route]:
    """All that is answered below /api/public; the rest of Langfuse's API is a 404 in its own words."""
    found = [
        Route("/api/public/health", _health, methods=["GET"]),
        Route("/api/public/ready", _health, methods=["GET"]),
        Route("/api/public/projects", _projects, methods=["GET"]),
        # What the SDK's get_trace_url() makes.
        Route("/project/{project}/traces/{trace_id}", _trace_page, methods=["GET"]),
    ]
    for part in (
        ScoreLists(store),
        Scores(store),
        Observations(store),
        Traces(store),
        Ingestion(store),
        Daily(store),
        Metrics(store),
        Files(store),
    ):
        found += part.routes()
    return [
        *found,
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


async def _trace_page(request: Request) -> Response:
    return RedirectResponse(f"/traces/{trace_id_of(request.path_params['trace_id'])}", status_code=302)


async def _not_here(request: Request) -> Response:
    # The SDK tells "no such thing" from "broken" by this very word.
    why = f"everyspan has no {request.method} {request.url.path}"
    return json_response({"message": why, "error": "LangfuseNotFoundError"}, status=404)
