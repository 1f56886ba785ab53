"""The command line, asking a collector that `everyspan serve` runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from everyspan.spool.notes import note
from everyspan.wire.frame import Kind, pack

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
STARTED_NS = 1_790_000_000_000_000_000  # 2026-09-21 14:13:20 UTC
WRITER = "0004711-aabbccddeeff"
NASTY = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\rover\x9b2Jcleared"


def cli(*words: str, url: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """`everyspan <words>` in a process of its own, with only these variables."""
    env = {"PATH": os.environ["PATH"], "EVERYSPAN_ENDPOINT": url, "PYTHONUTF8": "1", **environ}
    command = [sys.executable, "-m", "everyspan.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=env, check=False)


def span(number: int, name: str, *, parent: int = 0, took_ms: int = 0, **attributes: str | int) -> Span:
    """Span `number` of the trace, with the stamp that has the same number."""
    values: dict[str, str | int] = {"everyspan.stamp": f"{WRITER}:{number:016x}"}
    values |= {key.replace("__", "."): value for key, value in attributes.items()}
    return Span(
        trace_id=bytes.fromhex(TRACE_ID),
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        start_time_unix_nano=STARTED_NS + number * 1_000_000,
        end_time_unix_nano=STARTED_NS + number * 1_000_000 + took_ms * 1_000_000,
        attributes=[KeyValue(key=key, value=any_value(value)) for key, value in values.items()],
    )


def any_value(value: str | int) -> AnyValue:
    return AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value)


def generation(number: int, *, parent: int, model: str, cost: str, state: str = "computed") -> Span:
    priced = {"everyspan__cost__total": cost} if cost else {}
    return span(
        number,
        f"chat {model}",
        parent=parent,
        took_ms=250,
        gen_ai__operation__name="chat",
        gen_ai__request__model=model,
        gen_ai__usage__input_tokens=1200,
        gen_ai__usage__output_tokens=34,
        everyspan__cost__state=state,
        **priced,
    )


def send(url: str, spans: list[Span], *, spooled_to: int, closed: bool, frames: bytes = b"") -> None:
    """POST spans as a writer would that has given out numbers up to `spooled_to`."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(KeyValue(key="service.name", value=AnyValue(string_value="report")))
    resource.scope_spans.add().spans.extend(spans)
    headers: Mapping[str, str] = {
        "Content-Type": "application/x-protobuf",
        "everyspan-writer": WRITER,
        "everyspan-spooled-to": str(spooled_to),
        **({"everyspan-closed": "true"} if closed else {}),
    }
    post = urllib.request.Request(
        f"{url}/v1/traces", data=request.SerializeToString() + frames, headers=dict(headers)
    )
    with urllib.request.urlopen(post, timeout=10) as answer:
        assert answer.status == 200


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`everyspan serve` on a free port, stopped afterwards."""
    command = [
        sys.executable,
        "-m",
        "everyspan.cli.main",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=15)


@pytest.fixture
def url(serving: subprocess.Popen[str]) -> str:
    """The address that `serve` printed."""
    assert serving.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", serving.stdout.readline())
    assert found is not None
    return found[0]


@pytest.fixture
def batch(url: str) -> str:
    """A collector that holds one trace: a root with two calls below it, one of them unpriced, one with an error."""
    failed = generation(3, parent=1, model="mystery-1", cost="", state="unpriced")
    failed.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=f"overloaded {NASTY}"))
    spans = [
        span(1, "batch_operation", took_ms=1250),
        generation(2, parent=1, model="claude-haiku-4-5", cost="0.00137"),
        failed,
    ]
    send(url, spans, spooled_to=3, closed=True)
    until_stored(url, spans=3)
    return url


def until_stored(url: str, *, spans: int) -> None:
    """Ask until the inbox has been moved into the store: the collector answers before that."""
    for _ in range(2000):
        with urllib.request.urlopen(f"{url}/api/v1/completeness", timeout=10) as answer:
            audit = json.load(answer)
        if audit["spans"] >= spans and not audit["inbox_pending"]:
            return
    raise AssertionError(f"the collector did not store {spans} spans: {audit}")


def test_traces_lists_a_trace_with_its_calls_errors_and_cost(batch: str) -> None:
    done = cli("traces", url=batch)

    head, row = done.stdout.splitlines()
    assert head.split() == ["TRACE", "STARTED", "(UTC)", "NAME", "SPANS", "CALLS", "ERRORS", "TOOK", "COST"]
    assert row.split() == [
        *(TRACE_ID, "2026-09-21", "14:13:20", "batch_operation", "3", "2", "1", "1.25", "s"),
        *("$0.00137", "+", "1", "unpriced"),
    ]


def test_trace_draws_every_call_under_its_parent(batch: str) -> None:
    done = cli("trace", TRACE_ID, url=batch)

    head, root, first, second = done.stdout.splitlines()
    assert head.endswith("3 spans, 2 calls, $0.00137 + 1 unpriced")
    assert root.split() == ["batch_operation", "1.25", "s"]
    assert re.split(r" {2,}", first) == [
        "├─ chat claude-haiku-4-5",
        "250 ms",
        "1,200 → 34 tokens",
        "$0.00137",
    ]
    assert re.split(r" {2,}", second)[:4] == ["└─ chat mystery-1", "250 ms", "1,200 → 34 tokens", "unpriced"]


def test_what_a_model_said_can_not_steer_the_terminal(batch: str) -> None:
    done = cli("trace", TRACE_ID, "--text", url=batch)

    assert (
        "ERROR overloaded red over cleared" in done.stdout or "ERROR overloaded redovercleared" in done.stdout
    )
    assert [char for char in done.stdout if (char < " " and char != "\n") or "\x7f" <= char <= "\x9f"] == []


def test_cost_adds_up_and_says_what_has_no_price(batch: str) -> None:
    done = cli("cost", "--by", "model", url=batch)

    rows = [re.split(r" {2,}", line) for line in done.stdout.splitlines()]
    assert rows == [
        ["MODEL", "CALLS", "IN", "OUT", "COST"],
        ["claude-haiku-4-5", "1", "1,200", "34", "$0.00137"],
        ["mystery-1", "1", "1,200", "34", "1 unpriced"],
        ["TOTAL", "2", "2,400", "68", "$0.00137 + 1 unpriced"],
    ]


def test_the_audit_ends_with_0_only_when_it_is_complete(batch: str) -> None:
    complete = cli("audit", url=batch)

    assert (complete.returncode, "complete" in complete.stdout) == (0, True), complete.stdout


def test_the_audit_names_the_number_that_is_missing_and_ends_with_1(url: str) -> None:
    send(url, [span(1, "first"), span(3, "third")], spooled_to=3, closed=True)
    until_stored(url, spans=2)

    done = cli("audit", url=url)

    row = next(line for line in done.stdout.splitlines() if line.startswith(WRITER))
    assert done.returncode == 1
    cells = re.split(r" {2,}", row)
    assert cells[:3] == [WRITER, "missing", "closed"]
    assert cells[4:] == ["1", "3", "2", "0", "0", "0", "2", "0"]


def test_the_audit_says_why_numbers_were_dropped_and_how_far_a_writer_is_whole(url: str) -> None:
    told = {"writer": WRITER, "reason": "disk", "ranges": [[2, 3]], "spans": 2}
    drop = pack(Kind.DROP, 0, note(Kind.DROP, told), nonce=7)
    send(url, [span(1, "first"), span(4, "fourth")], spooled_to=6, closed=False, frames=drop)
    until_stored(url, spans=2)

    done = cli("audit", url=url)

    row = next(line for line in done.stdout.splitlines() if line.startswith(WRITER))
    cells = re.split(r" {2,}", row)
    assert cells[:3] == [WRITER, "dropped", "open"]
    assert cells[4:] == ["4", "6", "2", "0", "0", "5-6", "0", "2-3 disk"]


@pytest.mark.parametrize("words", [("traces",), ("trace", TRACE_ID), ("cost",), ("audit",)])
def test_json_is_the_answer_of_the_api(batch: str, words: tuple[str, ...]) -> None:
    path = {
        "traces": "traces?limit=20",
        "trace": f"traces/{TRACE_ID}",
        "cost": "costs",
        "audit": "completeness",
    }

    done = cli(*words, "--json", url=batch)

    with urllib.request.urlopen(f"{batch}/api/v1/{path[words[0]]}", timeout=10) as answer:
        assert json.loads(done.stdout) == json.load(answer)
    assert done.stdout.isascii()


def test_an_unknown_trace_is_one_line_and_exit_code_2(url: str) -> None:
    done = cli("trace", "f" * 32, url=url)

    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"everyspan: the collector at \S+ says: .*\n", done.stderr)


def test_an_empty_collector_says_what_to_do_next(url: str) -> None:
    assert (
        cli("traces", url=url).stdout
        == "no traces yet; `everyspan run script.py` or everyspan.init() makes some\n"
    )


def test_serve_says_where_the_data_is_and_stops_on_sigterm(
    serving: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert serving.stdout is not None
    lines = [serving.stdout.readline() for _ in range(5)]

    serving.send_signal(signal.SIGTERM)

    assert serving.wait(timeout=15) == 0
    assert str(tmp_path / "data") in "".join(lines)
    assert "everybody on this machine" in "".join(lines)


def test_a_second_server_on_the_same_data_is_refused_with_one_line(url: str, tmp_path: Path) -> None:
    done = cli("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))

    assert done.returncode == 2
    assert re.fullmatch(r"everyspan: .*in use by the server with process id \d+; .*--data-dir\n", done.stderr)


def test_a_key_is_asked_for_and_taken_from_the_environment(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "everyspan.cli.main",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    env = {**os.environ, "EVERYSPAN_KEYS": "pk-one:sk-one"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]

        refused = cli("traces", url=url)
        let_in = cli("traces", url=url, EVERYSPAN_API_KEY="sk-one")

        server.send_signal(signal.SIGTERM)
    assert (refused.returncode, let_in.returncode) == (2, 0)
    assert (
        refused.stderr
        == f"everyspan: the collector at {url} wants another key: --api-key or EVERYSPAN_API_KEY\n"
    )
