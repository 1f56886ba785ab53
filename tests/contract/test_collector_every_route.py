"""Every route of a running server, by every method, for every kind of key that does not fit.

The routes come from the server's own table: a new one is tried here without anybody thinking of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import quote, urlencode

import pytest
from google.rpc.status_pb2 import Status

from everyspan.clock import now_ns
from everyspan.collector.issued import KeyFile, Scope
from everyspan.collector.otlp_http import METRICS_PATHS, TRACES_PATHS
from everyspan.server import Server, running
from everyspan.web.guard import ADMIN_PATHS, OPEN_PATHS
from tests.collector_requests import PROTOBUF, TRACE_ID, body, generation, get, post, settled

CANARY = "canary-of-another-project"
SPAN_ID = f"{1:016x}"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
DOORS = (*TRACES_PATHS, *METRICS_PATHS)
NO_KEY = OPEN_PATHS | {"/api/public/media/{id}/upload", "/api/public/media/{id}/content"}
ALL = (Scope.INGEST, Scope.READ, Scope.ADMIN)


class Told(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Opened(NamedTuple):
    """A server with a project that has a canary in everything, and what leads to it."""

    server: Server
    keys: dict[str, str]
    values: dict[str, str]
    """What stands for a parameter in a path: what the canary's project really has there."""

    @property
    def paths(self) -> list[tuple[str, str]]:
        """Every route as it is declared, and filled in."""
        declared = sorted({route.path for route in self.server.routes})
        return [(path, "/".join(self._filled(path.split("/")))) for path in declared]

    def _filled(self, parts: list[str]) -> Iterator[str]:
        for before, part in zip(["", *parts], parts, strict=False):
            name = part.strip("{}").removesuffix(":path")
            # What an `id` is of, the part before it says.
            yield part if part[:1] != "{" else quote(self.values[before if name == "id" else name])


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    directory = tmp_path_factory.mktemp("keys")
    file = KeyFile(directory)
    _, owner = file.create(project=CANARY, scopes=ALL)
    _, other = file.create(project="other", scopes=ALL)
    _, expired = file.create(project=CANARY, scopes=ALL, expires_ns=now_ns())
    revoked_key, revoked = file.create(project=CANARY, scopes=ALL)
    file.revoke(revoked_key.public)
    only = {scope: file.create(project=CANARY, scopes=[scope])[1] for scope in ALL}
    keys = {
        "none": "",
        "unknown": "sk-es-nobody",
        "public half": revoked_key.public,
        "expired": expired,
        "revoked": revoked,
        **{f"only {scope}": secret for scope, secret in only.items()},
        "other": other,
        "owner": owner,
    }
    with running(directory) as server:
        yield Opened(server, keys, _filled(server, owner))


def _filled(server: Server, owner: str) -> dict[str, str]:
    """Put the canary wherever the server keeps something; returns what stands for parameters in paths."""
    said = (
        *("input.value", "output.value", "user.id", "session.id", "langfuse.trace.name", "langfuse.version"),
        *("langfuse.trace.metadata.key", "langfuse.observation.prompt.name", "langfuse.environment"),
    )
    call = generation(1, **dict.fromkeys(said, CANARY), **{"langfuse.trace.tags": [CANARY]})
    post(f"{server.url}/v1/traces", body(call, service=CANARY), authorization=f"Bearer {owner}")
    score = {"id": CANARY, "name": CANARY, "value": CANARY, "traceId": TRACE_ID, "comment": CANARY}
    content = CANARY.encode()
    media = {
        "traceId": TRACE_ID,
        "contentType": "text/plain",
        "contentLength": len(content),
        "sha256Hash": base64.b64encode(hashlib.sha256(content).digest()).decode(),
        "field": "input",
    }

    def sent(method: str, path: str, said: object) -> Told:
        told = asked(server, method, path, key=owner, said=json.dumps(said).encode())
        assert told.status < 300, (path, told.body)
        return told

    sent("POST", "/api/public/scores", score)
    sent("PUT", f"/api/v1/views/{CANARY}", {"query": f"tag={CANARY}"})
    link = json.loads(sent("POST", "/api/public/media", media).body)
    upload = link["uploadUrl"].removeprefix(server.url)
    assert asked(server, "PUT", upload, said=content).status == 200
    settled(server.url, Authorization=f"Bearer {owner}")
    trace = get(f"{server.url}/api/v1/traces/{TRACE_ID}", Authorization=f"Bearer {owner}").json
    return {
        "trace_id": TRACE_ID,
        "key": trace["spans"][0]["key"],
        "service": CANARY,
        "project": CANARY,
        "name": CANARY,
        "rest": "nothing",
        "traces": TRACE_ID,
        "observations": SPAN_ID,
        "sessions": CANARY,
        "scores": CANARY,
        "media": link["mediaId"],
    }


def asked(server: Server, method: str, path: str, *, key: str = "", said: bytes | None = None) -> Told:
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=20)) as connection:
        connection.request(method, path, body=said, headers=headers)
        answer = connection.getresponse()
        # A stream of events never ends; what it begins with is enough to know what it is.
        endless = answer.getheader("content-type", "").startswith("text/event-stream") and method == "GET"
        content = answer.read1(1000) if endless else answer.read()
        return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)


def needed(method: str, path: str) -> Scope:
    if method == "DELETE" or path in ADMIN_PATHS:
        return Scope.ADMIN
    return Scope.READ if method in ("GET", "HEAD") else Scope.INGEST


def every_request(opened: Opened) -> Iterator[tuple[str, str, str]]:
    """Method, route, and path of everything that takes a key."""
    for declared, path in (*opened.paths, ("/nowhere", "/nowhere"), ("/api/v1/x", "/api/v1/x")):
        if declared not in NO_KEY:
            yield from ((method, declared, path) for method in METHODS)


def test_the_table_of_routes_is_that_of_the_whole_server(opened: Opened) -> None:
    declared = {path for path, _ in opened.paths}

    assert len(declared) >= 50
    assert {
        *("/", "/static/{name:path}", "/metrics", "/api/v1/live", "/api/v1/traces", "/api/services"),
        *("/api/public/traces", "/api/public/media", "/api/public/ingestion", "/api/public/{rest:path}"),
    } <= declared


@pytest.mark.parametrize("kind", ["none", "unknown", "public half", "expired", "revoked"])
def test_a_key_that_opens_nothing_is_a_401_everywhere(opened: Opened, kind: str) -> None:
    for method, _, path in every_request(opened):
        told = asked(opened.server, method, path, key=opened.keys[kind], said=b"{}")

        assert told.status == 401, (method, path)
        assert told.headers["www-authenticate"].startswith("Basic realm=")
        if method != "HEAD":
            said = json.loads(told.body)
            assert said["message"] == said["error"] != ""
        assert CANARY.encode() not in told.body


@pytest.mark.parametrize("scope", ALL)
def test_a_key_for_something_else_is_a_403_everywhere(opened: Opened, scope: Scope) -> None:
    for method, declared, path in every_request(opened):
        if needed(method, declared) != scope:
            told = asked(opened.server, method, path, key=opened.keys[f"only {scope}"], said=b"{}")

            assert told.status == 403, (method, path)
            if method != "HEAD":
                assert f"not for {needed(method, declared)}" in json.loads(told.body)["message"]
            assert CANARY.encode() not in told.body


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    "kind", ["none", "unknown", "public half", "expired", "revoked", "only read", "only admin"]
)
def test_the_doors_for_spans_refuse_in_the_words_of_otlp(opened: Opened, path: str, kind: str) -> None:
    url, key = f"{opened.server.url}{path}", opened.keys[kind]
    status, code = (403, 7) if kind.startswith("only") else (401, 16)

    binary = post(url, body(generation(7)), PROTOBUF, authorization=f"Bearer {key}")
    text = post(url, b"{}", "application/json", authorization=f"Bearer {key}")

    assert (binary.status, text.status) == (status, status)
    assert Status.FromString(binary.body).code == text.json["code"] == code
    assert Status.FromString(binary.body).message == text.json["message"]
    for method in METHODS:
        assert method == "POST" or asked(opened.server, method, path, key=key).status == 405


def test_links_to_files_open_only_for_whoever_has_one_that_is_signed(opened: Opened) -> None:
    base = f"/api/public/media/{opened.values['media']}"
    theirs = json.loads(asked(opened.server, "GET", base, key=opened.keys["owner"]).body)["url"]
    link = theirs.removeprefix(opened.server.url)

    for method, path in (("PUT", f"{base}/upload"), ("GET", f"{base}/content")):
        for token in ("", "?token=", "?token=x", f"?token={'A' * 120}"):
            told = asked(opened.server, method, path + token, key=opened.keys["other"], said=b"x")
            assert (told.status, json.loads(told.body)["error"]) == (403, "Forbidden")
    # A link is for one file, for one purpose, for whoever was given it.
    assert asked(opened.server, "PUT", link.replace("/content", "/upload"), said=b"x").status == 403
    assert asked(opened.server, "GET", link.replace(opened.values["media"], "x")).status == 403
    assert asked(opened.server, "GET", link).body == CANARY.encode()


QUESTIONS: dict[str, list[dict[str, str]]] = {
    "/api/public/v2/metrics": [
        {
            "query": json.dumps(
                {"view": view, "metrics": [{"measure": "count", "aggregation": "count"}], **more}
            )
        }
        for view, field in (("observations", "userId"), ("scores-categorical", "name"), ("traces", "name"))
        for more in ({"dimensions": [{"field": field}]},)
    ],
    "/api/traces": [{"service": CANARY}, {"traceID": TRACE_ID}],
    "/api/operations": [{"service": CANARY}],
    "/api/v1/groups": [{"by": "session"}],
}


def questions(declared: str) -> list[str]:
    """What to ask a place: nothing in particular, what it needs, and by name what is not the asker's."""
    asked_for = QUESTIONS.get(declared, [])
    return ["", *(f"?{urlencode(each)}" for each in asked_for), f"?{urlencode({'project': CANARY})}"]


def everything_read(opened: Opened, key: str) -> Iterator[tuple[str, Told]]:
    for method, declared, path in every_request(opened):
        if method == "GET":
            for question in questions(declared):
                yield f"{path}{question}", asked(opened.server, method, path + question, key=key)


def leaks(told: Told, path: str) -> bool:
    """Whether the canary is in an answer otherwise than by repeating the question."""
    said = told.body
    for value in (path, re.sub(r"^.*[/=]", "", path)):
        said = said.replace(value.encode(), b"")
    return CANARY.encode() in said


def test_what_another_project_has_is_nowhere_to_be_read_or_changed(opened: Opened) -> None:
    before = dict(everything_read(opened, opened.keys["owner"]))
    theirs = dict(everything_read(opened, opened.keys["other"]))
    attempt = json.dumps(
        {"traceIds": [TRACE_ID], "query": "x=y", "uploadHttpStatus": 500, "batch": []}
    ).encode()
    attempts = {
        f"{method} {path}": asked(opened.server, method, path, key=opened.keys["other"], said=attempt)
        for method, _, path in every_request(opened)
        if method not in ("GET", "HEAD")
    }
    after = dict(everything_read(opened, opened.keys["owner"]))

    for path, told in {**theirs, **attempts}.items():
        assert told.status in (200, 204, 207, 302, 400, 404, 405), (path, told.status)
        assert not leaks(told, path), path
    shown = [path for path, told in before.items() if leaks(told, path)]
    assert len(shown) >= 25, shown
    assert [path for path in shown if not leaks(after[path], path)] == []
    for path in (f"/api/public/scores/{CANARY}", f"/api/v1/traces/{TRACE_ID}"):
        assert after[path].body == before[path].body


def test_what_is_not_there_is_said_in_the_one_shape(opened: Opened) -> None:
    nowhere = asked(opened.server, "GET", "/api/v1/nothing", key=opened.keys["owner"])
    no_such_method = asked(opened.server, "PATCH", "/api/v1/traces", key=opened.keys["owner"], said=b"{}")

    assert (nowhere.status, no_such_method.status) == (404, 405)
    assert sorted(no_such_method.headers["allow"].split(", ")) == ["GET", "HEAD"]
    for told in (nowhere, no_such_method):
        said = json.loads(told.body)
        assert said["message"] == said["error"] != ""


def test_asking_for_the_head_of_the_stream_of_events_has_an_end(opened: Opened) -> None:
    host, port = opened.server.url.removeprefix("http://").split(":")
    request = (
        f"HEAD /api/v1/live HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {opened.keys['owner']}\r\n"
    )

    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"{request}Connection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: connection.recv(4096), b""))

    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"text/event-stream" in said
