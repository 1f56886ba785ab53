"""Attacks that are worth an own test each, over real sockets: forged requests, bodies that grow, answers that run."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.collector.json_shape import check_values
from everyspan.errors import CollectorError
from everyspan.server import Server, running
from tests.collector_requests import TRACE_ID, Answer, body, exchange, generation, get, post, settled

SCORE = {"id": "s", "name": "n", "value": 1, "traceId": TRACE_ID}
WRITES = [
    ("POST", "/v1/traces", "text/plain"),
    ("POST", "/api/public/otel/v1/traces", "application/x-protobuf"),
    ("POST", "/api/public/ingestion", "text/plain"),
    ("POST", "/api/public/scores", "application/x-www-form-urlencoded"),
    ("DELETE", "/api/public/scores/s", "text/plain"),
    ("DELETE", f"/api/public/traces/{TRACE_ID}", "text/plain"),
    ("POST", "/api/public/media", "text/plain"),
    ("PATCH", "/api/public/media/x", "text/plain"),
]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "{own}"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("data")) as opened:
        yield opened


def sent(server: Server, method: str, path: str, kind: str, **headers: str) -> Answer:
    said = {name: value.replace("{own}", server.url) for name, value in headers.items()}
    content = b"" if method == "DELETE" else json.dumps(SCORE).encode()
    url = server.url + path
    return exchange(
        urllib.request.Request(url, data=content, method=method, headers={"content-type": kind, **said})
    )


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_page_of_another_origin_changes_nothing(server: Server, headers: dict[str, str]) -> None:
    sent(server, "POST", "/api/public/scores", "application/json")

    answers = [sent(server, *write, **headers) for write in WRITES]

    assert [answer.status for answer in answers] == [403] * len(WRITES)
    assert get(f"{server.url}/api/public/scores/s").status == 200


def test_our_own_page_and_programs_may_write(server: Server) -> None:
    own = [{"Origin": server.url, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}]

    answers = [sent(server, "POST", "/api/public/scores", "application/json", **each) for each in own]

    assert [answer.status for answer in answers] == [200, 200, 200]


def test_nobody_is_told_that_he_may_read_across_origins(server: Server) -> None:
    asked = urllib.request.Request(
        f"{server.url}/api/v1/traces",
        method="OPTIONS",
        headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"},
    )

    for answer in (exchange(asked), get(f"{server.url}/api/v1/traces", Origin="https://evil.example")):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_text_that_is_a_script_leaves_as_data_and_never_as_a_page(server: Server) -> None:
    hostile = "</script><script>alert(1)</script>\u2028"
    post(f"{server.url}/v1/traces", body(generation(1, **{"input.value": hostile, "user.id": hostile})))
    settled(server.url)

    for path in (
        f"/api/v1/traces/{TRACE_ID}",
        "/api/v1/traces",
        "/api/v1/groups?by=user",
        f"/api/public/traces/{TRACE_ID}",
        "/api/public/v2/observations",
        "/api/public/sessions/%3Cscript%3Ealert(1)%3C/script%3E",
        "/api/public/nothing/%3Cscript%3E",
        "/api/v1/traces?%3Cscript%3E=1",
        f"/api/traces/{TRACE_ID}",
    ):
        answer = get(server.url + path)
        assert answer.headers["content-type"].startswith("application/json"), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        json.loads(answer.body)


GROWING = [b"[" + b"[]," * 1_000_000 + b"[]]", b"{" + b'"a":{},' * 600_000 + b'"a":1}', b"[" * 1_500_000]


@pytest.mark.parametrize("content", GROWING, ids=["lists", "objects", "deep"])
@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/ingestion", "/api/public/scores"])
def test_a_body_that_would_grow_into_too_many_objects_is_never_parsed(
    server: Server, path: str, content: bytes
) -> None:
    answer = post(server.url + path, content, "application/json")

    assert answer.status == 413
    assert "values" in answer.message


@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/ingestion", "/api/public/scores"])
def test_json_that_nests_deeper_than_it_can_be_read_is_refused(server: Server, path: str) -> None:
    answer = post(
        server.url + path, b'{"batch":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "application/json"
    )

    assert answer.status == 400


def test_marks_inside_texts_are_no_values() -> None:
    prompt = json.dumps({"input": 'a, b: [c] {d} "quoted" \\ ' * 1000}).encode()

    check_values(prompt, most=10)
    with pytest.raises(CollectorError, match="limit is 10"):
        check_values(b"[1,2,3,4,5,6,7,8,9,10,11,12]", most=10)


@pytest.mark.parametrize("piece", [b'"\\"', b"\\", b'"', b'"\\\\', b'\\"'])
def test_looking_at_a_body_takes_time_by_its_length_only(piece: bytes) -> None:
    body_bytes = b"," * 11 + piece * (1 << 20)

    with pytest.raises(CollectorError):
        check_values(body_bytes, most=10)  # quadratic, this would outlast the test's time limit


def test_a_span_of_nothing_but_empty_attributes_is_refused_alone(tmp_path: Path) -> None:
    crowded = generation(2)
    for _ in range(300_000):
        crowded.attributes.add()
    with running(tmp_path) as own:
        answer = post(f"{own.url}/v1/traces", body(generation(1), crowded))
        health = settled(own.url)

    assert answer.partial_success[0] == 1
    assert health["stored_spans"] == 1
