"""Files that spans refer to: what every kind of store keeps of them, and when they go."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from everyspan.store.copying import copy, differences
from everyspan.store.media import Media, Use
from everyspan.store.store import Store, open_store
from everyspan.store.upkeep import Deletion
from tests.store_rows import call, span_id, trace_id

CONTENT = bytes(range(256)) * 40
FIRST, SECOND = Use(trace_id(1), "", "input"), Use(trace_id(2), span_id(2), "output")


def media(number: int, *uses: Use, project: str = "default") -> Media:
    return Media(
        project=project,
        id=f"m{number}",
        content_type="image/png",
        size_bytes=len(CONTENT),
        sha256="=",
        created_ns=5,
        uses=uses,
    )


def test_a_file_comes_back_byte_for_byte_with_every_use_once(store: Store) -> None:
    store.put_media(media(1, FIRST), CONTENT)
    store.put_media(media(1, FIRST), CONTENT)
    store.use_media("default", "m1", [SECOND, SECOND])

    assert store.read_media("default", "m1") == media(1, FIRST, SECOND)
    assert store.media_content("default", "m1") == CONTENT
    assert store.list_media("default") == [media(1, FIRST, SECOND)]


def test_no_project_has_another_ones_files(store: Store) -> None:
    store.put_media(media(1, FIRST), CONTENT)

    assert store.read_media("other", "m1") is None
    assert store.media_content("other", "m1") is None
    assert store.list_media("other") == []
    assert store.projects() == ["default"]


def test_files_are_listed_page_by_page(store: Store) -> None:
    for number in (3, 1, 2):
        store.put_media(media(number, FIRST), CONTENT)

    assert [each.id for each in store.list_media("default", limit=2)] == ["m1", "m2"]
    assert [each.id for each in store.list_media("default", after="m2")] == ["m3"]


def test_a_file_goes_with_the_last_trace_that_uses_it(store: Store) -> None:
    store.insert([call(1), call(2), call(2, project="other")])
    store.put_media(media(1, FIRST, SECOND), CONTENT)
    store.put_media(media(2, FIRST), CONTENT)
    store.put_media(media(2, SECOND, project="other"), CONTENT)

    store.delete(Deletion(project="default", trace_id=trace_id(1)))
    after_one = store.list_media("default")
    store.delete(Deletion(project="default", trace_id=trace_id(2)))

    assert after_one == [media(1, SECOND)]
    assert store.list_media("default") == []
    assert store.media_content("other", "m2") == CONTENT


def test_a_project_goes_with_its_files(store: Store) -> None:
    store.put_media(media(1, FIRST), CONTENT)

    store.delete(Deletion(project="default", all_of_it=True))

    assert store.media_content("default", "m1") is None
    assert store.projects() == []


def test_files_move_into_another_kind_of_store_and_are_compared(store: Store, tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "from.db")) as first:
        first.put_media(media(1, FIRST, SECOND), CONTENT)
        first.put_media(media(2, SECOND, project="other"), b"x")

        done = copy(first, store)
        first.use_media("other", "m2", [FIRST])

        assert (done.media, done.differences) == (2, [])
        assert store.media_content("default", "m1") == CONTENT
        assert list(differences(first, store)) == ["project other: the file m2 is not the same"]
