"""Jaeger's five GETs, read as Grafana's Jaeger data source and Jaeger's UI read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from everyspan.server import Server, running
from tests.browsing import deliver
from tests.collector_requests import START_NS, body, generation, get, post, settled
from tests.web_traces import WRITER, Story, afternoon

NOON_MS = 1_790_000_000_000.0
TAG = {"key": str, "type": str, "value": object}
SPAN = {
    "traceID": str,
    "spanID": str,
    "processID": str,
    "operationName": str,
    "startTime": int,
    "duration": int,
    "flags": int,
    "logs": [{"timestamp": int, "fields": [TAG]}],
    "references": [{"refType": str, "traceID": str, "spanID": str}],
    "tags": [TAG],
    "warnings": ([str], None),
}
TRACE = {"traceID": str, "spans": [SPAN], "processes": dict, "warnings": ([str], None)}
"""What Grafana's Go structs and Jaeger UI's types take: a whole number is no float, a list is never null."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("desk")) as server:
        story = Story(7, service="support/desk")
        list(afternoon(story, until_ms=NOON_MS, hours=30, tickets=12))
        deliver(server, story.frames(closed=True), writer=WRITER, spooled_to=story.seq)
        yield server


def ask(desk: Server, path: str, **said: str) -> Any:
    answer = get(f"{desk.url}{path}?{urlencode(said)}" if said else f"{desk.url}{path}")
    assert answer.status == 200, answer.body
    assert {name: answer.json[name] for name in ("limit", "offset", "errors")} == {
        "limit": 0,
        "offset": 0,
        "errors": None,
    }
    assert answer.json["total"] == len(answer.json["data"])
    return answer.json["data"]


def fits(said: Any, shape: Any, where: str = "data") -> None:
    """Fail where a value is not of its shape, or a field is there that nobody would read."""
    if isinstance(shape, tuple):
        shape = shape[0] if said is not None else None
    if isinstance(shape, dict):
        assert set(said) == set(shape), where
        for name, each in shape.items():
            fits(said[name], each, f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(said, list), where
        for item in said:
            fits(item, shape[0], f"{where}[]")
    elif shape is None:
        assert said is None, where
    else:
        assert isinstance(said, shape), where
        assert shape is object or type(said) is shape, where


def test_services_and_operations_are_found_also_when_a_name_holds_a_slash(desk: Server) -> None:
    (service,) = ask(desk, "/api/services")

    operations = ask(desk, f"/api/services/{quote(service, safe='')}/operations")

    assert service == "support/desk"
    assert operations == ["answer_ticket", "batch_operation"]
    assert operations == ask(desk, f"/api/services/{service}/operations")
    assert ask(desk, "/api/operations", service=service, spanKind="server") == [
        {"name": name, "spanKind": "internal"} for name in operations
    ]


def test_a_search_as_jaegers_page_sends_it_answers_whole_traces(desk: Server) -> None:
    said = {"service": "support/desk", "operation": "answer_ticket", "limit": "3", "lookback": "2d"}
    start, end = int((NOON_MS - 86_400_000) * 1000), int(NOON_MS * 1000)

    found = ask(desk, "/api/traces", **said, start=str(start), end=str(end), minDuration="", maxDuration="")

    assert len(found) == 3
    for trace in found:
        fits(trace, TRACE)
        for process in trace["processes"].values():
            fits(process, {"serviceName": str, "tags": [TAG]})
        spans = {span["spanID"]: span for span in trace["spans"]}
        assert {span["processID"] for span in spans.values()} <= set(trace["processes"])
        assert [span["operationName"] for span in spans.values() if not span["references"]] == [
            "answer_ticket"
        ]
        assert all(
            reference["spanID"] in spans for span in spans.values() for reference in span["references"]
        )
        assert all(start <= span["startTime"] <= end + 10**7 for span in spans.values())


def test_a_trace_is_opened_by_an_id_without_leading_zeros_and_with_what_grafana_adds(desk: Server) -> None:
    (trace_id,) = {trace["traceID"] for trace in ask(desk, "/api/traces", operation="batch_operation")}

    (one,) = ask(desk, f"/api/traces/{trace_id.lstrip('0')}", start="1", end="2")
    (raw,) = ask(desk, f"/api/traces/{trace_id}", raw="true", prettyPrint="true")

    assert one == raw
    assert one["traceID"] == trace_id
    costs = [tag for span in one["spans"] for tag in span["tags"] if tag["key"] == "everyspan.cost.total"]
    assert len(costs) == 3
    assert {tag["type"] for tag in costs} == {"string"}
    assert one["processes"]["p1"]["tags"] == [
        {"key": "deployment.environment.name", "type": "string", "value": "production"}
    ]


def test_events_are_logs_and_a_parent_that_never_came_is_a_warning(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sent = generation(1)
    sent.parent_span_id = b"12345678"
    event = sent.events.add(name="exception", time_unix_nano=START_NS + 1500)
    event.attributes.add(key="exception.message").value.string_value = "overloaded"

    with running(tmp_path_factory.mktemp("events")) as server:
        post(f"{server.url}/v1/traces", body(sent))
        settled(server.url)
        (trace,) = ask(server, "/api/traces")

    (span,) = trace["spans"]
    fits(trace, TRACE)
    assert span["warnings"] == ["parent 3132333435363738 has not arrived"]
    assert span["logs"] == [
        {
            "timestamp": (START_NS + 1500) // 1000,
            "fields": [
                {"key": "event", "type": "string", "value": "exception"},
                {"key": "exception.message", "type": "string", "value": "overloaded"},
            ],
        }
    ]


def test_a_search_narrows_by_tags_and_both_bounds_of_duration(desk: Server) -> None:
    def found(**said: str) -> list[str]:
        return [each["traceID"] for each in ask(desk, "/api/traces", **said)]

    everything = found()
    failed = found(tags=json.dumps({"error": "true"}))
    slow, quick = found(minDuration="4s"), found(maxDuration="3999.999999ms")

    assert 0 < len(failed) < len(everything)
    assert sorted(slow + quick) == sorted(everything)
    assert slow
    assert quick


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/api/traces/0af7", 404, "no trace"),
        ("/api/traces?tags=%7B%22colour%22%3A%22red%22%7D", 400, "can not be searched"),
        ("/api/traces?maxDuration=soon", 400, "maxDuration"),
    ],
)
def test_errors_have_jaegers_shape(desk: Server, path: str, status: int, word: str) -> None:
    answer = get(f"{desk.url}{path}")

    (error,) = answer.json["errors"]
    assert answer.status == status
    assert error["code"] == status
    assert word in error["msg"]
    assert answer.json["data"] is None
