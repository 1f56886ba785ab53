"""Every door and every route, for every kind of key that is not the right one."""

from __future__ import annotations

import base64
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from starlette.routing import Route

from everyspan.cli.keys import keys as keys_command
from everyspan.clock import now_ns
from everyspan.collector.issued import FILE, KeyFile, Scope
from everyspan.collector.otlp_grpc import METHOD
from everyspan.errors import SettingsError
from everyspan.server import Server, running
from everyspan.web import langfuse
from everyspan.web.guard import OPEN_PATHS
from tests.collector_requests import body, exchange, get, post, span

TAKING = ("/v1/traces", "/api/public/otel/v1/traces", "/api/public/otel/v1/metrics")
OWN = ("/", "/api/v1/health", "/api/v1/traces", "/api/v1/costs", "/api/v1/completeness", "/api/v1/traces/x")


@dataclass
class Wrong:
    """A key that does not fit, and the status that says so."""

    secret: str
    read: int
    write: int
    admin: int = 403


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Wrong]]]:
    directory = tmp_path_factory.mktemp("keys")
    file = KeyFile(directory)
    both = [Scope.INGEST, Scope.READ]
    _, expired = file.create(project="a", scopes=both, expires_ns=now_ns())
    revoked_key, revoked = file.create(project="a", scopes=both)
    file.revoke(revoked_key.public)
    _, only_read = file.create(project="a", scopes=[Scope.READ])
    _, only_ingest = file.create(project="a", scopes=[Scope.INGEST])
    _, only_admin = file.create(project="a", scopes=[Scope.ADMIN])
    wrong = {
        "none": Wrong("", 401, 401, 401),
        "unknown": Wrong("sk-es-nobody", 401, 401, 401),
        "public half": Wrong(revoked_key.public, 401, 401, 401),
        "expired": Wrong(expired, 401, 401, 401),
        "revoked": Wrong(revoked, 401, 401, 401),
        "for reading": Wrong(only_read, 0, 403),
        "for sending": Wrong(only_ingest, 403, 0),
        "for deleting": Wrong(only_admin, 403, 403, 0),
    }
    with running(directory, grpc_port=0) as server:
        yield server, wrong


def routes(server: Server) -> list[Route]:
    signed = ("/api/public/media/{id}/upload", "/api/public/media/{id}/content")
    return [route for route in langfuse.routes(server.store) if route.path not in OPEN_PATHS | set(signed)]


KINDS = ["none", "unknown", "public half", "expired", "revoked", "for reading", "for sending", "for deleting"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_route_answers_a_key_that_does_not_fit(opened: tuple[Server, dict[str, Wrong]], kind: str) -> None:
    server, keys = opened
    key = keys[kind]
    header = f"Bearer {key.secret}"

    for route in routes(server):
        path = route.path.replace("{rest:path}", "nothing")
        for method in sorted((route.methods or set()) - {"HEAD"}):
            expected = {"GET": key.read, "DELETE": key.admin}.get(method, key.write)
            headers = {"Authorization": header, "content-type": "application/json"}
            content = None if method in ("GET", "DELETE") else b"{}"
            answer = exchange(
                urllib.request.Request(server.url + path, data=content, method=method, headers=headers)
            )
            assert expected == 0 or answer.status == expected, (method, path, answer.status)
            assert expected != 0 or answer.status not in (401, 403), (method, path, answer.status)
    for path in OWN:
        answer = get(server.url + path, Authorization=header)
        assert answer.status == key.read or (key.read == 0 and answer.status in (200, 404)), path
    assert get(f"{server.url}/metrics", Authorization=header).status == (key.admin or 200)
    for path in TAKING:
        answer = post(server.url + path, body(span()), authorization=header)
        assert answer.status == (key.write or 200), path


@pytest.mark.parametrize("kind", [each for each in KINDS if each != "for sending"])
def test_the_door_for_grpc_is_as_closed(opened: tuple[Server, dict[str, Wrong]], kind: str) -> None:
    server, keys = opened
    metadata = (("authorization", f"Bearer {keys[kind].secret}"),)

    with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(METHOD)(body(span()), metadata=metadata, timeout=20)

    codes = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}
    assert refused.value.code() is codes[keys[kind].write]


def test_a_key_made_on_the_command_line_opens_a_running_server_until_it_is_revoked(tmp_path: Path) -> None:
    file, run = KeyFile(tmp_path), CliRunner()
    file.create(project="other", scopes=[Scope.READ])
    with running(tmp_path) as server:
        made = run.invoke(keys_command, ["create", "--data-dir", str(tmp_path), "--project", "a"])
        words = dict(line.split(maxsplit=1) for line in made.stdout.splitlines()[:2])
        pair = base64.b64encode(f"{words['public']}:{words['secret']}".encode()).decode()

        before = get(f"{server.url}/api/public/projects", Authorization=f"Basic {pair}")
        run.invoke(keys_command, ["revoke", "--data-dir", str(tmp_path), words["public"]])
        after = get(f"{server.url}/api/public/projects", Authorization=f"Basic {pair}")
        listed = run.invoke(keys_command, ["list", "--data-dir", str(tmp_path)])

    assert before.json["data"][0]["id"] == "a"
    assert (after.status, after.json["message"]) == (401, f"the key {words['public']} was revoked")
    assert words["secret"] not in listed.stdout + (tmp_path / FILE).read_text()
    assert "revoked" in listed.stdout


def test_revoking_the_last_key_does_not_open_the_server_to_everybody(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    made, _ = file.create(project="a", scopes=[Scope.READ])
    file.revoke(made.public)

    with running(tmp_path) as server:
        assert get(f"{server.url}/api/v1/traces").status == 401
        (tmp_path / FILE).unlink()
        assert get(f"{server.url}/api/v1/traces").status == 401


def test_keys_that_cannot_be_read_stop_a_server_from_starting_and_not_one_that_runs(tmp_path: Path) -> None:
    _, secret = KeyFile(tmp_path).create(project="a", scopes=[Scope.READ])

    with running(tmp_path) as server:
        assert get(f"{server.url}/api/v1/traces", Authorization=f"Bearer {secret}").status == 200
        (tmp_path / FILE).write_text("[{")
        assert get(f"{server.url}/api/v1/traces", Authorization=f"Bearer {secret}").status == 200
        assert get(f"{server.url}/api/v1/traces").status == 401
    with pytest.raises(SettingsError, match=FILE), running(tmp_path):
        pass


@pytest.mark.parametrize("said", ["soon", "10", "1y", "-1d"])
def test_an_end_that_is_no_time_is_refused(tmp_path: Path, said: str) -> None:
    made = CliRunner().invoke(
        keys_command, ["create", "--data-dir", str(tmp_path), "--project", "a", "--expires", said]
    )

    assert isinstance(made.exception, SettingsError)
    assert not (tmp_path / FILE).exists()
