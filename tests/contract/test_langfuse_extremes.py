"""What JSON allows and nothing else can bear: numbers without end, and nesting without end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.query.otlp import otlp_request
from everyspan.server import Server, running
from everyspan.web.as_json import as_json, parsed
from tests.collector_requests import Answer, get, post
from tests.store_rows import call

TIME = "2026-01-01T00:00:00Z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as opened:
        yield opened


def sent(server: Server, path: str, said: str) -> Answer:
    return post(f"{server.url}/api/public/{path}", said.encode(), "application/json")


def nested(levels: int) -> Any:
    found: Any = 1
    for _ in range(levels):
        found = [found]
    return found


def event(name: str, kind: str, body: str) -> str:
    return f'{{"id":"{name}","type":"{kind}","timestamp":"{TIME}","body":{body}}}'


def test_a_number_of_any_length_costs_its_own_score_and_no_other(server: Server) -> None:
    huge = '{"name":"n","traceId":"x","value":1' + "0" * 400 + "}"
    good = '{"name":"n","traceId":"x","value":1}'

    alone = sent(server, "scores", huge)
    in_a_list = sent(server, "scores", f"[{huge},{good}]")
    in_a_batch = sent(
        server,
        "ingestion",
        f'{{"batch":[{event("huge", "score-create", huge)},{event("good", "score-create", good)}]}}',
    )

    assert (alone.status, in_a_list.status, in_a_batch.status) == (400, 207, 207)
    assert "NUMERIC" in alone.json["message"]
    assert (in_a_list.json["accepted"], in_a_list.json["rejected"]) == (1, 1)
    assert [each["id"] for each in in_a_batch.json["successes"]] == ["good"]


def test_what_is_nested_too_deeply_is_refused_by_itself_and_the_rest_is_kept_and_shown(
    server: Server,
) -> None:
    events = [
        event(
            f"e-{levels}",
            "trace-create",
            json.dumps({"id": f"t-{levels}", "metadata": {"a": nested(levels)}}),
        )
        for levels in (5, 90, 110, 900)
    ]

    answer = sent(server, "ingestion", f'{{"batch":[{",".join(events)}]}}')
    score = sent(
        server, "scores", json.dumps({"name": "n", "traceId": "x", "value": 1, "metadata": nested(200)})
    )

    assert [each["id"] for each in answer.json["successes"]] == ["e-5", "e-90"]
    assert {each["message"] for each in answer.json["errors"]} == {"it is nested more than 100 levels deep"}
    assert score.status == 400
    traces = get(f"{server.url}/api/v1/traces").json["traces"]
    assert len(traces) == 2
    for each in traces:
        for place in ("api/v1/traces", "api/public/traces", "api/traces", "api/v3/traces"):
            assert get(f"{server.url}/{place}/{each['trace_id']}").status == 200


def test_what_an_older_collector_kept_however_deep_is_shown_as_text() -> None:
    deep = json.dumps({"attributes": {"a": nested(900)}})
    row = call(1, "0.1", attributes=deep)

    assert parsed(deep) == deep
    assert as_json(row)["attributes"] == deep
    assert parsed("[" * 200_000) == "[" * 200_000
    assert parsed(json.dumps(nested(100))) == nested(100)
    (spans,) = otlp_request([row])["resourceSpans"][0]["scopeSpans"]
    text = json.dumps(spans["spans"][0]["attributes"])
    assert "stringValue" in text


def test_the_version_of_a_prompt_that_langfuse_2_links_is_a_number(server: Server) -> None:
    body = json.dumps({"id": "c", "traceId": "t", "promptName": "greet", "promptVersion": 3})

    sent(server, "ingestion", f'{{"batch":[{event("e", "generation-create", body)}]}}')
    (shown,) = get(f"{server.url}/api/public/v2/observations").json["data"]

    assert (shown["promptName"], shown["promptVersion"]) == ("greet", 3)
