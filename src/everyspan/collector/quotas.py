"""How much one key may ask for in a stretch of time, so that one client cannot use up what all share."""

from __future__ import annotations

import math
import threading
from collections import Counter
from dataclasses import dataclass, field

from everyspan.clock import NowNs, now_ns
from everyspan.collector.issued import Issued
from everyspan.errors import CollectorError

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
    """The accounts of all keys since this server started; a restart fills them up. For any thread."""

    def __init__(self, *, now: NowNs = now_ns) -> None:
        self._now = now
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
        """Requests that were told to wait, by public key."""

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

    def received(self, key: Issued, size_bytes: int) -> None:
        """Count the bytes of a body. They were let in, so they may make a debt."""
        if key.bytes_per_day is None:
            return
        with self._lock:
            account = self._account(key)
            if account.size is not None:
                account.size.left -= size_bytes

    def _account(self, key: Issued) -> _Account:
        limits, at_ns = (key.requests_per_minute, key.bytes_per_day), self._now()
        account = self._accounts.get(key.public)
        if account is None or account.limits != limits:
            requests = None if limits[0] is None else _full(limits[0], _MINUTE_S, at_ns)
            size = None if limits[1] is None else _full(limits[1], _DAY_S, at_ns)
            account = self._accounts[key.public] = _Account(requests, size, limits)
        for bucket in (account.requests, account.size):
            if bucket is not None:
                bucket.fill(at_ns)
        return account


def _full(most: int, in_s: int, at_ns: int) -> _Bucket:
    return _Bucket(most=most, per_s=most / in_s, left=most, at_ns=at_ns)
