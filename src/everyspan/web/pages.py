"""The page: three files, read once, served as they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": ("page.html", "text/html"),
    "/static/page.css": ("page.css", "text/css"),
    "/static/page.js": ("page.js", "text/javascript"),
    "/static/draw.js": ("draw.js", "text/javascript"),
}


def routes() -> list[Route]:
    """A route for each file."""
    return [
        Route(path, _file(name, media_type), methods=["GET"]) for path, (name, media_type) in _FILES.items()
    ]


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = (_STATIC / name).read_bytes()

    async def page(request: Request) -> Response:
        # Browsers ask again each time: an upgrade is seen at once.
        return Response(content, media_type=media_type, headers={"cache-control": "no-cache"})

    return page
