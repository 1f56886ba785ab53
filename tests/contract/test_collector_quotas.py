"""What one key may use up, and what it is told then: over HTTP, over gRPC, and on the page of figures."""

from __future__ import annotations

import errno
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from everyspan.cli.keys import keys as keys_command
from everyspan.collector.issued import Issued, KeyFile, Scope
from everyspan.collector.otlp_grpc import METHOD
from everyspan.collector.quotas import Quotas
from everyspan.errors import CollectorError, SettingsError
from everyspan.server import running
from tests.collector_kills import ServerProcess
from tests.collector_requests import body, generation, get, post, settled, span

SECOND_NS = 10**9
BOTH = [Scope.INGEST, Scope.READ]


def key(**limits: int | None) -> Issued:
    return Issued(public="pk", digest="", project="a", scopes=(), created_ns=0, **limits)


def test_requests_come_back_with_time_and_never_more_than_a_minutes_worth() -> None:
    clock, told = [0], list[tuple[int, int]]()
    quotas, limited = Quotas(now=lambda: clock[0]), key(requests_per_minute=3)

    def taken() -> int:
        count = 0
        while True:
            try:
                quotas.request(limited)
            except CollectorError as refused:
                told.append((refused.status, refused.retry_after_s))
                return count
            count += 1

    at_first = taken()
    clock[0] += 20 * SECOND_NS
    after_a_third = taken()
    clock[0] += 86_400 * SECOND_NS

    assert (at_first, after_a_third, taken()) == (3, 1, 3)
    assert told == [(429, 20)] * 3
    assert quotas.refused["pk"] == 3


def test_a_body_may_go_beyond_the_days_bytes_and_then_the_debt_is_paid_first() -> None:
    clock = [0]
    quotas, limited = Quotas(now=lambda: clock[0]), key(bytes_per_day=86_400)

    quotas.request(limited)
    quotas.received(limited, 86_400 + 99)
    with pytest.raises(CollectorError, match="86400 bytes in a day") as refused:
        quotas.request(limited)
    clock[0] += 100 * SECOND_NS

    assert refused.value.retry_after_s == 100
    quotas.request(limited)


def test_a_limit_that_is_changed_holds_at_once() -> None:
    quotas = Quotas(now=lambda: 0)
    quotas.request(key(requests_per_minute=1))

    quotas.request(key(requests_per_minute=2))
    quotas.request(key(requests_per_minute=2))

    with pytest.raises(CollectorError, match="2 requests in a minute"):
        quotas.request(key(requests_per_minute=2))
    quotas.request(key())


def test_a_key_that_used_up_its_requests_waits_and_loses_nothing_and_others_do_not_notice(
    tmp_path: Path,
) -> None:
    file = KeyFile(tmp_path)
    _, limited = file.create(project="a", scopes=BOTH, requests_per_minute=2)
    _, free = file.create(project="a", scopes=BOTH)
    sent = body(generation())
    with running(tmp_path, grpc_port=0) as server:
        answers = [post(f"{server.url}/v1/traces", sent, authorization=f"Bearer {limited}") for _ in range(3)]
        read = get(f"{server.url}/api/v1/traces", Authorization=f"Bearer {limited}")
        metadata = (("authorization", f"Bearer {limited}"),)
        with grpc.insecure_channel(server.grpc_address) as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(METHOD)(sent, metadata=metadata, timeout=20)
        health = settled(server.url, Authorization=f"Bearer {free}")

    assert [answer.status for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert "2 requests in a minute" in answers[2].message
    assert (read.status, read.headers["retry-after"].isdigit()) == (429, True)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "google.rpc.retryinfo-bin" in dict(refused.value.trailing_metadata())
    assert (health["throttled_requests"], health["stored_spans"]) == (3, 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_gives_no_fresh_allowance_however_the_server_ended(
    tmp_path: Path, number: signal.Signals
) -> None:
    file = KeyFile(tmp_path)
    _, asking = file.create(project="a", scopes=BOTH, requests_per_minute=2)
    _, sending = file.create(project="a", scopes=BOTH, bytes_per_day=3000)
    _, new = file.create(project="a", scopes=BOTH, requests_per_minute=2)
    server = ServerProcess(tmp_path)

    def statuses(secret: str, content: bytes, *, times: int) -> list[int]:
        url, header = f"{server.url}/v1/traces", f"Bearer {secret}"
        return [post(url, content, authorization=header).status for _ in range(times)]

    first = statuses(asking, body(generation()), times=2) + statuses(
        sending, body(span(name="n" * 4000)), times=1
    )
    server.end(number)
    server.start()
    again = statuses(asking, body(generation()), times=1) + statuses(sending, body(generation()), times=1)
    untouched = statuses(new, body(generation()), times=2)
    server.end(signal.SIGTERM)
    server.close()

    assert (first, again, untouched) == ([200, 200, 200], [429, 429], [200, 200])


def test_what_was_used_up_comes_back_while_the_server_is_away(tmp_path: Path) -> None:
    clock, limited, there = [0], key(requests_per_minute=1), tmp_path / "quotas"
    before, after = Quotas(now=lambda: clock[0]), Quotas(now=lambda: clock[0])

    with before.kept(there):
        before.request(limited)
    clock[0] += 30 * SECOND_NS

    with after.kept(there):
        with pytest.raises(CollectorError) as refused:
            after.request(limited)
        clock[0] += 30 * SECOND_NS
        after.request(limited)
    assert refused.value.retry_after_s == 30


def test_a_clock_that_ran_ahead_keeps_no_key_waiting_until_it_is_true(tmp_path: Path) -> None:
    limited, there = key(requests_per_minute=1), tmp_path / "quotas"
    ahead = Quotas(now=lambda: 10**9 * SECOND_NS)
    with ahead.kept(there):
        ahead.request(limited)
    clock = [0]
    true = Quotas(now=lambda: clock[0])

    with true.kept(there):
        with pytest.raises(CollectorError):
            true.request(limited)
        clock[0] += 60 * SECOND_NS
        true.request(limited)


def test_a_damaged_line_forgives_its_own_key_and_no_other(tmp_path: Path) -> None:
    there, keys = tmp_path / "quotas", [replace(key(requests_per_minute=1), public=f"pk-{n}") for n in "abc"]
    before, after = Quotas(now=lambda: 0), Quotas(now=lambda: 0)
    with before.kept(there):
        for each in keys:
            before.request(each)
    lines = there.read_bytes().splitlines(keepends=True)
    there.write_bytes(lines[0] + b"\0" * len(lines[1]) + lines[2])

    with after.kept(there):
        after.request(keys[1])
        for each in keys:
            with pytest.raises(CollectorError):
                after.request(each)
        assert len(there.read_bytes().splitlines()) == 3


def test_a_file_that_cannot_be_written_is_a_number_and_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas, limited = Quotas(now=lambda: 0), key(requests_per_minute=2)

    def full(*said: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with quotas.kept(tmp_path / "quotas"):
        monkeypatch.setattr(os, "pwrite", full)
        quotas.request(limited)
        quotas.request(limited)
        with pytest.raises(CollectorError, match="2 requests in a minute"):
            quotas.request(limited)

        assert quotas.failures == 2


@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/ingestion"])
def test_the_bytes_of_every_door_count(tmp_path: Path, path: str) -> None:
    _, secret = KeyFile(tmp_path).create(project="a", scopes=BOTH, bytes_per_day=3000)
    sent, kind = body(span(name="n" * 4000)), "application/x-protobuf"
    if path.endswith("ingestion"):
        sent, kind = json.dumps({"batch": [], "padding": "n" * 4000}).encode(), "application/json"
    with running(tmp_path) as server:
        answers = [post(server.url + path, sent, kind, authorization=f"Bearer {secret}") for _ in range(2)]

    assert [answer.status for answer in answers] in ([200, 429], [207, 429])


def test_a_quota_is_given_and_shown_on_the_command_line(tmp_path: Path) -> None:
    run, where = CliRunner(), ["--data-dir", str(tmp_path)]

    made = run.invoke(
        keys_command,
        ["create", *where, "--project", "a", "--requests-per-minute", "600", "--bytes-per-day", "2GB"],
    )
    listed = run.invoke(keys_command, ["list", *where])

    assert made.exit_code == 0, made.output
    assert "600 requests a minute, 2,000,000,000 bytes a day" in listed.stdout


@pytest.mark.parametrize("said", ["much", "-1", "1.5GB", "0"])
def test_a_quota_that_is_no_size_is_refused(tmp_path: Path, said: str) -> None:
    made = CliRunner().invoke(
        keys_command, ["create", "--data-dir", str(tmp_path), "--project", "a", "--bytes-per-day", said]
    )

    assert isinstance(made.exception, SettingsError)
