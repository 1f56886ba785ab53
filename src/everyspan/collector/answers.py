"""Answers over bare ASGI, and the one shape in which everything here says no."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from everyspan.wire.status import code_of, pack_status

Headers = tuple[tuple[str, str], ...]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PROTOBUF = "application/x-protobuf"
_TRY_AGAIN = frozenset({429, 503})


class Answer(NamedTuple):
    """A whole HTTP answer."""

    status: int
    body: bytes
    content_type: str
    headers: Headers = ()

    async def send(self, send: Send) -> None:
        """Send it as the only answer of an ASGI request."""
        headers = [
            (b"content-type", self.content_type.encode("latin-1")),
            (b"content-length", str(len(self.body)).encode()),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def refusal(
    why: str, *, status: int, headers: Headers = (), retry_after_s: int = 1, asked_in: str = ""
) -> Answer:
    """An error, said twice: `message` is what Langfuse's clients read, `error` what ours do.

    What can be tried again carries Retry-After: OpenTelemetry's exporter waits that long instead of guessing.

    Args:
        asked_in: the content type of an OTLP request. One in protobuf is answered by a `google.rpc.Status` in
            protobuf; in JSON the same message has `code` and `message`.
    """
    if status == 401:
        headers = (*headers, ("www-authenticate", 'Basic realm="everyspan", charset="UTF-8"'))
    if status in _TRY_AGAIN:
        headers = (*headers, ("retry-after", str(retry_after_s)))
    if asked_in.partition(";")[0].strip().lower() == _PROTOBUF:
        again = retry_after_s if status in _TRY_AGAIN else None
        return Answer(status, pack_status(code_of(status), why, retry_after_s=again), _PROTOBUF, headers)
    said: dict[str, object] = {"message": why, "error": why}
    if asked_in:
        said["code"] = code_of(status)
    return Answer(status, json.dumps(said).encode(), "application/json", headers)
