"""Langfuse's JSON filters and metrics over real sockets, on spans of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.server import Server, running
from tests.collector_requests import START_NS, Answer, body, generation, get, post, settled, span

A = "Bearer sk-a"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, module_store_url: str) -> Iterator[Server]:
    keys = ("pk-a:sk-a", "pk-b:sk-b")
    with running(tmp_path_factory.mktemp("data"), keys=keys, store=module_store_url) as opened:
        spans = [
            generation(
                1, **{"user.id": "ann", "langfuse.trace.tags": ["x", "y"], "input.value": "Apple pie"}
            ),
            generation(
                2, **{"user.id": "bob", "gen_ai.request.model": "gpt-4o-mini", "langfuse.version": "7"}
            ),
            span(3, name="tool call", attributes={"langfuse.observation.type": "tool", "user.id": "ann"}),
            span(
                4,
                name="warned",
                parent_span_id=(1).to_bytes(8, "big"),
                attributes={
                    "langfuse.observation.level": "WARNING",
                    "langfuse.observation.metadata.tier": "3",
                },
                end_time_unix_nano=START_NS + 5_000_000_000,
            ),
            generation(5, **{"langfuse.environment": "test", "langfuse.observation.metadata.tier": "gold"}),
        ]
        post(f"{opened.url}/v1/traces", body(*spans), authorization=A)
        post(
            f"{opened.url}/v1/traces",
            body(generation(9, **{"user.id": "theirs"})),
            authorization="Bearer sk-b",
        )
        settled(opened.url, Authorization=A)
        yield opened


def asked(server: Server, path: str, **parameters: str) -> Answer:
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return get(f"{server.url}/api/public/{path}?{query}", Authorization=A)


def condition(kind: str, column: str, operator: str, value: Any = None, **more: str) -> dict[str, Any]:
    return {"type": kind, "column": column, "operator": operator, "value": value, **more}


def numbers(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body
    return sorted(int(each["id"], 16) for each in answer.json["data"])


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([condition("string", "type", "=", "GENERATION")], [1, 2, 5]),
        ([condition("stringOptions", "userId", "any of", ["ann", "theirs"])], [1, 3]),
        ([condition("stringOptions", "userId", "none of", ["ann"])], [2, 4, 5]),
        ([condition("string", "name", "starts with", "tool")], [3]),
        ([condition("string", "id", "=", f"{3:016x}")], [3]),
        ([condition("arrayOptions", "tags", "all of", ["x", "y"])], [1]),
        ([condition("number", "latency", ">=", 2.5)], [4]),
        ([condition("number", "totalCost", ">", 0.001)], [1, 5]),
        ([condition("number", "totalTokens", "<=", 1100)], [1, 2, 5]),
        ([condition("datetime", "startTime", ">", "2020-01-01T00:00:00Z")], [1, 2, 3, 4, 5]),
        ([condition("datetime", "endTime", "<", "2020-01-01T00:00:00Z")], []),
        ([condition("null", "parentObservationId", "is null")], [1, 2, 3, 5]),
        ([condition("string", "level", "=", "WARNING")], [4]),
        ([condition("stringOptions", "environment", "any of", ["default"])], [1, 2, 3, 4]),
        ([condition("boolean", "isRootObservation", "=", False)], [4]),
        ([condition("string", "version", "=", "7")], [2]),
        ([condition("string", "input", "matches", "apple")], [1]),
        ([condition("string", "input", "contains", "apple")], []),
        ([condition("stringObject", "metadata", "=", "gold", key="tier")], [5]),
        ([condition("stringObject", "metadata", "is set", key="tier")], [4, 5]),
        ([condition("numberObject", "metadata", ">", 2, key="tier")], [4]),
        ([condition("string", "type", "=", "TOOL"), condition("string", "userId", "=", "bob")], []),
        ([], [1, 2, 3, 4, 5]),
    ],
    ids=str,
)
def test_a_filter_finds_what_it_says(server: Server, conditions: list[Any], expected: list[int]) -> None:
    found = asked(server, "v2/observations", filter=json.dumps(conditions), userId="does not count then")

    assert numbers(found) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"level": "WARNING"}, [4]),
        ({"level": "default"}, [1, 2, 3, 5]),
        ({"version": "7"}, [2]),
        ({"isRootObservation": "false"}, [4]),
        ({"environment": "default"}, [1, 2, 3, 4]),
    ],
    ids=str,
)
def test_parameters_that_are_no_column_of_the_store_narrow_too(
    server: Server, parameters: dict[str, str], expected: list[int]
) -> None:
    assert numbers(asked(server, "v2/observations", **parameters)) == expected


def test_pages_of_a_filter_that_looks_at_each_span_hold_everything_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyspan.web.langfuse.observations._MOST_LOOKED_AT", 2)
    text = json.dumps([condition("stringObject", "metadata", "is set", key="tier")])
    seen, cursor, pages = list[int](), "", 0

    while cursor or not pages:
        page = asked(
            server, "v2/observations", filter=text, limit="1", **({"cursor": cursor} if cursor else {})
        )
        seen += numbers(page)
        cursor, pages = page.json["meta"].get("cursor", ""), pages + 1

    assert sorted(seen) == [4, 5]
    assert pages <= 6


@pytest.mark.parametrize(
    "said",
    [
        "x",
        "{}",
        "[1]",
        json.dumps([condition("string", "password", "=", "x")]),
        json.dumps([condition("text", "name", "=", "x")]),
        json.dumps([condition("string", "name", "> 1 OR", "x")]),
        json.dumps([condition("string", "name", "=", 7)]),
        json.dumps([condition("number", "latency", ">", "fast")]),
        json.dumps([condition("number", "latency", ">", float("nan"))]),
        json.dumps([condition("string", "latency", "=", "x")]),
        json.dumps([condition("datetime", "startTime", ">", "soon")]),
        json.dumps([condition("stringObject", "metadata", "=", "x")]),
        json.dumps([condition("boolean", "isRootObservation", "=", "yes")]),
        json.dumps([condition("string", "name", "=", "x")] * 31),
    ],
)
def test_a_filter_that_cannot_be_asked_is_refused_and_not_ignored(server: Server, said: str) -> None:
    answer = asked(server, "v2/observations", filter=said)

    assert answer.status == 400
    assert answer.json["message"]


def metrics(server: Server, **said: Any) -> Answer:
    query = {"view": "observations", "metrics": [{"measure": "count", "aggregation": "count"}], **said}
    return asked(server, "v2/metrics", query=json.dumps(query))


def test_metrics_are_gathered_by_several_dimensions(server: Server) -> None:
    answer = metrics(
        server,
        dimensions=[{"field": "type"}, {"field": "userId"}, {"field": "environment"}],
        metrics=[
            {"measure": "count", "aggregation": "count"},
            {"measure": "totalTokens", "aggregation": "sum"},
            {"measure": "latency", "aggregation": "max"},
        ],
        orderBy=[{"field": "type", "direction": "asc"}, {"field": "userId", "direction": "asc"}],
    )

    assert [tuple(row.values()) for row in answer.json["data"]] == [
        ("GENERATION", "ann", "default", 1, 1100, 1000),
        ("GENERATION", "bob", "default", 1, 1100, 1000),
        ("GENERATION", None, "test", 1, 1100, 1000),
        ("SPAN", None, "default", 1, 0, 5000),
        ("TOOL", "ann", "default", 1, 0, 1000),
    ]


def test_metrics_know_means_and_quantiles_and_filters(server: Server) -> None:
    answer = metrics(
        server,
        filters=[
            condition("string", "type", "=", "GENERATION"),
            condition("number", "totalCost", ">", 0.001),
        ],
        metrics=[
            {"measure": "totalCost", "aggregation": "avg"},
            {"measure": "latency", "aggregation": "p95"},
            {"measure": "inputTokens", "aggregation": "min"},
        ],
    )

    (row,) = answer.json["data"]
    assert (row["avg_totalCost"], row["min_inputTokens"]) == (0.0035, 1000)
    assert row["p95_latency"] == pytest.approx(1000, rel=0.016)


@pytest.mark.parametrize("granularity", ["auto", "minute", "hour", "day", "week", "month"])
def test_metrics_are_divided_by_time(server: Server, granularity: str) -> None:
    day = {"fromTimestamp": "2025-11-22T00:00:00Z", "toTimestamp": "2025-11-23T00:00:00Z"}

    rows = metrics(server, timeDimension={"granularity": granularity}, **day).json["data"]

    assert [row["count_count"] for row in rows] == [5]
    assert rows[0]["time_dimension"].startswith("2025-11-")


@pytest.mark.parametrize("dimension", ["userId", "providedModelName", "tags", "environment", None])
@pytest.mark.parametrize("granularity", ["day", "hour", None])
def test_roll_ups_and_spans_give_the_same_sums(
    server: Server, dimension: str | None, granularity: str | None
) -> None:
    asked_for: dict[str, Any] = {"metrics": [{"measure": "totalCost", "aggregation": "sum"}]}
    asked_for |= {"dimensions": [{"field": dimension}]} if dimension else {}
    asked_for |= {"timeDimension": {"granularity": granularity}} if granularity else {}
    more = [*asked_for["metrics"], {"measure": "totalCost", "aggregation": "count"}]

    summed = metrics(server, **asked_for).json["data"]
    added_up = metrics(server, **{**asked_for, "metrics": more}).json["data"]

    for row in added_up:
        row.pop("count_totalCost")
    assert summed == [row for row in added_up if row["sum_totalCost"]]
    assert len(summed) >= 1


@pytest.mark.parametrize(
    "said",
    [
        {"view": "sessions"},
        {"dimensions": [{"field": "colour"}]},
        {"dimensions": [{"field": "name"}] * 2},
        {"metrics": []},
        {"metrics": [{"measure": "count", "aggregation": "p95"}]},
        {"metrics": [{"measure": "count", "aggregation": "histogram"}]},
        {"metrics": [{"measure": "toolCalls", "aggregation": "sum"}]},
        {"metrics": [{"measure": "uniqueUserIds", "aggregation": "avg"}]},
        {"metrics": [{"measure": "count", "aggregation": "uniq"}]},
        {"config": {"bins": 0}},
        {"metrics": [{"measure": "speed", "aggregation": "sum"}]},
        {"filters": [condition("string", "colour", "=", "red")]},
        {"timeDimension": {"granularity": "moment"}},
        {"orderBy": [{"field": "nothing"}]},
        {"fromTimestamp": "soon"},
    ],
    ids=str,
)
def test_metrics_that_cannot_be_told_are_refused(server: Server, said: dict[str, Any]) -> None:
    answer = metrics(server, **said)

    assert answer.status == 400
    assert answer.json["message"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
CONDITION = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "string",
                "number",
                "stringOptions",
                "arrayOptions",
                "stringObject",
                "datetime",
                "boolean",
                "null",
            ]
        ),
        "column": st.sampled_from(
            ["name", "tags", "latency", "totalCost", "metadata", "startTime", "level", "id"]
        ),
        "operator": st.sampled_from(
            ["=", ">", "any of", "none of", "all of", "contains", "is null", "ends with"]
        ),
        "value": ANY,
    },
    optional={"key": st.text(max_size=4)},
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CONDITION, max_size=3), st.sampled_from(["v2/observations", "observations", "v2/metrics"]))
def test_no_filter_makes_the_server_fail_or_shows_another_projects_spans(
    server: Server, conditions: list[Any], path: str
) -> None:
    if path == "v2/metrics":
        answer = metrics(server, filters=conditions, dimensions=[{"field": "userId"}])
    else:
        answer = asked(server, path, filter=json.dumps(conditions))

    assert answer.status in (200, 400), answer.body
    assert b"theirs" not in answer.body or "theirs" in json.dumps(conditions)
