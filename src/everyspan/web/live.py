"""Word for open pages that something was stored, as server-sent events. What was stored they ask for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from everyspan.web.guard import NO_STORE

_LOOK_S = 0.25
_SIGN_OF_LIFE_S = 15.0


class Live:
    """The stream at `/api/v1/live`: an event `stored` whenever `state` gives another value than before.

    An event says nothing of what was stored, so a key of one project learns nothing of the others but that they live.
    """

    def __init__(self, state: Callable[[], Hashable]) -> None:
        self._state = state
        self._closed = False

    def close(self) -> None:
        """End all streams within a quarter of a second; may be called from a signal handler."""
        self._closed = True

    def routes(self) -> list[Route]:
        """The route, for a Starlette application behind `web.guard`."""
        return [Route("/api/v1/live", self._stream, methods=["GET"])]

    async def _stream(self, request: Request) -> Response:
        headers = {"cache-control": NO_STORE, "x-accel-buffering": "no"}
        if request.method == "HEAD":  # which would wait for the end of a stream that has none
            return Response(media_type="text/event-stream", headers=headers)
        return StreamingResponse(self._events(), media_type="text/event-stream", headers=headers)

    async def _events(self) -> AsyncIterator[bytes]:
        seen, silent_s = self._state(), 0.0
        yield b"retry: 1000\n\n"
        while not self._closed:
            await asyncio.sleep(_LOOK_S)
            now = self._state()
            silent_s += _LOOK_S
            if now != seen:
                seen, silent_s = now, 0.0
                yield b"event: stored\ndata: {}\n\n"
            elif silent_s >= _SIGN_OF_LIFE_S:
                silent_s = 0.0
                yield b": still here\n\n"
