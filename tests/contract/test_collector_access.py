"""Who may send and read what, over real sockets."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from everyspan.errors import SettingsError, StoreError
from everyspan.server import Options, running, serve
from tests.collector_requests import TRACE_ID, body, generation, get, post, settled

READS = [
    "/",
    "/static/js/app.js",
    "/api/v1/health",
    "/api/v1/traces",
    f"/api/v1/traces/{TRACE_ID}",
    "/api/v1/costs",
    "/api/v1/completeness",
    "/api/public/projects",
    "/api/public/v2/observations",
]
WRITES = ["/v1/traces", "/api/public/otel/v1/traces", "/api/public/otel/v1/metrics"]
KEYS = ("pk-a:sk-a", "pk-b:sk-b")


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_with_keys_nothing_is_served_or_taken_without_the_right_one(tmp_path: Path) -> None:
    with running(tmp_path, keys=KEYS) as server:
        for wrong in ("", basic("pk-a:sk-b"), "Bearer pk-a", "Bearer "):
            for path in READS:
                answer = get(server.url + path, Authorization=wrong)
                assert (answer.status, path) == (401, path)
                assert answer.json["message"]
            for path in WRITES:
                answer = post(server.url + path, body(generation()), authorization=wrong)
                assert (answer.status, path) == (401, path)
        assert get(f"{server.url}/api/public/health").status == 200
        assert get(f"{server.url}/api/v1/traces", Authorization="Bearer sk-a").json["traces"] == []


def test_a_key_reads_its_own_project_and_nothing_of_another(tmp_path: Path) -> None:
    with running(tmp_path, keys=KEYS) as server:
        sent = body(generation(1, **{"input.value": "canary of a", "user.id": "canary of a"}))
        post(f"{server.url}/v1/traces", sent, authorization=basic("pk-a:sk-a"))
        settled(server.url, Authorization="Bearer sk-a")

        mine = get(f"{server.url}/api/v1/traces/{TRACE_ID}", Authorization="Bearer sk-a")
        others = [
            get(f"{server.url}{path}{question}", Authorization="Bearer sk-b")
            for path in READS
            for question in ("", "?project=pk-a")
        ]

    assert mine.json["spans"][0]["input"] == "canary of a"
    assert not any(b"canary" in answer.body for answer in others)
    assert {answer.status for answer in others} <= {200, 400, 404}


def test_projects_answers_with_the_project_of_the_key(tmp_path: Path) -> None:
    with running(tmp_path, keys=KEYS) as server:
        (project,) = get(f"{server.url}/api/public/projects", Authorization=basic("pk-b:sk-b")).json["data"]

    assert project["id"] == project["name"] == "pk-b"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""])
def test_without_keys_a_foreign_name_for_this_machine_reads_nothing(tmp_path: Path, host: str) -> None:
    with running(tmp_path) as server:
        assert [get(server.url + path, Host=host).status for path in READS] == [421] * len(READS)
        assert get(f"{server.url}/api/v1/traces", Host="localhost:1234").status == 200


def test_every_page_and_answer_forbids_what_it_does_not_need(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        for path in (*READS, "/nowhere", "/static/../server.py"):
            headers = get(server.url + path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_without_keys_only_this_machine_is_served(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="--key"):
        serve(Options(data_dir=tmp_path, host=host, port=0))


def test_a_second_server_on_the_same_directory_is_told_who_has_it(tmp_path: Path) -> None:
    with running(tmp_path), pytest.raises(StoreError, match="in use by the server with process id"):
        serve(Options(data_dir=tmp_path, port=0))

    with running(tmp_path) as again:
        assert get(f"{again.url}/api/v1/health").status == 200


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with running(tmp_path / "one") as server:
        port = int(server.url.rpartition(":")[2])

        with pytest.raises(SettingsError, match=f"port {port}"), running(tmp_path / "two", port=port):
            pass


@pytest.mark.parametrize(
    "question",
    [
        "traces?limit=x",
        "traces?limit=-1",
        "traces?limit=99999",
        "traces?before=x",
        "traces?errors=maybe",
        "traces?since_ns=1e9",
        f"traces/{TRACE_ID}?bodies=2",
        "costs?by=colour",
        "completeness?nothing=1",
    ],
)
def test_a_question_that_means_nothing_is_an_error_and_not_another_question(
    tmp_path: Path, question: str
) -> None:
    with running(tmp_path) as server:
        answer = get(f"{server.url}/api/v1/{question}")

    assert answer.status == 400
    assert answer.json["error"] == answer.json["message"] != ""


def test_what_is_not_there_is_a_404_in_json(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        trace = get(f"{server.url}/api/v1/traces/{'0' * 32}")
        prompt = get(f"{server.url}/api/public/v2/prompts/p")

    assert (trace.status, prompt.status) == (404, 404)
    assert prompt.json["error"] == "LangfuseNotFoundError"
