"""Files that texts refer to: asked for, uploaded and read back as Langfuse's SDKs do it, with links that are signed.

`POST /media` answers where to upload. Everything that is to be known of the file stands in that link, so nothing is
kept of an upload that never comes. Links are signed with a key of this process: one that dies in between ends them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from everyspan.clock import now_ns
from everyspan.store.media import Media, Use
from everyspan.store.store import Store
from everyspan.web.endpoint import json_response
from everyspan.web.guard import NO_STORE, RECEIVED
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, iso, missing, read_body, refusing
from everyspan.web.langfuse.ids import span_id_of, trace_id_of

MOST_BYTES = 32 << 20
"""Of one file."""

_AT_ONCE = 4
_UPLOAD_S, _READ_S = 600, 3600
_BODY_TIMEOUT_S = 120.0
_FIELDS = ("input", "output", "metadata")
_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,80}")


class Files:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = secrets.token_bytes(32)
        self._uploads = asyncio.Semaphore(_AT_ONCE)

    def routes(self) -> list[Route]:
        """The routes; those at the end take a signed link in place of a key."""
        base = "/api/public/media"
        return [
            Route(base, self._create, methods=["POST"]),
            Route(f"{base}/{{id}}", self._read, methods=["GET"]),
            Route(f"{base}/{{id}}", endpoint(self.uploaded), methods=["PATCH"]),
            Route(f"{base}/{{id}}/upload", refusing(self._upload), methods=["PUT"]),
            Route(f"{base}/{{id}}/content", refusing(self._content), methods=["GET"]),
        ]

    async def _create(self, request: Request) -> Response:
        link, received = _place(request), request.scope.get(RECEIVED, int)

        def create(asked: Asked) -> object:
            media = _wanted(asked.body, asked.project)
            if self._store.read_media(media.project, media.id) is not None:
                self._store.use_media(media.project, media.id, media.uses)
                return 200, {"mediaId": media.id, "uploadUrl": None}
            received(media.size_bytes)  # an upload counts to the key that asked for it
            token = self._signed(asdict(media), for_s=_UPLOAD_S)
            return 201, {"mediaId": media.id, "uploadUrl": f"{link}/{media.id}/upload?token={token}"}

        return await endpoint(create)(request)

    async def _read(self, request: Request) -> Response:
        link = _place(request)

        def read(asked: Asked) -> object:
            media = self._store.read_media(asked.project, asked.path["id"])
            if media is None:
                raise missing(f"Media {asked.path['id'][:80]!r}")
            token = self._signed({"project": media.project, "id": media.id}, for_s=_READ_S)
            return {
                "mediaId": media.id,
                "contentType": media.content_type,
                "contentLength": media.size_bytes,
                "uploadedAt": iso(media.created_ns),
                "url": f"{link}/{media.id}/content?token={token}",
                "urlExpiry": iso(now_ns() + _READ_S * 10**9),
            }

        return await endpoint(read)(request)

    def uploaded(self, asked: Asked) -> object:
        """What a client tells of its upload; we know it already."""
        if not isinstance(asked.body, dict) or not isinstance(asked.body.get("uploadHttpStatus"), int):
            raise RequestError("the body takes uploadedAt and uploadHttpStatus")
        return {}

    async def _upload(self, request: Request) -> Response:
        said = self._opened(request)
        uses = tuple(Use(*each) for each in said.pop("uses"))
        media = Media(**{**said, "uses": uses, "created_ns": now_ns()})
        if self._uploads.locked():
            answer = json_response({"message": "too many uploads at once; try again"}, status=503)
            answer.headers["retry-after"] = "1"
            return answer
        async with self._uploads:
            content = await _announced(request, media)
            await run_in_threadpool(self._store.put_media, media, content)
        return Response(status_code=200)

    async def _content(self, request: Request) -> Response:
        said = self._opened(request)
        found = await run_in_threadpool(self._store.read_media, said["project"], said["id"])
        content = await run_in_threadpool(self._store.media_content, said["project"], said["id"])
        if found is None or content is None:
            raise missing(f"Media {said['id']!r}")
        # Somebody's file: a browser may save it, and nothing else.
        headers = {"content-disposition": f'attachment; filename="{found.id}"', "cache-control": NO_STORE}
        return Response(content, media_type=found.content_type, headers=headers)

    def _signed(self, said: dict[str, Any], *, for_s: int) -> str:
        text = json.dumps({**said, "until_ns": now_ns() + for_s * 10**9}).encode()
        return base64.urlsafe_b64encode(self._digest(text) + text).decode().rstrip("=")

    def _opened(self, request: Request) -> dict[str, Any]:
        token = request.query_params.get("token", "")
        try:
            packed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            packed = b""
        digest, text = packed[:32], packed[32:]
        if not hmac.compare_digest(digest, self._digest(text)):
            raise RequestError("the link is not signed by this server", status=403, error="Forbidden")
        said: dict[str, Any] = json.loads(text)
        purpose_fits = ("sha256" in said) == (request.method == "PUT")
        if said.pop("until_ns") < now_ns() or said["id"] != request.path_params["id"] or not purpose_fits:
            raise RequestError(
                "the link has expired, or is for something else", status=403, error="Forbidden"
            )
        return said

    def _digest(self, text: bytes) -> bytes:
        return hmac.new(self._key, text, hashlib.sha256).digest()


def _wanted(body: Any, project: str) -> Media:
    said = body if isinstance(body, dict) else {}
    size, digest, kind = said.get("contentLength"), said.get("sha256Hash"), said.get("contentType")
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MOST_BYTES:
        raise RequestError(f"contentLength takes a number of bytes from 1 to {MOST_BYTES}")
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise RequestError("contentType takes a media type such as image/png")
    if not isinstance(digest, str) or not _is_sha256(digest):
        raise RequestError("sha256Hash takes the SHA-256 of the content in base64")
    if said.get("field") not in _FIELDS:
        raise RequestError(f"field takes one of {', '.join(_FIELDS)}")
    trace_id, span_id = said.get("traceId"), said.get("observationId")
    if not isinstance(trace_id, str) or not trace_id or not isinstance(span_id, (str, type(None))):
        raise RequestError("traceId takes the id of a trace; files of datasets are not kept here")
    use = Use(trace_id_of(trace_id), span_id_of(span_id) if span_id else "", said["field"])
    return Media(
        project=project,
        # As Langfuse's SDKs make it, which compare.
        id=digest.replace("+", "-").replace("/", "_")[:22],
        content_type=kind,
        size_bytes=size,
        sha256=digest,
        created_ns=0,
        uses=(use,),
    )


def _is_sha256(said: str) -> bool:
    try:
        return len(said) == 44 and len(base64.b64decode(said, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


async def _announced(request: Request, media: Media) -> bytes:
    """The body, which has to be the file that was announced."""
    content = await read_body(request, most_bytes=media.size_bytes, timeout_s=_BODY_TIMEOUT_S)
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    if not hmac.compare_digest(digest, media.sha256):
        raise RequestError("the body is not the file that was announced: its SHA-256 is another")
    return content


def _place(request: Request) -> str:
    # A proxy that ends TLS says so; whoever makes it up only gets a link that does not work for himself.
    said = request.headers.get("x-forwarded-proto", "").lower()
    scheme = said if said in ("http", "https") else request.url.scheme
    return f"{scheme}://{request.url.netloc}/api/public/media"
