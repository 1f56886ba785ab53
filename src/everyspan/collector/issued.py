"""Keys that `everyspan keys` hands out: a file of digests in the data directory, read again when it changes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from everyspan.clock import now_ns
from everyspan.errors import SettingsError

_LOGGER = logging.getLogger(__name__)
FILE = "keys.json"


class Scope(StrEnum):
    """What a key may do."""

    INGEST = "ingest"
    """Send spans and scores."""
    READ = "read"
    """Ask."""
    ADMIN = "admin"
    """Delete what the project holds, and see how the server does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One key. Its secret was shown once and is nowhere."""

    public: str
    digest: str
    """SHA-256 of the secret: with 256 random bits in it there is nothing to guess, so nothing to slow down."""
    project: str
    scopes: tuple[Scope, ...]
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    requests_per_minute: int | None = None
    """Requests of any kind; None for as many as it likes, as below."""
    bytes_per_day: int | None = None
    """Bytes of bodies, as they travel."""

    def refusal(self, scope: Scope, at_ns: int) -> tuple[int, str] | None:
        """Status and words when it may not do this now; None when it may."""
        if self.revoked_ns is not None:
            return 401, f"the key {self.public} was revoked"
        if self.expires_ns is not None and at_ns >= self.expires_ns:
            return 401, f"the key {self.public} has expired"
        if scope not in self.scopes:
            return 403, f"the key {self.public} is for {' and '.join(self.scopes)}, not for {scope}"
        return None


class KeyFile:
    """The keys of one data directory. A server and `everyspan keys` may use it at once."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read yet, and the file need not be there.

        Args:
            directory: the server's data directory.
        """
        self._path = directory / FILE
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Issued] = {}

    def keys(self) -> Mapping[str, Issued]:
        """Every key by its public half, those that are no longer valid included.

        Raises:
            SettingsError: the file is not what we write, and was never read before. Later a damaged file changes
                nothing: neither does it let anybody in, nor does it lock everybody out.
        """
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return self._keys if self._seen else {}
        seen = (there.st_mtime_ns, there.st_ino, there.st_size)
        if seen != self._seen:
            try:
                self._keys = _read(self._path)
            except SettingsError as damaged:
                if self._seen is None:
                    raise
                _LOGGER.error("%s; the keys known so far stay in force", damaged)
            self._seen = seen
        return self._keys

    def create(
        self,
        *,
        project: str,
        scopes: Sequence[Scope],
        expires_ns: int | None = None,
        requests_per_minute: int | None = None,
        bytes_per_day: int | None = None,
    ) -> tuple[Issued, str]:
        """A new key and its secret, which nobody can be shown again. See `Issued` for what is said of it."""
        secret = f"sk-es-{secrets.token_urlsafe(32)}"
        made = Issued(
            public=f"pk-es-{secrets.token_hex(8)}",
            digest=digest_of(secret),
            project=project,
            scopes=tuple(scopes),
            created_ns=now_ns(),
            expires_ns=expires_ns,
            requests_per_minute=requests_per_minute,
            bytes_per_day=bytes_per_day,
        )
        with self._changing() as keys:
            keys[made.public] = made
        return made, secret

    def revoke(self, public: str) -> Issued:
        """From now on it opens nothing.

        Raises:
            SettingsError: there is no such key.
        """
        with self._changing() as keys:
            if public not in keys:
                raise SettingsError(
                    f"there is no key {public!r}; `everyspan keys list` shows those there are"
                )
            keys[public] = replace(keys[public], revoked_ns=keys[public].revoked_ns or now_ns())
            return keys[public]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Issued]]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(
            self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            self._hand_over(lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = dict(_read(self._path)) if self._path.exists() else {}
            yield keys
            new = self._path.with_suffix(".new")
            new.unlink(missing_ok=True)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._hand_over(file)
            with os.fdopen(file, "w") as out:
                json.dump([asdict(key) for key in keys.values()], out, indent=1)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self._path)
        finally:
            os.close(lock)

    def _hand_over(self, file: int) -> None:
        """An administrator makes a key, and a server that is not root has to read it."""
        if os.geteuid() == 0:
            owner = self._path.parent.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)


def digest_of(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> dict[str, Issued]:
    try:
        listed = json.loads(path.read_text())
        found = [Issued(**{**each, "scopes": tuple(map(Scope, each["scopes"]))}) for each in listed]
    except (OSError, ValueError, TypeError, KeyError) as damaged:
        raise SettingsError(f"the keys in {path} cannot be read: {damaged}") from None
    return {key.public: key for key in found}
