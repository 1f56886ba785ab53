"""The page: three files, read once, served as they are."""

from __future__ import annotations

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


def _file(name: str, media_type: str) -> Page:
    return Page((_STATIC / name).read_bytes(), media_type)


class Page:
    """An endpoint that answers with one file. Browsers ask again each time: an upgrade is seen at once."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self._content = content
        self._media_type = media_type

    async def __call__(self, request: Request) -> Response:
        """The file."""
        return Response(
            self._content,
            media_type=f"{self._media_type}; charset=utf-8",
            headers={"cache-control": "no-cache"},
        )
