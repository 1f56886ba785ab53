"""Addresses of ClickHouse stores: `chdb:///directory` and `clickhouse://user:password@host:port/database`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from everyspan.errors import StoreError
from everyspan.store.clickhouse_schema import Layout, quoted

_EXAMPLES = "chdb:///directory, clickhouse://user:password@host:8123/database or clickhouses://… for TLS"
_CONNECT_S, _ANSWER_S = 10, 120


@dataclass(frozen=True)
class Address:
    """Where a ClickHouse store is, and how its tables lie."""

    layout: Layout
    directory: str = ""
    """Of the embedded engine; empty for a server."""
    host: str = ""
    port: int = 8123
    user: str = "default"
    password: str = field(default="", repr=False)
    tls: bool = False

    @classmethod
    def of(cls, url: str) -> Address:
        """What an address says.

        Raises:
            StoreError: it says nothing that we know.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        cluster = options.pop("cluster", "")
        try:
            port = parts.port
        except ValueError:
            raise StoreError(f"{_shown(url)} has no port that can be; give {_EXAMPLES}") from None
        if parts.scheme == "chdb":
            database = options.pop("database", "everyspan")
            if parts.netloc or len(parts.path) < 2 or cluster or options:
                raise StoreError(f"{_shown(url)} is no directory for the embedded engine; give {_EXAMPLES}")
            # As with sqlite: three slashes for a relative path, four for an absolute one.
            return cls(layout=_layout(database), directory=unquote(parts.path[1:]))
        database = unquote(parts.path[1:]) or "everyspan"
        if not parts.hostname or options:
            raise StoreError(f"{_shown(url)} is no address of a ClickHouse server; give {_EXAMPLES}")
        tls = parts.scheme == "clickhouses"
        return cls(
            layout=_layout(database, cluster),
            host=parts.hostname,
            port=port or (8443 if tls else 8123),
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            tls=tls,
        )

    def connection(self) -> dict[str, Any]:
        """What `clickhouse_connect.get_client` takes."""
        if self.directory:
            return {"interface": "chdb", "path": self.directory}
        return {
            "host": self.host,
            "port": self.port,
            "username": self.user,
            "password": self.password,
            "secure": self.tls,
            "connect_timeout": _CONNECT_S,
            "send_receive_timeout": _ANSWER_S,
            # Questions run side by side, which a session forbids.
            "autogenerate_session_id": False,
        }

    def insert_settings(self) -> dict[str, Any]:
        """How rows are added: they are on disk, on all shards, when the answer comes."""
        settings: dict[str, Any] = {"max_partitions_per_insert_block": 0}
        if not self.directory:
            # Small batches of several collectors become one part; the answer waits until it is written.
            settings |= {"async_insert": 1, "wait_for_async_insert": 1}
        if self.layout.cluster:
            settings |= {"distributed_foreground_insert": 1, "insert_quorum": "auto"}
        return settings

    def __str__(self) -> str:
        database = self.layout.database
        if self.directory:
            return f"chdb:///{self.directory}?database={database}"
        return f"clickhouse{'s' if self.tls else ''}://{self.host}:{self.port}/{database}"


def _layout(database: str, cluster: str = "") -> Layout:
    for name in filter(None, (database, cluster)):
        quoted(name)  # refuses what is none
    return Layout(database, cluster)


def _shown(url: str) -> str:
    # Without what stands before the host: it may be a password.
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"[:200]
