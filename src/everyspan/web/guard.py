"""What stands before every page and every read: the key, the host name, and the headers that browsers obey."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from everyspan.collector.answers import refusal
from everyspan.collector.issued import Scope as KeyScope
from everyspan.collector.keys import Admitted, Keys
from everyspan.collector.origin import is_forged
from everyspan.errors import CollectorError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

RECEIVED = "everyspan.received"
"""Where the guard leaves, in the request's scope, what is to be told of bytes that come by another way."""

PROJECT = "everyspan.project"
"""Where the guard leaves the project in the request's scope; empty for all of them."""

KEY_ID = "everyspan.key_id"
"""Where it leaves the public part of the key; empty without keys."""

NO_STORE = "no-store"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/api/public/health", "/api/public/ready"})
"""What a probe may ask without a key."""
_SIGNED = re.compile(r"/api/public/media/[^/]+/(upload|content)")
"""What a link opens that was signed for whoever had a key."""

ADMIN_PATHS = frozenset({"/metrics"})
"""What tells of all projects together."""

_SECURITY = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """An ASGI application before another one.

    Without keys only the names of this machine are served: a page on the internet can point its own name at
    127.0.0.1 (DNS rebinding), and would otherwise read every prompt.
    """

    def __init__(self, app: App, keys: Keys, *, host: str) -> None:
        self._app = app
        self._keys = keys
        self._hosts = frozenset({"localhost", "127.0.0.1", "[::1]", "::1", host.lower()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or say why not."""

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY]
            await send(message)

        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        if is_forged(scope["method"], headers):
            answer = refusal("a page of another origin may not change anything here", status=403)
            await answer.send(send_guarded)
            return
        if scope["path"] not in OPEN_PATHS and not _SIGNED.fullmatch(scope["path"]):
            try:
                admitted = self._keys.let_in(headers.get("authorization", ""), _needed(scope))
            except CollectorError as refused:
                answer = refusal(str(refused), status=refused.status, retry_after_s=refused.retry_after_s)
                await answer.send(send_guarded)
                return
            # Without keys there is nothing to tell apart: everything that was ever stored is shown.
            scope[PROJECT] = admitted.project if self._keys else ""
            scope[KEY_ID] = admitted.key_id
            scope[RECEIVED] = admitted.received
            receive = _counted(receive, admitted)
        host = _host_name(headers.get("host", ""))
        if not self._keys and host not in self._hosts and not host.endswith(".localhost"):
            answer = refusal(
                f"{host!r} is not a name of this machine; start the server with a key", status=421
            )
            await answer.send(send_guarded)
            return
        await self._app(scope, receive, send_guarded)


def _needed(scope: Scope) -> KeyScope:
    if scope["method"] == "DELETE" or scope["path"] in ADMIN_PATHS:
        return KeyScope.ADMIN
    return KeyScope.READ if scope["method"] in ("GET", "HEAD") else KeyScope.INGEST


def _counted(receive: Receive, admitted: Admitted) -> Receive:
    async def counting() -> MutableMapping[str, Any]:
        message = await receive()
        admitted.received(len(message.get("body", b"")))
        return message

    return counting


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
