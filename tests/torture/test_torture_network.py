"""A network that does its worst and a collector that is away: everything arrives, once, and the key stays here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

from everyspan.query.completeness import Verdict, audit
from everyspan.sender.drain import drain
from everyspan.sender.ship import Sender
from everyspan.server import Server, running
from everyspan.settings import otlp_destination
from everyspan.spool import Kept
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store
from everyspan.testing.sink import Sink
from tests.programs import clean_environment
from tests.sender_spans import new_log, root_of
from tests.torture.calls import begin, end, score_rows
from tests.torture.chaos import ChaosProxy
from tests.torture.conftest import Report
from tests.torture.scores import Score

SECRET = "sk-torture-0123456789"
KEYS = ["pk-torture:" + SECRET]

TRACE = "1".zfill(32)


def rows_of(store: Store, trace_id: str = TRACE, *, project: str) -> list[SpanRow]:
    """Every stored span of a trace."""
    found = store.read_trace(trace_id, project=project)
    assert found is not None
    return found[1]


def wait_until_moved(server: Server) -> None:
    """Until the inbox is in the store; in full size that takes longer than the answers to the client."""
    until = time.monotonic() + 600
    while server.collector.pending and time.monotonic() < until:
        time.sleep(0.02)
    assert server.collector.pending == 0


def project_of(server: Server) -> str:
    """The one project that anything arrived for."""
    (project,) = server.store.projects_of(TRACE)
    return project


def test_a_network_that_does_its_worst_loses_nothing_and_sends_the_key_nowhere(
    tmp_path: Path, report: Report, full: bool
) -> None:
    least, faults = (50_000, 1000) if full else (800, 30)
    with Sink() as elsewhere, running(tmp_path / "data", keys=KEYS) as server:
        with ChaosProxy(server.url, elsewhere=elsewhere.url, seed=least, stall_s=1.0) as proxy:
            destination = otlp_destination(proxy.url, api_key=SECRET)
            log = new_log(tmp_path / "spool", destination)
            sender = Sender(timeout_s=0.5, linger_s=0.0, proxies={})
            sender.add(destination, log, root=root_of(tmp_path / "spool", destination))
            made = 0
            while made < least or proxy.faults < faults:
                for number in range(made, made + 25):
                    assert begin(log, number) is Kept.DISK
                    assert end(log, number, text="x" * (number % 977)) is Kept.DISK
                made += 25
                sender.flush(0.1)
            proxy.calm = True
            receipt = sender.flush(60)
            sender.close(20)
        wait_until_moved(server)
        known, rows = server.collector.moved.known, rows_of(server.store, project=project_of(server))
        proof = audit(server.store)

    score = score_rows(
        "network chaos",
        rows,
        expected=range(made),
        duplicated=known,
        figures=f"{proxy.faults} of {proxy.done.total()} requests met a fault, audit: {proof.verdict.value}",
    )
    report(score)
    assert receipt.complete, receipt
    assert (score.lost, score.misparented, score.cost_difference) == (0, 0, Decimal(0))
    assert score.duplicated > 0
    assert proof.verdict is Verdict.COMPLETE
    assert elsewhere.requests == []


APPLICATION = """
import json, sys, time
import everyspan

def calls(first, count):
    took = []
    for number in range(first, first + count):
        began = time.perf_counter_ns()
        with everyspan.span(f"call {number}", attributes={"number": number, "text": "x" * 1000}):
            pass
        took.append(time.perf_counter_ns() - began)
        if number % 50 == 49:
            time.sleep(0.005)  # an application has other things to do
    took.sort()
    return [took[len(took) // 2], took[len(took) * 99 // 100]]

count = int(sys.argv[1])
everyspan.init(sys.argv[2])
calls(0, 200)
everyspan.flush(10)
print(json.dumps(calls(200, count)), flush=True)
sys.stdin.readline()
print(json.dumps(calls(200 + count, count)), flush=True)
sys.stdin.readline()
print(json.dumps(everyspan.flush(120).pending), flush=True)
"""


def test_a_collector_that_was_away_gets_everything_when_it_is_back(
    tmp_path: Path, report: Report, full: bool
) -> None:
    count = 20_000 if full else 2000
    with running(tmp_path / "data") as server:
        port = int(server.url.rpartition(":")[2])
        process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION, str(count), server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(tmp_path / "spool"),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        before = json.loads(process.stdout.readline())
    process.stdin.write("\n")
    process.stdin.flush()
    during = json.loads(process.stdout.readline())
    with running(tmp_path / "data", port=port) as server:
        process.stdin.write("\n")
        process.stdin.flush()
        pending = json.loads(process.stdout.readline())
        code = process.wait(30)
        wait_until_moved(server)
        proof = audit(server.store)
    process.stdin.close()
    process.stdout.close()

    made = 200 + 2 * count
    report(
        Score(
            scenario="outage",
            ok=proof.spans,
            lost=made - proof.spans,
            duplicated=server.collector.moved.known,
            figures=f"{count} spans in the outage; a span then took {during[0] / before[0]:.2f} x as long as before "
            f"(p50), {during[1] / before[1]:.2f} x (p99); audit: {proof.verdict.value}",
        )
    )
    assert code == 0
    assert pending == 0
    assert proof.spans == made
    assert proof.verdict is Verdict.COMPLETE


SEEDED = """
import random, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import everyspan

random.seed(0)
trace.set_tracer_provider(TracerProvider())  # the user's own, whose ids come from `random`
everyspan.init(sys.argv[1])
tracer = trace.get_tracer("evaluation")
with tracer.start_as_current_span("run"):
    for number in range(int(sys.argv[2])):
        with tracer.start_as_current_span(f"{sys.argv[3]} {number}"):
            pass
assert everyspan.flush(30).complete
"""


def test_two_processes_that_seed_random_alike_lose_no_row(tmp_path: Path, report: Report, full: bool) -> None:
    count = 5000 if full else 200
    with running(tmp_path / "data") as server:
        both = [
            subprocess.Popen(
                [sys.executable, "-c", SEEDED, server.url, str(count), name],
                env=clean_environment(tmp_path / "spool"),
            )
            for name in ("one", "two")
        ]
        codes = [process.wait(60) for process in both]
        # A process waits 5 s at its exit for its last word to be stored; what takes longer is for the next one.
        drain(tmp_path / "spool", [otlp_destination(server.url)], timeout_s=30)
        wait_until_moved(server)
        proof = audit(server.store)
        traces = [trace.trace_id for trace in server.store.list_traces(TraceFilter())]
        rows = [row for trace_id in traces for row in rows_of(server.store, trace_id, project="default")]

    names = {row.name for row in rows}
    wanted = {"run", *(f"{name} {number}" for name in ("one", "two") for number in range(count))}
    ids = {(row.trace_id, row.span_id) for row in rows}
    report(
        Score(
            scenario="random.seed(0) twice",
            ok=len(rows),
            lost=len(wanted - names),
            duplicated=server.collector.moved.known,
            figures=f"{len(rows) - len(ids)} rows share their ids with another; audit: {proof.verdict.value}",
        )
    )
    assert codes == [0, 0]
    assert names == wanted
    assert len(rows) == 2 * (count + 1)
    assert len(ids) == count + 1
    assert proof.verdict is Verdict.COMPLETE
