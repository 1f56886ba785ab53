"""How much one key may ask for in a stretch of time, so that one client cannot use up what all share."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from everyspan.clock import NowNs, now_ns
from everyspan.collector.issued import Issued
from everyspan.collector.quotas_kept import KeptQuotas, Supply, name_of
from everyspan.errors import CollectorError, StoreError

_MINUTE_S, _DAY_S = 60, 86_400


@dataclass(slots=True)
class _Bucket:
    """A supply that fills up again. What is taken beyond it is a debt: the next one waits until it is paid."""

    most: int
    per_s: float
    left: float
    at_ns: int

    def fill(self, at_ns: int) -> None:
        gained = max(0, at_ns - self.at_ns) / 10**9 * self.per_s
        self.left, self.at_ns = min(self.most, self.left + gained), max(at_ns, self.at_ns)

    def wait_s(self, needed: float) -> int:
        """Whole seconds until there is so much; 0 when there is."""
        return 0 if self.left >= needed else math.ceil((needed - self.left) / self.per_s)


@dataclass(slots=True)
class _Account:
    """What a key has left. Its limits are part of it: changed ones begin anew."""

    requests: _Bucket | None
    size: _Bucket | None
    limits: tuple[int | None, int | None] = field(default=(None, None))


class Quotas:
    """The accounts of all keys that have a limit. For any thread."""

    def __init__(self, *, now: NowNs = now_ns) -> None:
        """They begin full, and end with this object unless they are `kept`."""
        self._now = now
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        self._file: KeptQuotas | None = None
        self.refused: Counter[str] = Counter()
        """Requests that were told to wait, by public key."""

    @contextmanager
    def kept(self, path: Path) -> Iterator[None]:
        """Inside the block what is used up is kept in a file, and goes on from what the file says.

        Raises:
            StoreError: the file cannot be read or written.
        """
        try:
            self._file = KeptQuotas(path)
        except OSError as unusable:
            raise StoreError(f"what keys have used up cannot be kept in {path}: {unusable}") from None
        try:
            yield
        finally:
            with self._lock:
                kept, self._file = self._file, None
            kept.close()

    @property
    def failures(self) -> int:
        """Writes to the file that did not work."""
        return self._file.failures if self._file else 0

    def request(self, key: Issued) -> None:
        """Count a request.

        Raises:
            CollectorError: 429 with the time to wait; it was not counted.
        """
        if key.requests_per_minute is None and key.bytes_per_day is None:
            return
        with self._lock:
            account = self._account(key)
            # Some bytes have to be left; how many a request has is only known at its end.
            for bucket, needed, what in (
                (account.requests, 1.0, f"{key.requests_per_minute} requests in a minute"),
                (account.size, 1.0, f"{key.bytes_per_day} bytes in a day"),
            ):
                if bucket is not None and (wait_s := bucket.wait_s(needed)):
                    self.refused[key.public] += 1
                    why = f"the key {key.public} has used up its {what}; try again in {wait_s} s"
                    raise CollectorError(why, status=429, retry_after_s=wait_s)
            if account.requests is not None:
                account.requests.left -= 1
                self._keep(key, account)

    def received(self, key: Issued, size_bytes: int) -> None:
        """Count the bytes of a body. They were let in, so they may make a debt."""
        if key.bytes_per_day is None or not size_bytes:
            return
        with self._lock:
            account = self._account(key)
            if account.size is not None:
                account.size.left -= size_bytes
                self._keep(key, account)

    def _account(self, key: Issued) -> _Account:
        limits, at_ns = (key.requests_per_minute, key.bytes_per_day), self._now()
        account = self._accounts.get(key.public)
        if account is None or account.limits != limits:
            before = self._file.found.get(name_of(key.public)) if self._file and account is None else None
            requests, size = before or (None, None)
            account = self._accounts[key.public] = _Account(
                requests=_bucket(limits[0], _MINUTE_S, requests, at_ns),
                size=_bucket(limits[1], _DAY_S, size, at_ns),
                limits=limits,
            )
        for bucket in (account.requests, account.size):
            if bucket is not None:
                bucket.fill(at_ns)
        return account

    def _keep(self, key: Issued, account: _Account) -> None:
        if self._file is not None:
            self._file.put(key.public, (_supply(account.requests), _supply(account.size)))


def _bucket(most: int | None, in_s: int, before: Supply | None, at_ns: int) -> _Bucket | None:
    """A supply as it was when it has the same limit, else a full one."""
    if most is None:
        return None
    if before is None or before.most != most:
        return _Bucket(most=most, per_s=most / in_s, left=most, at_ns=at_ns)
    # A clock that ran ahead must not keep a key waiting until it is true.
    return _Bucket(most=most, per_s=most / in_s, left=before.left, at_ns=min(before.at_ns, at_ns))


def _supply(bucket: _Bucket | None) -> Supply | None:
    return Supply(bucket.most, bucket.left, bucket.at_ns) if bucket else None
