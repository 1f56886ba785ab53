"""Lists of traces, sessions, observations and scores over real sockets: what narrows them, orders them, cuts them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from everyspan.server import Server, running
from tests.collector_requests import Answer, body, generation, get, post, settled

A = "Bearer sk-a"
MINUTE_NS = 60 * 10**9


def trace(number: int, minutes: int = 0, **attributes: Any) -> Any:
    """A trace of one generation, which starts so many minutes after the others."""
    call: Any = generation(number, **{"langfuse.trace.name": f"job {number}", **attributes})
    call.trace_id = number.to_bytes(16, "big")
    call.start_time_unix_nano += minutes * MINUTE_NS
    call.end_time_unix_nano += minutes * MINUTE_NS
    return call


SPANS = [
    trace(
        1,
        0,
        **{
            "langfuse.release": "r1",
            "langfuse.trace.tags": ["x", "y"],
            "user.id": "ann",
            "session.id": "s-1",
        },
    ),
    trace(2, 1, **{"langfuse.release": "r2", "langfuse.version": "7", "session.id": "s-1"}),
    trace(
        3,
        2,
        **{
            "langfuse.environment": "test",
            "langfuse.trace.tags": ["x"],
            "session.id": "s-2",
            "langfuse.trace.metadata.tier": "gold",
        },
    ),
    trace(4, 3, **{"langfuse.observation.level": "ERROR", "user.id": "ann", "input.value": "hi"}),
]
SCORES: list[dict[str, Any]] = [
    {"id": "a", "name": "tone", "value": 0.25, "traceId": f"{1:032x}", "metadata": {"by": "eve"}},
    {"id": "b", "name": "tone", "value": 0.75, "traceId": f"{3:032x}", "configId": "c-1"},
    {"id": "c", "name": "kind", "value": "good", "traceId": f"{1:032x}", "queueId": "q-1"},
    {"id": "d", "name": "kept", "value": 1, "dataType": "BOOLEAN", "traceId": f"{2:032x}"},
    {"id": "e", "name": "tone", "value": 0.5, "sessionId": "s-2", "source": "EVAL"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, module_store_url: str) -> Iterator[Server]:
    keys = ("pk-a:sk-a", "pk-b:sk-b")
    with running(tmp_path_factory.mktemp("data"), keys=keys, store=module_store_url) as opened:
        post(f"{opened.url}/v1/traces", body(*SPANS), authorization=A)
        theirs = body(trace(9, 0, **{"session.id": "s-1", "user.id": "ann"}))
        post(f"{opened.url}/v1/traces", theirs, authorization="Bearer sk-b")
        for number, each in enumerate(SCORES):
            said = json.dumps({**each, "timestamp": f"2026-01-01T00:00:0{number}Z"}).encode()
            post(f"{opened.url}/api/public/scores", said, "application/json", authorization=A)
        settled(opened.url, Authorization=A)
        yield opened


def asked(server: Server, path: str, **parameters: Any) -> Answer:
    return get(f"{server.url}/api/public/{path}?{urlencode(parameters, doseq=True)}", Authorization=A)


def numbers(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body
    assert answer.json["meta"].get("totalItems", len(answer.json["data"])) == len(answer.json["data"])
    return [int(each["id"], 16) for each in answer.json["data"]]


def names(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    assert answer.json["meta"].get("totalItems", len(answer.json["data"])) == len(answer.json["data"])
    return "".join(each["id"] for each in answer.json["data"])


def condition(kind: str, column: str, operator: str, value: Any = None, **more: str) -> dict[str, Any]:
    return {"type": kind, "column": column, "operator": operator, "value": value, **more}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [4, 3, 2, 1]),
        ({"userId": "ann"}, [4, 1]),
        ({"sessionId": "s-1"}, [2, 1]),
        ({"name": "job 2"}, [2]),
        ({"version": "7"}, [2]),
        ({"release": "r1"}, [1]),
        ({"tags": "x"}, [3, 1]),
        ({"tags": ["x", "y"]}, [1]),
        ({"environment": "test"}, [3]),
        ({"environment": "default"}, [4, 2, 1]),
        ({"environment": ["test", "default"], "userId": "ann"}, [4, 1]),
        ({"orderBy": "timestamp.asc"}, [1, 2, 3, 4]),
        ({"orderBy": "name.desc"}, [4, 3, 2, 1]),
        ({"orderBy": "release.asc"}, [1, 2, 4, 3]),
        ({"orderBy": "userId.asc", "sessionId": "s-1"}, [1, 2]),
    ],
    ids=str,
)
def test_each_parameter_of_a_list_of_traces_narrows_or_orders_it(
    server: Server, parameters: dict[str, Any], expected: list[int]
) -> None:
    assert numbers(asked(server, "traces", **parameters)) == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([condition("string", "userId", "=", "ann")], [4, 1]),
        ([condition("string", "name", "contains", "b 3")], [3]),
        ([condition("string", "id", "=", f"{2:032x}")], [2]),
        ([condition("stringOptions", "sessionId", "any of", ["s-2", "s-1"])], [3, 2, 1]),
        ([condition("stringOptions", "environment", "none of", ["test"])], [4, 2, 1]),
        ([condition("arrayOptions", "tags", "all of", ["y", "x"])], [1]),
        ([condition("arrayOptions", "tags", "none of", ["y"])], [4, 3, 2]),
        ([condition("null", "sessionId", "is null")], [4]),
        ([condition("number", "totalCost", ">", 0.001)], [4, 3, 2, 1]),
        ([condition("number", "totalTokens", ">", 1100)], []),
        ([condition("number", "latency", "<=", 1)], [4, 3, 2, 1]),
        ([condition("stringObject", "metadata", "=", "gold", key="tier")], [3]),
        ([condition("string", "level", "=", "ERROR")], [4]),
        ([condition("number", "errorCount", "=", 0)], [3, 2, 1]),
        ([condition("numberObject", "scores_avg", "<", 0.5, key="tone")], [1]),
        ([condition("number", "inputCost", "=", 0.0025)], [4, 3, 2, 1]),
        ([condition("number", "outputCost", ">", 0.001)], []),
        ([condition("categoryOptions", "score_categories", "any of", ["good", "bad"], key="kind")], [1]),
        ([condition("categoryOptions", "score_categories", "none of", ["good"], key="kind")], [4, 3, 2]),
        ([condition("booleanObject", "score_booleans", "=", True, key="kept")], [2]),
        ([condition("booleanObject", "score_booleans", "<>", True, key="kept")], [4, 3, 1]),
        ([condition("booleanObject", "score_booleans", "=", False, key="kept")], []),
        ([condition("string", "release", "starts with", "r")], [2, 1]),
        ([condition("boolean", "bookmarked", "=", True)], []),
        ([condition("string", "userId", "=", "ann"), condition("string", "userId", "=", "bob")], []),
    ],
    ids=str,
)
def test_a_filter_of_traces_finds_what_it_says(
    server: Server, conditions: list[Any], expected: list[int]
) -> None:
    found = asked(server, "traces", filter=json.dumps(conditions), name="does not count then")

    assert numbers(found) == expected


def test_a_trace_belongs_to_its_time_to_the_nanosecond(server: Server) -> None:
    first = asked(server, "traces", orderBy="timestamp.asc").json["data"][1]["timestamp"]

    after, before = (
        asked(server, "traces", filter=json.dumps([condition("datetime", "timestamp", operator, first)]))
        for operator in (">=", "<")
    )
    strictly = asked(server, "traces", filter=json.dumps([condition("datetime", "timestamp", ">", first)]))

    assert numbers(after) == [4, 3, 2] == numbers(asked(server, "traces", fromTimestamp=first))
    assert numbers(before) == [1] == numbers(asked(server, "traces", toTimestamp=first))
    assert numbers(strictly) == [4, 3]


def test_pages_of_traces_hold_everything_once_in_any_order(server: Server) -> None:
    for order in ("timestamp.desc", "release.desc"):
        pages = [asked(server, "traces", page=page, limit=3, orderBy=order).json for page in (1, 2, 3)]

        assert [len(page["data"]) for page in pages] == [3, 1, 0]
        assert len({each["id"] for page in pages for each in page["data"]}) == 4
        assert {page["meta"]["totalItems"] for page in pages} == {4}


def test_pages_beyond_one_read_of_the_store_are_not_empty(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyspan.web.langfuse.traces.MOST_ROWS", 2)

    assert [each["name"] for each in asked(server, "traces", page=4, limit=1).json["data"]] == ["job 1"]


def test_groups_of_fields_that_are_not_asked_for_are_left_out_as_langfuse_does(server: Server) -> None:
    (whole,) = asked(server, "traces", name="job 4").json["data"]
    (core,) = asked(server, "traces", name="job 4", fields="core,scores").json["data"]
    one = asked(server, f"traces/{4:032x}", fields="core,io").json

    assert (whole["input"], whole["observations"]) == ("hi", [f"{4:016x}"])
    assert whole["totalCost"] > 0
    assert (core["input"], core["observations"], core["totalCost"], core["latency"]) == (None, [], -1, -1)
    assert (one["input"], one["observations"], one["totalCost"]) == ("hi", [], -1)


def test_sessions_are_all_there_whatever_their_number_and_created_with_their_first_trace(
    server: Server,
) -> None:
    first = asked(server, "traces", orderBy="timestamp.asc").json["data"]

    every = asked(server, "sessions").json
    late = asked(server, "sessions", fromTimestamp=first[1]["timestamp"]).json
    early = asked(server, "sessions", toTimestamp=first[2]["timestamp"]).json
    test = asked(server, "sessions", environment="test").json

    assert [each["id"] for each in every["data"]] == ["s-2", "s-1"]
    assert every["data"][1]["createdAt"] == first[0]["timestamp"]
    assert every["meta"]["totalItems"] == 2
    assert [[each["id"] for each in page["data"]] for page in (late, early, test)] == [
        ["s-2"],
        ["s-1"],
        ["s-2"],
    ]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"level": "ERROR"}, [4]),
        ({"version": "7"}, [2]),
        ({"filter": json.dumps([condition("string", "release", "=", "r2")])}, [2]),
        ({"filter": json.dumps([condition("number", "inputCost", ">", 0.0024)])}, [4, 3, 2, 1]),
        ({"filter": json.dumps([condition("number", "tokensPerSecond", ">", 100)])}, []),
        ({"filter": json.dumps([condition("number", "tokensPerSecond", "=", 100)])}, [4, 3, 2, 1]),
        ({"filter": json.dumps([condition("string", "userId", "=", "ann")])}, [4, 1]),
    ],
    ids=str,
)
def test_the_older_list_of_observations_looks_at_what_the_store_cannot_tell(
    server: Server, parameters: dict[str, str], expected: list[int]
) -> None:
    assert numbers(asked(server, "observations", **parameters)) == expected


def test_the_current_list_of_observations_has_the_groups_of_fields_that_are_asked_for(server: Server) -> None:
    (found,) = asked(server, "v2/observations", level="ERROR", fields="usage").json["data"]

    assert {"id", "startTime", "usageDetails", "totalCost"} <= found.keys()
    assert not found.keys() & {"name", "input", "metadata", "tags"}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "edcba"),
        ({"name": "tone"}, "eba"),
        ({"operator": ">=", "value": "0.5"}, "edb"),
        ({"operator": "!=", "value": "0.5"}, "dba"),
        ({"configId": "c-1"}, "b"),
        ({"queueId": "q-1"}, "c"),
        ({"userId": "ann"}, "ca"),
        ({"traceTags": "x"}, "cba"),
        ({"traceTags": "x,y", "name": "tone"}, "a"),
        ({"source": "eval"}, "e"),
        ({"dataType": "boolean"}, "d"),
        ({"scoreIds": "a,e"}, "ea"),
        ({"filter": json.dumps([condition("stringObject", "metadata", "=", "eve", key="by")])}, "a"),
        ({"filter": json.dumps([condition("number", "value", "<", 0.5)])}, "a"),
        ({"filter": json.dumps([condition("datetime", "timestamp", ">", "2026-01-01T00:00:02Z")])}, "ed"),
    ],
    ids=str,
)
def test_each_parameter_of_a_list_of_scores_narrows_it(
    server: Server, parameters: dict[str, str], expected: str
) -> None:
    for path in ("scores", "v2/scores"):
        assert names(asked(server, path, **parameters)) == expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"dataType": "NUMERIC", "valueMin": "0.5"}, "eb"),
        ({"dataType": "numeric", "valueMin": "0.3", "valueMax": "0.6"}, "e"),
        ({"dataType": "NUMERIC", "value": "0.25,0.75"}, "ba"),
        ({"dataType": "BOOLEAN", "value": "true"}, "d"),
        ({"dataType": "BOOLEAN", "value": "false"}, ""),
        ({"dataType": "CATEGORICAL", "value": "good"}, "c"),
        ({"configId": "c-1,c-2"}, "b"),
        ({"authorUserId": "nobody"}, ""),
        ({"name": "tone,kept"}, "edba"),
    ],
    ids=str,
)
def test_each_parameter_of_the_current_list_of_scores_narrows_it(
    server: Server, parameters: dict[str, str], expected: str
) -> None:
    assert names(asked(server, "v3/scores", **parameters)) == expected


def test_pages_of_scores_that_are_looked_at_hold_everything_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everyspan.web.langfuse.score_lists._MOST_LOOKED_AT", 2)
    seen, cursor, pages = "", dict[str, str](), 0

    while cursor or not pages:
        page = asked(server, "v3/scores", dataType="NUMERIC", valueMin="0.3", limit=1, **cursor)
        seen += names(page)
        cursor = {"cursor": page.json["meta"]["cursor"]} if "cursor" in page.json["meta"] else {}
        pages += 1

    assert (seen, pages <= 5) == ("eb", True)


def test_a_score_tells_of_its_trace_unless_that_is_left_out(server: Server) -> None:
    with_trace, without = (
        asked(server, "v2/scores", scoreIds="a", **more).json["data"][0]
        for more in (dict[str, str](), {"fields": "score"})
    )
    (current,) = asked(server, "v3/scores", id="a", fields="details").json["data"]

    assert with_trace["trace"] == {
        "userId": "ann",
        "tags": ["x", "y"],
        "environment": "default",
        "sessionId": "s-1",
    }
    assert "trace" not in without
    assert (current["metadata"], current.keys() & {"subject", "authorUserId"}) == ({"by": "eve"}, set())


@pytest.mark.parametrize(
    ("path", "parameters", "named"),
    [
        ("traces", {"colour": "red"}, "colour"),
        ("traces", {"orderBy": "cost.desc"}, "orderBy"),
        ("traces", {"orderBy": "name"}, "orderBy"),
        ("traces", {"fields": "core,all"}, "fields"),
        ("traces", {"filter": "x"}, "filter"),
        ("traces", {"filter": json.dumps([condition("string", "inputCost", "=", "1")])}, "inputCost"),
        ("traces", {"filter": json.dumps([condition("booleanObject", "score_booleans", "=", True)])}, "key"),
        ("traces", {"filter": json.dumps([condition("string", "totalCost", "=", "1")])}, "totalCost"),
        ("traces", {"filter": json.dumps([condition("datetime", "name", ">", "2026-01-01")])}, "name"),
        ("traces", {"filter": json.dumps([condition("string", "tags", "contains", "x")])}, "tags"),
        ("traces", {"fromTimestamp": "soon"}, "fromTimestamp"),
        (f"traces/{1:032x}", {"fields": "everything"}, "fields"),
        ("sessions", {"userId": "ann"}, "userId"),
        ("observations", {"sessionId": "s-1"}, "sessionId"),
        (
            "observations",
            {"filter": json.dumps([condition("arrayOptions", "level", "all of", ["x"])])},
            "tags",
        ),
        ("v2/observations", {"traceid": "x"}, "traceid"),
        ("v2/observations", {"fields": "cost"}, "fields"),
        ("scores", {"datasetRunId": "x"}, "datasetRunId"),
        ("scores", {"operator": ">"}, "operator"),
        ("scores", {"operator": "~", "value": "1"}, "operator"),
        ("v2/scores", {"operator": ">", "value": "much"}, "value"),
        ("v3/scores", {"experimentId": "x"}, "experimentId"),
        ("v3/scores", {"valueMin": "1"}, "valueMin"),
        ("v3/scores", {"value": "1"}, "value"),
        ("v3/scores", {"dataType": "BOOLEAN", "value": "1"}, "value"),
        ("v3/scores", {"fields": "comment"}, "fields"),
    ],
    ids=str,
)
def test_what_cannot_be_answered_is_named_and_never_ignored(
    server: Server, path: str, parameters: dict[str, str], named: str
) -> None:
    answer = asked(server, path, **parameters)

    assert answer.status == 400
    assert named in answer.json["message"]


@pytest.mark.parametrize(
    ("limit", "path", "parameters"),
    [
        ("trace_search._MOST_LOOKED_AT", "traces", {"orderBy": "name.asc"}),
        ("trace_search._MOST_READ", "traces", {"release": "r1"}),
        ("traces._MOST_SESSIONS", "sessions", {}),
        ("observations._MOST_LOOKED_AT", "observations", {"level": "ERROR"}),
        ("score_lists._MOST_LOOKED_AT", "scores", {"queueId": "q-1"}),
    ],
)
def test_more_than_one_request_looks_at_is_told_and_not_left_out(
    server: Server, monkeypatch: pytest.MonkeyPatch, limit: str, path: str, parameters: dict[str, str]
) -> None:
    monkeypatch.setattr(f"everyspan.web.langfuse.{limit}", 1)

    answer = asked(server, path, **parameters)

    assert answer.status == 400
    assert "narrow" in answer.json["message"]
