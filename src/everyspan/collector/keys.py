"""Who may send and read: one key pair for each project."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import NamedTuple

from everyspan.clock import NowNs, now_ns
from everyspan.collector.issued import Issued, KeyFile, Scope, digest_of
from everyspan.collector.quotas import Quotas
from everyspan.errors import CollectorError, SettingsError

DEFAULT_PROJECT = "default"
"""Where everything goes when the server has no keys."""


class Admitted(NamedTuple):
    """What a request may touch."""

    project: str
    key_id: str = ""
    """The public part of the key; empty without keys."""
    received: Callable[[int], None] = lambda size_bytes: None
    """To be told how many bytes of body it had."""


class Keys:
    """The key pairs `public:secret` of a server; the project is the public key.

    Secrets are kept as HMACs under a key drawn at start, so that no `repr` shows them, and comparing takes the
    same time whatever was sent. Without pairs everybody is let in, into one project, whatever the client calls
    itself: a name that nobody checks must not look like a separation.
    """

    def __init__(
        self, pairs: Iterable[str] = (), *, issued: KeyFile | None = None, now: NowNs = now_ns
    ) -> None:
        self._pepper = secrets.token_bytes(32)
        self._digest_of: dict[str, bytes] = {}
        self._issued = issued
        self._now = now
        self.quotas = Quotas(now=now)
        for pair in pairs:
            public, separator, secret = pair.strip().partition(":")
            if not (public and separator and secret):
                raise SettingsError(
                    f"a key is written public:secret, such as pk-me:sk-me; the one for {public!r} lacks a half"
                )
            if public in self._digest_of:
                raise SettingsError(f"the public key {public!r} is given twice; a project has one key pair")
            self._digest_of[public] = self._digest(secret)

    def __bool__(self) -> bool:
        """True when a request has to show a key: one that was revoked does not open the server to everybody."""
        return bool(self._digest_of) or bool(self._issued and self._issued.keys())

    def let_in(self, authorization: str | None, scope: Scope) -> Admitted:
        """What an Authorization header opens for this; counts as a request of its key.

        Understands `Basic base64(public:secret)` (Langfuse's clients and browsers) and `Bearer secret`.

        Raises:
            CollectorError: 401, it opens nothing; 403, it opens something else; 429, its key has used up its quota.
        """
        if not self:
            return Admitted(DEFAULT_PROJECT)
        scheme, _, credential = (authorization or "").strip().partition(" ")
        public, secret = "", ""
        if scheme.lower() == "bearer":
            secret = credential.strip()
        elif scheme.lower() == "basic":
            public, secret = _pair(credential.strip())
        project = self._given(public, secret) if secret else None
        if project is not None:
            return Admitted(project, key_id=project)
        key = self._handed_out(public, secret) if secret else None
        if key is None:
            raise CollectorError(
                "the key is missing or wrong: Basic public:secret, or Bearer secret", status=401
            )
        refused = key.refusal(scope, self._now())
        if refused is not None:
            raise CollectorError(refused[1], status=refused[0])
        self.quotas.request(key)
        return Admitted(
            key.project, key.public, received=lambda size_bytes: self.quotas.received(key, size_bytes)
        )

    def _given(self, public: str, secret: str) -> str | None:
        digest = self._digest(secret)
        # All are compared, so that the time does not tell which one was close.
        found = [
            name
            for name, known in self._digest_of.items()
            if hmac.compare_digest(known, digest) and public in ("", name)
        ]
        return found[0] if found else None

    def _handed_out(self, public: str, secret: str) -> Issued | None:
        keys = self._issued.keys() if self._issued else {}
        digest = digest_of(secret)
        some = keys.values() if not public else [keys[public]] if public in keys else []
        found = [key for key in some if hmac.compare_digest(key.digest, digest)]
        return found[0] if found else None

    def _digest(self, secret: str) -> bytes:
        return hmac.new(self._pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()


def _pair(encoded: str) -> tuple[str, str]:
    try:
        public, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    # Without a public half it would be tried as a secret alone.
    return (public, secret) if public else ("", "")
