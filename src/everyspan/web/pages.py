"""The page and its files, read once and served as they are. Every address of the page is the same document."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ADDRESSES = (
    *("/", "/traces", "/traces/{trace_id}", "/cost", "/latency", "/sessions", "/users", "/completeness"),
    "/api",
)


def routes() -> list[Route]:
    """A route for each address of the page, and one for each file."""
    document = _file(_STATIC / "page.html")
    files = [path for path in sorted(_STATIC.rglob("*")) if path.suffix in _MEDIA_TYPES]
    return [
        *(Route(address, document, methods=["GET"]) for address in _ADDRESSES),
        *(
            Route(f"/static/{path.relative_to(_STATIC).as_posix()}", _file(path), methods=["GET"])
            for path in files
        ),
    ]


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    # Browsers ask again each time, so that an upgrade is seen at once; what they have is not sent twice.
    headers = {"cache-control": "no-cache", "etag": tag}

    async def page(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=_MEDIA_TYPES[path.suffix], headers=headers)

    return page
