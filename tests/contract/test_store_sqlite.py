"""What is particular to the store in one SQLite file: whose file it is, which version, and a disk that is full."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import stat
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import zstandard

from everyspan.errors import StoreError
from everyspan.model.ids import Seq
from everyspan.store import sqlite_scores
from everyspan.store.groups import Each, LatencyBy, LatencyFilter
from everyspan.store.migrate import APPLICATION_ID
from everyspan.store.reads import TraceFilter, WriterFilter
from everyspan.store.rows import SpanRow
from everyspan.store.scores import SpanFilter
from everyspan.store.sqlite import SqliteStore
from everyspan.store.sqlite_bodies import Bodies
from everyspan.store.sqlite_columns import draft_of
from everyspan.store.store import open_store
from everyspan.store.upkeep import Deletion
from tests.store_rows import DAY_NS, NOON_NS, WRITER, call, everything, span, span_id, stamped, trace_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "data" / "spans.db"


def test_nobody_else_may_read_the_file_and_its_side_files(path: Path) -> None:
    with closing(open_store(path)) as store:
        store.insert([stamped(1, 2)])

        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_store_is_the_same_after_closing_and_opening(path: Path) -> None:
    with closing(open_store(path)) as store:
        store.insert([stamped(1, 2), stamped(2, 9)])
        before = everything(store)

    with closing(open_store(f"sqlite:///{path}")) as store:
        assert everything(store) == before


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9999")
    before = path.read_bytes()

    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"schema 9999.*newer version"):
            open_store(path, read_only=read_only)

    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE invoices (id)")
    before = path.read_bytes()

    with pytest.raises(StoreError, match="not a store of everyspan"):
        open_store(path)

    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a diary, longer than the header of a database would be\n" * 40)
    before = path.read_bytes()

    with pytest.raises(StoreError, match="not a database"):
        open_store(path)

    assert path.read_bytes() == before


def test_opening_to_read_creates_nothing(path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        open_store(path, read_only=True)

    assert not path.parent.exists()


def test_a_store_opened_to_read_can_not_be_written(path: Path) -> None:
    open_store(path).close()

    with closing(open_store(path, read_only=True)) as store, pytest.raises(StoreError, match="reading only"):
        store.insert([stamped(1, 2)])


@contextmanager
def no_file_longer_than(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow further, as it does when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_batch_that_does_not_fit_on_the_disk_is_not_kept_in_part_and_fits_when_there_is_room_again(
    path: Path,
) -> None:
    large = [stamped(number, 2 * number, name="x" * 100_000) for number in range(2, 12)]
    with closing(open_store(path)) as store:
        store.insert([stamped(1, 2)])
        before = everything(store)
        room = path.with_name("spans.db-wal").stat().st_size + 300_000

        with no_file_longer_than(room), pytest.raises(StoreError, match="could not write"):
            store.insert(large)
        after = everything(store)
        done = store.insert(large)

        assert after == before
        assert done.new == 10
        assert len(store.list_traces(TraceFilter())) == 11
        assert store.writers(WriterFilter())[0].spans == 11


def test_a_trace_is_found_without_a_look_at_the_spans_of_others(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.insert([span(number) for number in range(3000)])
        steps: list[None] = []
        with store.reading() as connection:
            connection.sql.set_progress_handler(lambda: steps.append(None), 1000)

        found = [
            store.read_trace(trace_id(7), project="default"),
            store.read_trace(trace_id(7), project="default", bodies=False),
            store.read_outline(trace_id(7), project="default"),
        ]

    assert [len(one[1]) if one else 0 for one in found] == [1, 1, 1]
    assert len(steps) < 3


def test_spans_whose_ids_end_alike_are_told_apart(path: Path) -> None:
    def alike(number: int) -> SpanRow:
        # Indexes hold the ends of ids only.
        ids: dict[str, Any] = {"trace_id": f"{number:024x}{7:08x}", "span_id": f"{number:08x}{7:08x}"}
        answer = f"answer {number} of twelve-letters"
        return call(number, **ids, key=f"{number} of the same end", response_id=answer)

    rows = [alike(number) for number in range(1, 30)]
    with closing(open_store(path)) as store:
        first = store.insert(rows[:20])
        second = store.insert(rows)
        store.delete(Deletion(project="default", trace_id=rows[3].trace_id))

        found = [store.read_trace(row.trace_id, project="default") for row in rows]
        single = [store.read_span(row.trace_id, row.key, project="default") for row in rows]
        by_id = store.list_spans(SpanFilter(project="default", span_ids=(rows[5].span_id,)))

    assert (first.new, second.new, second.known) == (20, 9, 20)
    assert [one and one[1] for one in found] == [None if row is rows[3] else [row] for row in rows]
    assert single == [None if row is rows[3] else row for row in rows]
    assert by_id == [rows[5]]


def test_a_span_of_a_huge_trace_takes_no_more_steps_than_one_of_a_small_trace(path: Path) -> None:
    together = 25
    root = span(1)
    calls = [
        call(number, trace_id=root.trace_id, parent_id=root.span_id) for number in range(2, 80 * together + 1)
    ]
    spans = [root, *calls]
    steps = [0]
    with closing(SqliteStore(path)) as store:
        with store.writing() as connection:

            def count() -> None:
                steps[-1] += 1

            connection.sql.set_progress_handler(count, 100)

        for start in range(0, len(spans), together):
            steps.append(0)
            store.insert(spans[start : start + together])

    # The work of SQLite, which grows with the rows that are read, not the time it took.
    assert sum(steps[-10:]) < 2 * sum(steps[10:20])


def test_latency_of_one_field_alone_is_that_of_all_its_combinations(path: Path) -> None:
    rows = [
        call(
            number,
            environment="production",
            model=f"model {number % 3}",
            service=f"service {number % 4}",
            start_ns=NOON_NS + number * DAY_NS // 9,
            end_ns=NOON_NS + number * DAY_NS // 9 + number * number * 1_000_000,
            first_token_ns=number * 1000,
            status="error" if number % 7 == 0 else "ok",
        )
        for number in range(1, 60)
    ]
    whole, narrowed = LatencyFilter(), LatencyFilter(environment="production")
    with closing(SqliteStore(path)) as store:
        store.insert(rows[:30])
        store.insert(rows)
        store.delete(Deletion(project="default", trace_id=rows[4].trace_id))

        for by in (LatencyBy.MODEL, LatencyBy.SERVICE, LatencyBy.PROJECT):
            for each in (None, Each.DAY):
                found = store.latency_groups(by, whole, each=each)

                # What is narrowed by another field is added up from rows for each combination of fields.
                assert found == store.latency_groups(by, narrowed, each=each)
                assert sum(group.duration.count for group in found) == len(rows) - 1


def alone(texts: list[str]) -> bytes:
    """A body as it was kept before several were kept together."""
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = struct.pack(f">{len(parts)}Q", *map(len, parts))
    return zstandard.ZstdCompressor().compress(bytes((len(parts),)) + lengths + b"".join(parts))


def as_version_one(path: Path, filled: Path) -> None:
    """A store as the first version left it, with the spans of another one."""
    script = (resources.files("everyspan.store") / "schema" / "sqlite" / "0001_spans.sql").read_text("utf-8")
    with closing(sqlite3.connect(path)) as old:
        old.executescript(script)
        old.execute("ATTACH ? AS filled", (str(filled),))
        for table in ("spans", "traces", "writers", "received", "dropped", "unnumbered"):
            names = [row[1] for row in old.execute(f"PRAGMA main.table_info({table})")]
            columns = ", ".join(f'"{name}"' for name in names)
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM filled.{table}")
        with closing(SqliteStore(filled, read_only=True)) as store, store.reading() as connection:
            bodies = Bodies(*connection)
            for (id_,) in connection.sql.execute("SELECT id FROM spans").fetchall():
                old.execute("INSERT INTO main.bodies VALUES (?, ?)", (id_, alone(bodies.of(id_))))
            for trace in connection.sql.execute("SELECT * FROM traces").fetchall():
                marks = json.dumps(draft_of(trace).marks)
                old.execute("UPDATE main.traces SET marks = ? WHERE id = ?", (marks, trace["id"]))
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
        old.commit()


def test_a_store_of_the_first_version_answers_every_new_question_after_it_is_opened(path: Path) -> None:
    rows = [
        stamped(1, 2, user="ann", session="s", tags=("a", "b"), environment="prod", input='["apple\\npear"]'),
        stamped(2, 4, trace_id=trace_id(1), parent_id=span_id(1), output="apple", first_token_ns=99),
        stamped(3, 6, user="bob", cost=None, status="error", service="shop", name="checkout"),
        stamped(4, 8, unbilled="a copy"),
        call(5, "0.1", project="other", end="interrupted"),
        span(6),
        span(7, key=f"h:{trace_id(7)}:{span_id(7)}:0123456789abcdef01234567"),
        call(8, key=f"w:{WRITER}:10", writer=WRITER, seq=Seq(10), trace_id=trace_id(3), parent_id=span_id(3)),
    ]
    with closing(open_store(path)) as store:
        store.insert(rows)
        expected = everything(store)
    old = path.with_name("old.db")
    as_version_one(old, path)

    with closing(open_store(old)) as store:
        again = store.insert(rows)

        assert again.known == len(rows)
        assert everything(store) == expected
        assert store.insert([call(5, "0.1", project="other", key="h:5 finished")]).new == 1
        assert store.trace_totals(TraceFilter(project="other")).spans == 1


def test_no_file_holds_a_word_of_what_was_deleted(path: Path) -> None:
    secrets: dict[str, Any] = {"user": "forgetme-user", "name": "forgetme-name", "tags": ("forgetme-tag",)}
    with closing(open_store(path)) as store:
        store.insert([span(number, input=f"kept {number}") for number in range(2, 200)])
        store.insert([call(1, "0.5", **secrets, input="forgetmeword in a prompt")])
        assert any(b"forgetme" in file.read_bytes() for file in path.parent.iterdir())

        store.delete(Deletion(project="default", user="forgetme-user"))

        left = [file.name for file in path.parent.iterdir() if b"forgetme" in file.read_bytes()]
    assert left == []


def test_what_was_kept_beside_a_deleted_span_is_read_as_before(path: Path) -> None:
    rows = [
        stamped(
            number,
            2 * number,
            trace_id=trace_id(number % 5),
            input=f"text {number} " + "x" * 3000 * (number % 7),
        )
        for number in range(1, 80)
    ]
    with closing(SqliteStore(path)) as store:
        store.insert(rows)

        store.delete(Deletion(project="default", trace_id=trace_id(1)))
        store.insert([stamped(100, 200, input="the last one")])

        left = store.read_spans().rows
    expected = [row for row in rows if row.trace_id != trace_id(1)]
    assert sorted(row.input for row in left) == sorted(["the last one", *(row.input for row in expected)])


def test_spans_that_came_together_share_what_they_repeat(path: Path) -> None:
    history = " ".join(f"word{number * number}" for number in range(1000))
    with closing(SqliteStore(path)) as store:
        store.insert(
            [stamped(number, 2 * number, input=f"{history} question {number}") for number in range(1, 6)]
        )

        with store.reading() as connection:
            (kept,) = connection.sql.execute("SELECT sum(length(body)) FROM packs").fetchone()
    assert kept < 2 * len(alone([history]))


def test_a_backup_is_the_store_as_it_was_while_the_store_goes_on(path: Path, tmp_path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.insert([stamped(number, 2 * number, input=f"text {number}") for number in range(1, 40)])
        before = everything(store)

        store.back_up(tmp_path / "backup.db")
        store.insert([stamped(50, 100)])

    with closing(open_store(tmp_path / "backup.db", read_only=True)) as backup:
        assert everything(backup) == before
    assert stat.S_IMODE((tmp_path / "backup.db").stat().st_mode) == 0o600


def test_a_backup_never_replaces_a_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")

    with closing(SqliteStore(path)) as store, pytest.raises(StoreError, match="exists"):
        store.back_up(tmp_path / "mine")

    assert (tmp_path / "mine").read_text() == "precious"


def test_a_span_is_found_by_its_id_without_looking_at_others(path: Path) -> None:
    with closing(SqliteStore(path)) as store, store.reading() as connection:
        said: list[str] = []
        connection.sql.set_trace_callback(said.append)
        wanted = SpanFilter(project="default", span_ids=(span_id(1),), limit=1)
        sqlite_scores.list_spans(connection.sql, connection.squeezer, wanted)
        plan = [row["detail"] for row in connection.sql.execute(f"EXPLAIN QUERY PLAN {said[0]}")]

    assert plan[0].startswith("SEARCH spans USING INDEX spans_by_id")
