"""Scores and single spans: what every kind of store keeps of them and answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter, SpanFilter
from everyspan.store.store import Store, open_store
from everyspan.store.upkeep import Deletion
from tests.store_rows import NOON_NS, call, span, span_id, trace_id


def score(number: int, **changes: Any) -> Score:
    values: dict[str, Any] = {
        "id": f"s{number}",
        "project": "default",
        "name": "good",
        "data_type": "NUMERIC",
        "value": float(number),
        "at_ns": 10 + number,
        "created_ns": 5,
    }
    return Score(**(values | changes))


@pytest.fixture(scope="module")
def scored(module_store_url: str) -> Iterator[Store]:
    with closing(open_store(module_store_url)) as opened:
        opened.put_scores(SCORES)
        yield opened


@pytest.fixture(scope="module")
def filled(module_store_url: str) -> Iterator[Store]:
    with closing(open_store(module_store_url)) as opened:
        opened.insert(SPANS)
        yield opened


def ids(scores: list[Score]) -> list[str]:
    return [each.id for each in scores]


SCORES = [
    score(1, trace_id=trace_id(1), comment="it's \\ fine\n\x00", metadata='{"a": 1}', author="ann"),
    score(2, trace_id=trace_id(1), span_id=span_id(2), data_type="CATEGORICAL", value=None, text="yes"),
    score(3, session="s", name="bad", source="EVAL", environment="test", config_id="c", queue_id="q"),
    score(4, trace_id=trace_id(2), project="other"),
]


def test_a_score_is_given_back_as_it_was_given(store: Store) -> None:
    store.put_scores(SCORES)

    assert store.list_scores(ScoreFilter(project="default")) == [SCORES[2], SCORES[1], SCORES[0]]
    assert store.list_scores(ScoreFilter(project="other")) == [SCORES[3]]


def test_a_later_score_with_an_id_replaces_the_earlier_and_keeps_when_it_was_first_given(
    store: Store,
) -> None:
    store.put_scores([score(1, trace_id="t"), score(1, trace_id="t", value=7.0)])
    store.put_scores([score(1, session="s", value=8.0, at_ns=99, created_ns=98)])

    assert store.list_scores(ScoreFilter(project="default")) == [
        score(1, session="s", value=8.0, at_ns=99, created_ns=5)
    ]
    assert store.count_scores(ScoreFilter(project="default")) == 1


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"ids": ("s1", "s4")}, ["s1"]),
        ({"names": ("bad",)}, ["s3"]),
        ({"trace_ids": (trace_id(1), trace_id(9))}, ["s2", "s1"]),
        ({"trace_ids": (trace_id(1),), "span_ids": (span_id(2),)}, ["s2"]),
        ({"sessions": ("s",)}, ["s3"]),
        ({"data_types": ("NUMERIC",)}, ["s3", "s1"]),
        ({"sources": ("EVAL",), "environments": ("test",)}, ["s3"]),
        ({"since_ns": 12, "until_ns": 13}, ["s2"]),
        ({"since_ns": -1, "until_ns": 1 << 70}, ["s3", "s2", "s1"]),
        ({"limit": 1, "skip": 1}, ["s2"]),
        ({"before": (12, "s2")}, ["s1"]),
        ({"names": ("' OR 1=1 --",)}, []),
    ],
    ids=str,
)
def test_scores_are_found_by_what_they_say(
    scored: Store, wanted: dict[str, Any], expected: list[str]
) -> None:
    assert ids(scored.list_scores(ScoreFilter(project="default", **wanted))) == expected


def test_a_count_of_scores_is_of_all_pages(scored: Store) -> None:
    assert scored.count_scores(ScoreFilter(project="default", limit=1, skip=2, before=(0, ""))) == 3


def test_a_deleted_score_is_gone_and_may_be_given_again(store: Store) -> None:
    store.put_scores(SCORES)

    gone = [store.delete_score(project, "s1") for project in ("other", "default", "default")]
    left = ids(store.list_scores(ScoreFilter(project="default")))
    store.put_scores(SCORES)

    assert gone == [False, True, False]
    assert left == ["s3", "s2"]
    assert store.list_scores(ScoreFilter(project="default", ids=("s1",))) == [SCORES[0]]


def test_scores_go_with_the_trace_that_they_judge(store: Store) -> None:
    store.insert([call(1), call(2)])
    store.put_scores(SCORES)

    store.delete(Deletion(project="default", trace_id=trace_id(1)))
    after_trace = ids(store.list_scores(ScoreFilter(project="default")))
    store.delete(Deletion(project="default", all_of_it=True))

    assert after_trace == ["s3"]
    assert store.list_scores(ScoreFilter(project="default")) == []
    assert store.list_scores(ScoreFilter(project="other")) == [SCORES[3]]


SPANS = [
    call(1, user="ann", session="s", environment="test", input="apple \ud800", status="error"),
    span(2, trace_id=trace_id(1), parent_id=span_id(1), kind="tool", name="it's"),
    span(3, project="other"),
    call(4, None, start_ns=NOON_NS + 1_000_000, end_ns=NOON_NS + 9_000_000),
]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [2, 4, 1]),
        ({"keys": ("h:4", "h:3")}, [4]),
        ({"trace_ids": (trace_id(1),)}, [2, 1]),
        ({"span_ids": (span_id(2),)}, [2]),
        ({"parent_id": ""}, [4, 1]),
        ({"parent_id": span_id(1)}, [2]),
        ({"names": ("it's", "span 1")}, [2, 1]),
        ({"kinds": ("tool",)}, [2]),
        ({"users": ("ann",), "sessions": ("s",), "environments": ("test",)}, [1]),
        ({"statuses": ("error",)}, [1]),
        ({"since_ns": NOON_NS + 1_000_001}, [2]),
        ({"until_ns": NOON_NS + 1_000_001}, [4, 1]),
        ({"limit": 1, "skip": 1}, [4]),
        ({"before": (NOON_NS + 1_000_000, "h:4")}, [1]),
    ],
    ids=str,
)
def test_single_spans_are_found_latest_first(
    filled: Store, wanted: dict[str, Any], expected: list[int]
) -> None:
    by_key: dict[str, SpanRow] = {row.key: row for row in SPANS}

    found = filled.list_spans(SpanFilter(project="default", **wanted))

    assert found == [by_key[f"h:{number}"] for number in expected]
    if not {"limit", "before"} & set(wanted):
        assert filled.count_spans(SpanFilter(project="default", **wanted, limit=1)) == len(expected)


def test_every_project_of_which_anything_is_kept_is_named(store: Store) -> None:
    assert store.projects() == []

    store.insert(SPANS)
    store.put_scores([score(1, project="scores only", session="s")])

    assert store.projects() == ["default", "other", "scores only"]
