"""Keys that `everyspan keys` hands out: on the command line, in their file, and at the door for gRPC."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from everyspan.cli.keys import keys as keys_command
from everyspan.clock import now_ns
from everyspan.collector.issued import FILE, KeyFile, Scope
from everyspan.collector.otlp_grpc import METHOD
from everyspan.errors import SettingsError
from everyspan.server import running
from tests.collector_requests import body, generation, get, post, settled, span

REFUSED = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}


def test_the_door_for_grpc_takes_no_key_that_does_not_fit(tmp_path: Path) -> None:
    file, both = KeyFile(tmp_path), [Scope.INGEST, Scope.READ]
    _, expired = file.create(project="a", scopes=both, expires_ns=now_ns())
    revoked_key, revoked = file.create(project="a", scopes=both)
    file.revoke(revoked_key.public)
    _, only_read = file.create(project="a", scopes=[Scope.READ])
    _, only_admin = file.create(project="a", scopes=[Scope.ADMIN])
    wrong = {
        **dict.fromkeys(("", "sk-es-nobody", revoked_key.public, expired, revoked), 401),
        **dict.fromkeys((only_read, only_admin), 403),
    }

    with running(tmp_path, grpc_port=0) as server, grpc.insecure_channel(server.grpc_address) as channel:
        for secret, status in wrong.items():
            metadata = (("authorization", f"Bearer {secret}"),)
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(METHOD)(body(span()), metadata=metadata, timeout=20)
            assert refused.value.code() is REFUSED[status]


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_that_root_makes_can_be_read_by_the_server_whose_directory_it_is(tmp_path: Path) -> None:
    os.chown(tmp_path, 10001, 10002)

    KeyFile(tmp_path).create(project="shop", scopes=[Scope.READ])

    owners = {(file.name, file.stat().st_uid, file.stat().st_gid) for file in tmp_path.iterdir()}
    assert owners == {(FILE, 10001, 10002), ("keys.lock", 10001, 10002)}


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


LANGFUSE_2 = json.dumps(
    {
        "batch": [
            {
                "id": "event",
                "type": "generation-create",
                "timestamp": "2026-11-22T12:00:00Z",
                "body": {
                    "id": "call",
                    "traceId": "trace",
                    "startTime": "2026-11-22T12:00:00Z",
                    "model": "gpt-4o",
                },
            }
        ]
    }
).encode()


def test_costs_are_told_by_the_key_that_calls_came_with(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    shop, shop_secret = file.create(project="a", scopes=[Scope.INGEST])
    desk, desk_secret = file.create(project="a", scopes=[Scope.INGEST, Scope.READ])
    first, second, third = generation(1), generation(2), generation(3)
    with running(tmp_path, grpc_port=0) as server, grpc.insecure_channel(server.grpc_address) as channel:
        post(f"{server.url}/v1/traces", body(first), Authorization=f"Bearer {shop_secret}")
        sent = channel.unary_unary(METHOD)
        sent(body(second), metadata=[("authorization", f"Bearer {shop_secret}")], timeout=20)
        post(f"{server.url}/v1/traces", body(third, first), Authorization=f"Bearer {desk_secret}")
        post(
            f"{server.url}/api/public/ingestion",
            LANGFUSE_2,
            "application/json",
            Authorization=f"Bearer {desk_secret}",
        )
        settled(server.url, Authorization=f"Bearer {desk_secret}")

        by_key = get(f"{server.url}/api/v1/costs?by=key_id", Authorization=f"Bearer {desk_secret}").json
        narrowed = f"{server.url}/api/v1/costs?by=model&key_id={shop.public}"
        of_shop = get(narrowed, Authorization=f"Bearer {desk_secret}").json

    # What came before with another key stays with that one.
    assert {each["value"]: each["calls"] for each in by_key["groups"]} == {shop.public: 2, desk.public: 2}
    assert of_shop["total"]["calls"] == 2
