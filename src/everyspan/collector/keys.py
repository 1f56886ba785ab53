"""Who may send and read: one key pair for each project."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from everyspan.errors import SettingsError

DEFAULT_PROJECT = "default"
"""Where everything goes when the server has no keys."""


class Keys:
    """The key pairs `public:secret` of a server; the project is the public key.

    Secrets are kept as HMACs under a key drawn at start, so that no `repr` shows them, and comparing takes the
    same time whatever was sent. Without pairs everybody is let in, into one project, whatever the client calls
    itself: a name that nobody checks must not look like a separation.
    """

    def __init__(self, pairs: Iterable[str] = ()) -> None:
        self._pepper = secrets.token_bytes(32)
        self._digest_of: dict[str, bytes] = {}
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
        """True when a request has to show a key."""
        return bool(self._digest_of)

    def project_of(self, authorization: str | None) -> str | None:
        """The project that an Authorization header opens, or None when it opens nothing.

        Understands `Basic base64(public:secret)` (Langfuse's clients and browsers) and `Bearer secret`.
        """
        if not self._digest_of:
            return DEFAULT_PROJECT
        scheme, _, credential = (authorization or "").strip().partition(" ")
        if scheme.lower() == "bearer":
            return self._by_secret(credential.strip())
        if scheme.lower() == "basic":
            return self._by_pair(credential.strip())
        return None

    def _by_secret(self, secret: str) -> str | None:
        digest = self._digest(secret)
        # All are compared, so that the time does not tell which one was close.
        found = [public for public, known in self._digest_of.items() if hmac.compare_digest(known, digest)]
        return found[0] if found else None

    def _by_pair(self, encoded: str) -> str | None:
        try:
            public, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        known = self._digest_of.get(public, b"")
        return public if hmac.compare_digest(known, self._digest(secret)) else None

    def _digest(self, secret: str) -> bytes:
        return hmac.new(self._pepper, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
