"""Jaeger's third API, read as newer pages of Jaeger's UI read it: OTLP/JSON in `result`, times to the nanosecond."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from everyspan.server import Server, running
from tests.collector_requests import START_NS, TRACE_ID, Answer, body, generation, get, post, settled, span

OTHER_ID = f"{7:032x}"
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("desk")) as server:
        root = span(1, name="answer", attributes={"langfuse.trace.name": "answer ticket"})
        call = generation(2, **{"input.value": "hello", "user.id": "ann", "list": ["a", 1, True, 0.5]})
        call.parent_span_id = (1).to_bytes(8, "big")
        call.status.code = 2
        event = call.events.add(name="exception", time_unix_nano=START_NS + 1)
        event.attributes.add(key="exception.message").value.string_value = "overloaded"
        stray = span(3, name="stray", parent_span_id=(99).to_bytes(8, "big"))
        later = generation(4)
        later.trace_id = (7).to_bytes(16, "big")
        later.start_time_unix_nano += 60 * SECOND_NS
        later.end_time_unix_nano += 65 * SECOND_NS
        post(f"{server.url}/v1/traces", body(root, call, service="desk/1"))
        post(f"{server.url}/v1/traces", body(stray, service="tools"))
        post(f"{server.url}/v1/traces", body(later, service="batch"))
        settled(server.url)
        yield server


def ask(desk: Server, path: str, **said: str) -> Answer:
    return get(
        f"{desk.url}/api/v3/{path}?{urlencode({name.replace('__', '.'): said[name] for name in said})}"
    )


def at(start_ns: int) -> str:
    """RFC 3339 to the nanosecond."""
    return (
        f"{datetime.fromtimestamp(start_ns // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S}.{start_ns % SECOND_NS:09d}Z"
    )


def spans(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    assert answer.json.keys() == {"result"}
    return [
        each
        for resource in answer.json["result"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for each in scope["spans"]
    ]


def traces(answer: Answer) -> set[str]:
    return {each["traceId"] for each in spans(answer)} if answer.status == 200 else set()


KEPT = (
    *("span_id", "parent_id", "name", "kind", "service", "scope", "start_ns", "end_ns", "status"),
    *("provider", "model", "user", "usage", "cost", "cost_state", "input"),
)


def stored(server: Server) -> list[dict[str, Any]]:
    """The spans of the trace, as far as they say what happened."""
    found = get(f"{server.url}/api/v1/traces/{TRACE_ID}").json["spans"]
    return sorted(({name: each[name] for name in KEPT} for each in found), key=lambda each: each["span_id"])


def test_services_and_operations_have_their_own_names_and_no_wrapping(desk: Server) -> None:
    assert ask(desk, "services").json == {"services": ["batch", "desk/1", "tools"]}
    assert ask(desk, "operations", service="desk/1").json == {
        "operations": [{"name": "answer ticket", "spanKind": "internal"}]
    }
    assert ask(desk, "operations", service="desk/1", spanKind="server").json == {"operations": []}
    assert ask(desk, "operations", service="desk/1", span_kind="internal").json["operations"]


def test_a_trace_is_otlp_as_jaegers_page_checks_it(desk: Server) -> None:
    found = {each["name"]: each for each in spans(ask(desk, f"traces/{TRACE_ID}", rawTraces="true"))}

    call = found["chat gpt-4o"]
    attributes = {each["key"]: each["value"] for each in call["attributes"]}
    assert found.keys() == {"answer", "chat gpt-4o", "stray"}
    for each in found.values():
        assert re.fullmatch("[0-9a-f]{32}", each["traceId"])
        assert re.fullmatch("[0-9a-f]{16}", each["spanId"])
        assert each["startTimeUnixNano"] == str(START_NS)
        assert isinstance(each["kind"], int)
        assert all(len(pair["value"]) == 1 for pair in each["attributes"])
    assert "parentSpanId" not in found["answer"]
    assert call["parentSpanId"] == found["answer"]["spanId"]
    assert call["status"]["code"] == 2
    assert attributes["langfuse.observation.input"] == {"stringValue": "hello"}
    assert attributes["list"]["arrayValue"]["values"][1:3] == [{"intValue": "1"}, {"boolValue": True}]
    assert call["events"][0]["timeUnixNano"] == str(START_NS + 1)


def test_what_is_read_can_be_sent_to_another_collector_as_it_is(desk: Server, tmp_path: Path) -> None:
    read = ask(desk, f"traces/{TRACE_ID}").json["result"]

    with running(tmp_path) as other:
        post(f"{other.url}/v1/traces", json.dumps(read).encode(), "application/json")
        settled(other.url)
        again = stored(other)

    assert again == stored(desk)
    assert len(again) == 3


def test_a_trace_is_opened_by_an_id_without_leading_zeros(desk: Server) -> None:
    assert traces(ask(desk, "traces/7")) == {OTHER_ID} == traces(ask(desk, f"traces/{OTHER_ID.upper()}"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, [TRACE_ID, OTHER_ID]),
        ({"query__serviceName": "batch"}, [OTHER_ID]),
        ({"query__service_name": "tools"}, [TRACE_ID]),
        ({"query__operationName": "answer ticket"}, [TRACE_ID]),
        ({"query__span_name": "answer ticket"}, [TRACE_ID]),
        ({"query__attributes": json.dumps({"error": "true"})}, [TRACE_ID]),
        ({"query__attributes": json.dumps({"user.id": "ann"})}, [TRACE_ID]),
        ({"query__durationMin": "5s"}, [OTHER_ID]),
        ({"query__duration_max": "0m1.5s"}, [TRACE_ID]),
        ({"query__searchDepth": "1"}, [OTHER_ID]),
        ({"query__num_traces": "1", "query__raw_traces": "false"}, [OTHER_ID]),
        ({"query__startTimeMin": at(START_NS + 1)}, [OTHER_ID]),
        ({"query__start_time_min": at(START_NS), "query__startTimeMax": at(START_NS + 1)}, [TRACE_ID]),
        ({"query__startTimeMax": at(START_NS).replace("Z", "+00:00")}, []),
    ],
    ids=str,
)
def test_a_search_narrows_in_both_spellings(
    desk: Server, said: Mapping[str, str], expected: list[str]
) -> None:
    whole, summaries = ask(desk, "traces", **said), ask(desk, "trace-summaries", **said)

    assert traces(whole) == set(expected)
    assert {each["traceId"] for each in summaries.json["summaries"]} == set(expected)
    assert whole.status == (200 if expected else 404)


def test_a_summary_counts_spans_errors_and_those_without_their_parent_by_service(desk: Server) -> None:
    (summary,) = ask(desk, "trace-summaries", query__serviceName="tools").json["summaries"]

    assert summary == {
        "traceId": TRACE_ID,
        "rootServiceName": "desk/1",
        "rootOperationName": "answer ticket",
        "minStartTimeUnixNano": str(START_NS),
        "maxEndTimeUnixNano": str(START_NS + SECOND_NS),
        "spanCount": 3,
        "errorSpanCount": 1,
        "orphanSpanCount": 1,
        "services": [
            {"name": "desk/1", "spanCount": 2, "errorSpanCount": 1},
            {"name": "tools", "spanCount": 1, "errorSpanCount": 0},
        ],
    }


@pytest.mark.parametrize(
    ("path", "said", "status", "word"),
    [
        ("traces/0af7", {}, 404, "no trace"),
        ("traces", {"query__serviceName": "nobody"}, 404, "No traces found"),
        ("traces", {"query__filter": "{}"}, 400, "query.filter"),
        ("trace-summaries", {"query__pagination__pageSize": "5"}, 400, "pageSize"),
        ("traces", {"query__startTimeMin": "yesterday"}, 400, "query.startTimeMin"),
        ("traces", {"query__startTimeMin": "2026-13-01T00:00:00Z"}, 400, "query.startTimeMin"),
        ("traces", {"query__durationMin": "long"}, 400, "query.durationMin"),
        ("traces", {"query__searchDepth": "-1"}, 400, "searchDepth"),
        ("traces", {"query__attributes": "[]"}, 400, "query.attributes"),
        ("traces", {"query__attributes": json.dumps({"colour": "red"})}, 400, "colour"),
    ],
)
def test_errors_have_the_shape_of_jaegers_gateway(
    desk: Server, path: str, said: Mapping[str, str], status: int, word: str
) -> None:
    answer = ask(desk, path, **said)

    assert answer.status == answer.json["error"]["httpCode"] == status
    assert word in answer.json["error"]["message"]
