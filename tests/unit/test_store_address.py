"""Where a ClickHouse store is, and what a cluster is told, which no test here can try on a real one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from everyspan.errors import StoreError
from everyspan.store import clickhouse_schema
from everyspan.store.clickhouse_address import Address
from everyspan.store.clickhouse_schema import TABLES, Layout, steps


def test_an_address_says_where_who_and_whether_over_tls() -> None:
    plain = Address.of("clickhouse://host/spans")
    whole = Address.of("clickhouses://ann:p%40ss@[::1]:9440/spans?cluster=main")

    assert plain.connection()["port"] == 8123
    assert (whole.connection()["password"], whole.connection()["port"], whole.tls) == ("p@ss", 9440, True)
    assert whole.layout == Layout("spans", "main")
    assert "p@ss" not in f"{whole} {whole!r}"
    assert Address.of("chdb:////data/engine?database=x").directory == "/data/engine"


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse:///spans",
        "clickhouse://secret@host:port/spans",
        "clickhouse://host/spans?retries=3",
        "clickhouse://host/it's",
        "clickhouse://host/spans?cluster=a`b",
        "chdb://directory",
        "chdb:///",
        "chdb:///directory?cluster=main",
    ],
)
def test_an_address_that_means_nothing_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Address.of(url)

    assert "secret" not in str(caught.value)


def statements(layout: Layout) -> str:
    return "\n".join(
        statement
        for _, script in steps()
        for statement in (*layout.statements(script), *layout.spread(script))
    )


def test_on_a_cluster_tables_are_replicated_and_spread_by_trace_on_every_server() -> None:
    said = statements(Layout("spans_db", "main"))

    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (\S+) ON CLUSTER `main`", said)
    assert sorted(tables) == sorted(f"`spans_db`.{name}{end}" for name in TABLES for end in ("_local", ""))
    # What spreads a table is made after what holds its rows.
    assert all(
        tables.index(f"`spans_db`.{name}_local") < tables.index(f"`spans_db`.{name}") for name in TABLES
    )
    assert (
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/spans_db/spans', '{replica}', version, gone)"
        in said
    )
    assert "Distributed(`main`, `spans_db`, spans_local, cityHash64(trace_id))" in said
    for altered in ("`spans_db`.spans_local", "`spans_db`.spans"):
        assert f"ALTER TABLE {altered} ON CLUSTER `main` ADD COLUMN IF NOT EXISTS key_id" in said
    settings = Address.of("clickhouse://host/spans_db?cluster=main").insert_settings()
    assert (settings["distributed_foreground_insert"], settings["wait_for_async_insert"]) == (1, 1)


def test_on_one_server_nothing_is_said_of_a_cluster() -> None:
    said = statements(Layout("spans_db"))

    assert not re.search("CLUSTER|Replicated|Distributed|_local|[{}]", said)


@pytest.mark.parametrize(("newer", "kind"), [(True, "text("), (False, "tokenbf_v1(")])
def test_words_are_found_by_an_index_that_the_server_has(newer: bool, kind: str) -> None:
    layout = Layout("spans_db")
    said = [each for _, script in steps() for each in layout.statements(script, text_index=newer)]

    assert [kind in each for each in said if "spans_by_words words" in each] == [True]


def test_what_is_looked_up_in_another_table_is_sent_to_every_shard() -> None:
    store = Path(clickhouse_schema.__file__).parent
    lookups = [
        line.strip()
        for file in sorted(store.glob("clickhouse*.py"))
        for line in file.read_text().splitlines()
        if re.search(r"(IN \((SELECT|\{_ids|\{self)|JOIN )", line)
    ]

    # On a cluster a plain IN or JOIN over a table that is spread is refused, or looks at one shard.
    assert len(lookups) > 5
    assert [line for line in lookups if "GLOBAL" not in line] == []
