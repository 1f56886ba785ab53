"""The tables of a ClickHouse store, on one server or on a cluster, brought up to date step by step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from clickhouse_connect.driver.client import Client

from everyspan.errors import StoreError
from everyspan.store.clickhouse_summaries import made_of

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_COLUMNS = "version UInt32, applied DateTime"


@dataclass(frozen=True)
class Layout:
    """Where the tables are.

    With a cluster, each table is one on every shard, replicated within it, and one that spreads what it is given by
    trace; statements run on all of its servers.
    """

    database: str
    cluster: str = ""

    @property
    def on_cluster(self) -> str:
        return f"ON CLUSTER {quoted(self.cluster)}" if self.cluster else ""

    def local(self, table: str) -> str:
        """The table that holds rows."""
        return (
            f"{quoted(self.database)}.{table}_local" if self.cluster else f"{quoted(self.database)}.{table}"
        )

    def engine(self, table: str, arguments: str) -> str:
        """Of the table that holds rows."""
        if not self.cluster:
            return f"ReplacingMergeTree({arguments})"
        # `{{shard}}` and `{{replica}}` are macros that each server of a cluster defines.
        path = f"/clickhouse/tables/{{shard}}/{self.database}/{table}"
        return f"ReplicatedReplacingMergeTree('{path}', '{{replica}}', {arguments})"

    def statements(self, script: str, *, text_index: bool = True) -> Iterator[str]:
        """One step of the schema, as this layout wants it said; `text_index` where servers have that kind of index."""
        places = {"on_cluster": self.on_cluster, "settings": "" if self.cluster else ", " + _WINDOW}
        places["word_index"] = _WORD_INDEX if text_index else _TOKEN_INDEX
        places["summaries"] = made_of(f"{quoted(self.database)}.spans FINAL")
        for table in TABLES:
            places[f"{table}_table"] = self.local(table)
            places[f"{table}_whole"] = f"{quoted(self.database)}.{table}"
            places[f"{table}_engine"] = self.engine(table, "version, gone")
        plain = "\n".join(line.partition("--")[0].rstrip() for line in script.splitlines())
        for statement in filter(None, map(str.strip, plain.split(";"))):
            yield statement.format(**places)

    def spread(self, script: str) -> Iterator[str]:
        """Over all shards, the tables that a step of the schema makes; none without a cluster."""
        for table, by in TABLES.items() if self.cluster else ():
            if f"{{{table}_engine}}" not in script:
                continue
            whole = f"{quoted(self.database)}.{table}"
            yield (
                f"CREATE TABLE IF NOT EXISTS {whole} {self.on_cluster} AS {self.local(table)} ENGINE = Distributed("
                f"{quoted(self.cluster)}, {quoted(self.database)}, {table}_local, cityHash64({by}))"
            )


TABLES = {
    "spans": "trace_id",
    "traces": "trace_id",
    "places": "trace_id",
    "writers": "writer",
    "scores": "id",
    "media": "id",
    "media_uses": "trace_id",
    "repriced": "trace_id",
    "repricings": "number",
}
"""Each table, and by what its rows are spread over a cluster: a trace is on one shard."""

_WINDOW = "non_replicated_deduplication_window = 1000"
_WORD_INDEX = "text(tokenizer = 'splitByNonAlpha')"
_TOKEN_INDEX = "tokenbf_v1(65536, 3, 0) GRANULARITY 4"
_HAVE_TEXT_INDEX = "26.2"
"""From this version on servers have it without a setting (ClickHouse's documentation of text indexes)."""


def quoted(name: str) -> str:
    """A name as an identifier.

    Raises:
        StoreError: it is none that we would make.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", name):
        raise StoreError(f"{name[:80]!r} is no name for a database or cluster; use letters, digits and _")
    return f"`{name}`"


def migrate(client: Client, layout: Layout, *, read_only: bool, where: str) -> None:
    """Create or upgrade the tables. Each statement may run twice, so dying in between is mended by the next start.

    Raises:
        StoreError: a newer everyspan made them, or, read only, nobody did.
    """
    newest = steps()[-1][0]
    database = quoted(layout.database)
    version = _version(client, layout)
    if version > newest:
        raise StoreError(
            f"{where} has schema {version} and this everyspan knows up to {newest}; "
            "install the newer version that wrote it, or give another database"
        )
    if version == newest:
        return
    if read_only:
        raise StoreError(
            f"there is no store at {where}; start `everyspan serve` with it, or give its address"
        )
    client.command(f"CREATE DATABASE IF NOT EXISTS {database} {layout.on_cluster}")
    made = f"CREATE TABLE IF NOT EXISTS {database}.schema_steps {layout.on_cluster} ({_COLUMNS})"
    engine = "MergeTree"
    if layout.cluster:
        # One history for all servers, whatever their shard.
        path = f"/clickhouse/tables/all/{layout.database}/schema_steps"
        engine = f"ReplicatedMergeTree('{path}', '{{shard}}-{{replica}}')"
    client.command(f"{made} ENGINE = {engine} ORDER BY version")
    text_index = client.min_version(_HAVE_TEXT_INDEX)
    for number, script in steps():
        if number > version:
            said = layout.statements(script, text_index=text_index)
            for statement in (*said, *layout.spread(script)):
                client.command(statement)
            client.command(f"INSERT INTO {database}.schema_steps VALUES ({number}, now())")


def steps() -> list[tuple[int, str]]:
    """Every step of the schema, by number."""
    folder = resources.files("everyspan.store") / "schema" / "clickhouse"
    named = ((_NAME.fullmatch(file.name), file) for file in folder.iterdir())
    return sorted((int(match[1]), file.read_text("utf-8")) for match, file in named if match)


def _version(client: Client, layout: Layout) -> int:
    there = client.query(
        "SELECT count() FROM system.tables WHERE database = {name:String} AND name = 'schema_steps'",
        parameters={"name": layout.database},
    )
    if not there.result_rows[0][0]:
        return 0
    found = client.query(f"SELECT max(version) FROM {quoted(layout.database)}.schema_steps")
    return int(found.result_rows[0][0] or 0)
