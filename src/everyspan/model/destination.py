"""Where spans go: a URL, how to authenticate there, and a name for it that holds no secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit


class Dialect(StrEnum):
    """What the receiver understands beyond plain OTLP."""

    OTLP = "otlp"
    LANGFUSE = "langfuse"


@dataclass(frozen=True, slots=True)
class Destination:
    """An OTLP/HTTP traces endpoint.

    Attributes:
        url: the full URL that is posted to, `/v1/traces` included.
        headers: sent with every POST; they hold the key, so they stay out of `repr` and of the spool.
        dialect: LANGFUSE when spans should carry Langfuse's attributes too.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    dialect: Dialect = Dialect.OTLP

    @property
    def public_url(self) -> str:
        """The URL without a user and password, to be shown and stored."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def account(self) -> str:
        """Whose data this is at the receiver: a Langfuse public key, a digest of another key, or empty."""
        for name, value in self.headers:
            if name.lower() in ("authorization", "x-api-key"):
                return _account(value)
        return ""

    @property
    def id(self) -> str:
        """A name for (url, account) that is safe as a directory name and holds no secret.

        A record is only ever sent to the destination it was made for, also by another process that adopts it:
        two projects on one machine must not read each other's prompts.
        """
        digest = hashlib.sha256(f"{self.url}\n{self.account}".encode()).hexdigest()
        return f"{self.dialect.value}-{digest[:16]}"


def _account(credential: str) -> str:
    scheme, _, token = credential.partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(token, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            pass  # not Basic after all: fall through to the digest
    return hashlib.sha256(credential.encode()).hexdigest()[:16]
