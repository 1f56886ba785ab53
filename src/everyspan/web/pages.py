"""The page and its files, read once and served as they are. Every address of the page is the same document.

The document names its files under `/static/<version>/`, where browsers keep them for good: the version is made of all
their contents, and modules import one another by relative addresses, so an upgrade is another place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ADDRESSES = ("/", "/traces", "/cost", "/latency", "/sessions", "/users", "/completeness", "/api")
_DOCUMENT = "page.html"
_MODULES, _AHEAD = "<!-- modules -->", "<!-- ahead -->"
_TRACE = "/traces/{trace_id}"
_NOT_AHEAD = (
    "js/theme.js",
    "js/cost.js",
    "js/latency.js",
    "js/reference.js",
    "js/chart.js",
    "vendor/uplot.js",
)
"""No modules, or modules of pages that most visits do not see."""
_ASK_AGAIN = "no-cache"
_FOR_GOOD = "public, max-age=31536000, immutable"

Endpoint = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """A route for each address of the page, and one for the files, with and without the version in front."""
    files = {
        path.relative_to(_STATIC).as_posix(): path.read_bytes()
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _MEDIA_TYPES
    }
    version = _digest(b"".join(name.encode() + content for name, content in files.items()))[:12]
    text = _document(files, version)
    document = _served(_DOCUMENT, text.replace(_AHEAD, "").encode(), _ASK_AGAIN)
    served = {
        f"{place}{name}": _served(name, content, keep)
        for name, content in files.items()
        for place, keep in ((f"{version}/", _FOR_GOOD), ("", _ASK_AGAIN))
    }

    async def file(request: Request) -> Response:
        found = served.get(request.path_params["name"])
        return await found(request) if found else Response(status_code=404)

    return [
        *(Route(address, document, methods=["GET"]) for address in _ADDRESSES),
        Route(_TRACE, _trace_page(text), methods=["GET"]),
        Route("/static/{name:path}", file, methods=["GET"]),
    ]


def _document(files: Mapping[str, bytes], version: str) -> str:
    """The document with the addresses of this version, and the modules that every page needs: found one import after
    the other, they would come in as many rounds as imports are deep."""
    text = files[_DOCUMENT].decode("utf-8")
    modules = (name for name in files if name.endswith(".js") and name not in _NOT_AHEAD)
    links = "\n".join(f'<link rel="modulepreload" href="/static/{name}">' for name in modules)
    return text.replace(_MODULES, links).replace('"/static/', f'"/static/{version}/')


def _trace_page(text: str) -> Endpoint:
    """The document for a trace: it names the question too, so that a large trace is read while the modules come."""

    async def endpoint(request: Request) -> Response:
        trace_id, project = request.path_params["trace_id"], request.query_params.get("project", "")
        asked = f"/api/v1/traces/{quote(trace_id)}/skeleton" + (
            f"?{urlencode({'project': project})}" if project else ""
        )
        link = f'<link rel="preload" as="fetch" crossorigin href="{escape(asked)}">'
        return Response(
            text.replace(_AHEAD, link), media_type="text/html", headers={"cache-control": _ASK_AGAIN}
        )

    return endpoint


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _served(name: str, content: bytes, keep: str) -> Endpoint:
    tag = f'"{_digest(content)[:20]}"'
    # Asked again each time, the document shows an upgrade at once; what the browser has is not sent twice.
    headers = {"cache-control": keep, "etag": tag}
    media_type = _MEDIA_TYPES[Path(name).suffix]

    async def endpoint(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return endpoint
