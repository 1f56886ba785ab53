"""Metrics over real sockets: of observations by what no store has a column for, of traces, and of scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from everyspan.server import Server
from tests.collector_requests import Answer, get
from tests.langfuse_traces import A, judged_traces

COUNT = {"measure": "count", "aggregation": "count"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, module_store_url: str) -> Iterator[Server]:
    with judged_traces(tmp_path_factory.mktemp("data"), module_store_url) as opened:
        yield opened


def asked(server: Server, path: str = "v2/metrics", **query: Any) -> Answer:
    said = urlencode({"query": json.dumps({"view": "observations", "metrics": [COUNT], **query})})
    return get(f"{server.url}/api/public/{path}?{said}", Authorization=A)


def rows(server: Server, *dimensions: str, path: str = "v2/metrics", **query: Any) -> list[tuple[Any, ...]]:
    """The values of each row, in the order of the first dimension."""
    query |= {
        "dimensions": [{"field": name} for name in dimensions],
        "orderBy": [{"field": name, "direction": "asc"} for name in dimensions],
    }
    answer = asked(server, path, **query)
    assert answer.status == 200, answer.body
    return [tuple(row.values()) for row in answer.json["data"]]


def measured(measure: str, *aggregations: str) -> dict[str, Any]:
    return {"metrics": [{"measure": measure, "aggregation": each} for each in aggregations]}


def condition(kind: str, column: str, operator: str, value: Any = None, **more: str) -> dict[str, Any]:
    return {"type": kind, "column": column, "operator": operator, "value": value, **more}


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        ("release", [("r1", 1), ("r2", 2), (None, 1)]),
        ("traceRelease", [("r1", 1), ("r2", 2), (None, 1)]),
        ("version", [("7", 1), (None, 3)]),
        ("level", [("DEFAULT", 3), ("ERROR", 1)]),
        ("promptName", [("greet", 1), (None, 3)]),
        ("promptVersion", [(3, 1), (None, 3)]),
        ("isRootObservation", [(True, 4)]),
        ("startTimeMonth", [("2025-11", 4)]),
    ],
)
def test_observations_are_grouped_by_what_the_store_has_no_column_for(
    server: Server, dimension: str, expected: list[tuple[Any, int]]
) -> None:
    assert rows(server, dimension) == expected


@pytest.mark.parametrize("dimension", ["userId", "tags", "providedModelName", "type", "environment", "name"])
@pytest.mark.parametrize("granularity", ["minute", "hour", "day", "week", "month", None])
def test_what_is_gathered_is_what_the_store_adds_up(
    server: Server, dimension: str, granularity: str | None
) -> None:
    measures = [
        {"measure": measure, "aggregation": how}
        for measure in (
            *("totalCost", "totalTokens", "inputTokens", "latency", "timeToFirstToken"),
            *("streamingLatency", "countScores"),
        )
        for how in ("sum", "avg", "min", "max", "count")
    ]
    measures += [
        {"measure": measure, "aggregation": how}
        for measure in ("traceId", "uniqueUserIds", "uniqueSessionIds")
        for how in ("uniq", "count", "sum")
    ]
    # A rate has no exact sum.
    measures += [
        {"measure": measure, "aggregation": how}
        for measure in ("tokensPerSecond", "outputTokensPerSecond")
        for how in ("min", "max", "count")
    ]
    time: dict[str, Any] = {"timeDimension": {"granularity": granularity}} if granularity else {}
    # Every observation has a level, so this narrows nothing; but only a look at each of them can tell.
    looked_at = [condition("null", "level", "is not null")]

    by_the_store = rows(server, dimension, metrics=[COUNT, *measures], **time)
    gathered = rows(server, dimension, metrics=[COUNT, *measures], filters=looked_at, **time)

    assert sorted(gathered, key=str) == sorted(by_the_store, key=str)
    assert len(gathered) >= 1


@pytest.mark.parametrize("dimension", ["id", "name", "tags", "userId", "sessionId", "environment"])
@pytest.mark.parametrize("granularity", ["minute", "month", None])
def test_traces_that_are_gathered_are_those_that_the_store_adds_up(
    server: Server, dimension: str, granularity: str | None
) -> None:
    measures = [
        {"measure": measure, "aggregation": how}
        for measure in ("totalCost", "totalTokens", "latency")
        for how in ("sum", "avg", "min", "max", "count")
    ]
    measures += [
        {"measure": measure, "aggregation": "uniq"} for measure in ("uniqueUserIds", "uniqueSessionIds")
    ]
    asked_for: dict[str, Any] = {"view": "traces", "metrics": [COUNT, *measures]}
    asked_for |= {"timeDimension": {"granularity": granularity}} if granularity else {}
    # Every trace has a level, but only its spans can tell.
    looked_at = [condition("null", "level", "is not null")]

    by_the_store = rows(server, dimension, **asked_for)
    gathered = rows(server, dimension, filters=looked_at, **asked_for)

    assert sorted(gathered, key=str) == sorted(by_the_store, key=str)
    assert len(gathered) >= 1


def test_traces_that_the_store_adds_up_have_no_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everyspan.web.langfuse.trace_search._MOST_LOOKED_AT", 1)

    assert rows(server, view="traces", **measured("latency", "p50", "max")) == [
        (pytest.approx(2000, rel=0.016), 9000)
    ]
    assert rows(server, view="traces", filters=[condition("string", "userId", "=", "ann")]) == [(1,)]


def test_a_histogram_has_bins_of_equal_width_that_hold_everything(server: Server) -> None:
    (found,) = rows(server, **measured("latency", "histogram"), config={"bins": 4})[0]
    (one,) = rows(server, **measured("totalCost", "histogram"))[0]

    assert found == [[1000, 3000, 2], [3000, 5000, 1], [5000, 7000, 0], [7000, 9000, 1]]
    assert one == [[0.0035, 0.0035, 4]]


def test_money_is_told_by_side(server: Server) -> None:
    (found,) = rows(
        server,
        metrics=[
            {"measure": measure, "aggregation": how}
            for measure in ("inputCost", "outputCost")
            for how in ("sum", "avg", "count")
        ],
    )

    assert found == (pytest.approx(0.01), 0.0025, 4, pytest.approx(0.004), 0.001, 4)


def test_streams_their_speed_and_scores_are_measured(server: Server) -> None:
    assert rows(server, **measured("streamingLatency", "sum", "p50", "count")) == [
        (1000, pytest.approx(1000, rel=0.016), 1)
    ]
    assert rows(server, **measured("outputTokensPerSecond", "avg")) == [(100,)]
    assert rows(server, **measured("tokensPerSecond", "max", "p50")) == [(1100, pytest.approx(1100 / 3))]
    assert rows(server, "traceId", **measured("countScores", "sum")) == [
        (f"{1:032x}", 1),
        (f"{2:032x}", 0),
        (f"{3:032x}", 1),
        (f"{4:032x}", 1),
    ]


def test_different_values_are_counted_in_observations_and_traces(server: Server) -> None:
    people = measured("uniqueUserIds", "uniq")

    assert rows(server, **people) == [(1,)]
    assert rows(server, view="traces", **people) == [(1,)]
    assert rows(server, "tags", view="traces", **people) == [("x", 1), ("y", 1), (None, 0)]
    assert rows(server, **measured("latency", "uniq")) == [(4,)]


def test_what_nobody_ordered_comes_by_time_else_the_largest_first(server: Server) -> None:
    by_time = asked(server, timeDimension={"granularity": "hour"}).json["data"]
    by_release = asked(server, dimensions=[{"field": "release"}]).json["data"]

    assert [row["count_count"] for row in by_time] == [3, 1]
    assert [row["count_count"] for row in by_release] == [2, 1, 1]


def test_a_percentile_of_what_no_store_ranks_is_gathered(server: Server) -> None:
    assert rows(server, **measured("totalTokens", "p50", "p99")) == [(1100, 1100)]


@pytest.mark.parametrize("path", ["v2/metrics", "metrics"])
def test_traces_are_grouped_and_measured(server: Server, path: str) -> None:
    def found(*dimensions: str, **query: Any) -> list[tuple[Any, ...]]:
        return rows(server, *dimensions, path=path, view="traces", **query)

    assert found("name") == [("job", 4)]
    assert found("tags") == [("x", 2), ("y", 1), (None, 2)]
    assert found("release") == [("r1", 1), ("r2", 2), (None, 1)]
    assert found("userId", **measured("totalCost", "sum", "avg")) == [
        ("ann", 0.0035, 0.0035),
        (None, pytest.approx(0.0105), 0.0035),
    ]
    assert found(**measured("latency", "max", "p50")) == [(9000, pytest.approx(2000, rel=0.016))]
    assert found(**measured("observationsCount", "sum")) == [(4,)]
    assert found(**measured("scoresCount", "sum")) == [(7,)]
    assert found("timestampMonth", filters=[condition("string", "level", "=", "ERROR")]) == [("2025-11", 1)]
    assert [row[0] for row in found(timeDimension={"granularity": "hour"})] != []


def test_traces_and_scores_are_those_of_their_time(server: Server) -> None:
    early = {"fromTimestamp": "2025-11-22T00:00:00Z", "toTimestamp": "2025-11-22T09:00:00Z"}

    assert rows(server, view="traces", **early) == [(3,)]
    assert (
        rows(server, view="traces", **early, filters=[condition("datetime", "timestamp", "<", "2020-01-01")])
        == []
    )
    assert rows(server, view="scores-categorical", toTimestamp="2026-01-02T00:00:00Z") == []
    assert rows(server, view="scores-numeric", toTimestamp="2026-01-02T00:00:00Z") == [(4,)]


def test_scores_with_numbers_are_summed_by_name_and_by_their_trace(server: Server) -> None:
    def found(*dimensions: str, **query: Any) -> list[tuple[Any, ...]]:
        return rows(server, *dimensions, view="scores-numeric", **query)

    assert found("name", **measured("value", "avg", "max")) == [("kept", 0.5, 1), ("tone", 0.5, 0.75)]
    assert found("dataType") == [("BOOLEAN", 2), ("NUMERIC", 3)]
    assert found("environment", filters=[condition("string", "name", "=", "tone")]) == [
        ("default", 2),
        ("test", 1),
    ]
    assert found("tags", **measured("value", "count")) == [("x", 4), ("y", 2), (None, 1)]
    assert found("userId") == [("ann", 2), (None, 3)]
    assert found("traceName", filters=[condition("number", "value", ">", 0.5)]) == [("job", 2)]
    assert found("traceRelease") == [("r1", 2), ("r2", 3)]
    assert found("traceVersion") == [("7", 2), (None, 3)]
    assert found("observationName", **measured("value", "sum")) == [("chat gpt-4o", 0.75), (None, 1.75)]
    assert found("timestampDay") == [("2026-01-01", 4), ("2026-01-02", 1)]
    assert found("value", filters=[condition("string", "name", "=", "tone")]) == [
        (0.25, 1),
        (0.5, 1),
        (0.75, 1),
    ]
    assert found(**measured("value", "histogram"), config={"bins": 2}) == [([[0, 0.5, 2], [0.5, 1, 3]],)]


def test_scores_with_words_and_truths_have_their_own_views(server: Server) -> None:
    assert rows(server, "stringValue", view="scores-categorical") == [("bad", 1), ("good", 2)]
    assert rows(
        server,
        *("observationName", "observationModelName", "observationPromptName", "observationPromptVersion"),
        view="scores-categorical",
        filters=[condition("number", "observationPromptVersion", ">", 2)],
    ) == [("chat gpt-4o", "gpt-4o", "greet", 3, 1)]
    assert rows(server, "booleanValue", view="scores-boolean", **measured("value", "avg")) == [
        (False, 0),
        (True, 1),
    ]
    assert rows(server, view="scores-boolean", filters=[condition("boolean", "booleanValue", "=", True)]) == [
        (1,)
    ]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"dimensions": [{"field": "region"}]}, "region"),
        ({"view": "scores-numeric", "dimensions": [{"field": "datasetRunId"}]}, "datasetRunId"),
        ({"view": "scores-numeric", "dimensions": [{"field": "stringValue"}]}, "stringValue"),
        ({"view": "scores-categorical", "metrics": [{"measure": "value", "aggregation": "avg"}]}, "value"),
        (
            {"view": "traces", "metrics": [{"measure": "uniqueUserIds", "aggregation": "p95"}]},
            "uniqueUserIds",
        ),
        ({"metrics": [{"measure": "totalCost", "aggregation": "median"}]}, "median"),
        ({"metrics": [{"measure": "toolCalls", "aggregation": "sum"}]}, "toolCalls"),
        ({"dimensions": [{"field": "calledToolNames"}]}, "calledToolNames"),
        ({"view": "traces", "filters": [condition("string", "model", "=", "x")]}, "model"),
        ({"view": "scores-numeric", "filters": [condition("string", "model", "=", "x")]}, "model"),
        ({"view": "dashboards"}, "dashboards"),
        ({"config": {"row_limit": "many"}}, "row_limit"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_named(server: Server, said: dict[str, Any], named: str) -> None:
    answer = asked(server, **said)

    assert answer.status == 400
    assert named in answer.json["message"]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("metrics_things._MOST_OBSERVATIONS", {"dimensions": [{"field": "level"}]}),
        ("metrics_things._MOST_SCORES", {"view": "scores-numeric"}),
        (
            "metrics_things._MOST_TRACES_OF_SCORES",
            {"view": "scores-numeric", "dimensions": [{"field": "tags"}]},
        ),
        ("trace_search._MOST_LOOKED_AT", {"view": "traces", "dimensions": [{"field": "release"}]}),
        ("judged._MOST_TRACES", {"view": "scores-numeric", "dimensions": [{"field": "traceRelease"}]}),
        (
            "judged._MOST_OBSERVATIONS",
            {"view": "scores-numeric", "dimensions": [{"field": "observationName"}]},
        ),
        ("gathered.MOST_GROUPS", {"dimensions": [{"field": "release"}]}),
    ],
)
def test_more_than_one_request_looks_at_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, limit: str, said: dict[str, Any]
) -> None:
    monkeypatch.setattr(f"everyspan.web.langfuse.{limit}", 1)

    answer = asked(server, **said)

    assert answer.status == 400
    assert "narrow" in answer.json["message"]
