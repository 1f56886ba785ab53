"""The real litellm, through bad networks, outages, kills and failing system calls: both sides' books agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Self

from everyspan.model.destination import Destination
from everyspan.query.completeness import Verdict, audit
from everyspan.sender.drain import drain
from everyspan.server import running
from everyspan.settings import otlp_destination
from everyspan.spool import waiting
from everyspan.store.reads import TraceFilter
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store
from everyspan.testing import FakeProvider, Outcome
from everyspan.testing.sink import Sink
from tests.collector_requests import settled
from tests.programs import clean_environment
from tests.torture.chaos import ChaosProxy
from tests.torture.conftest import Report
from tests.torture.faults import ERRORS
from tests.torture.scores import Score

# `go` waits for a line from the test, so that each phase meets what it is meant to meet.
APPLICATION = """
import os, sys, threading
import litellm
import everyspan

def go(word):
    print(word, flush=True)
    sys.stdin.readline()

def ask(prompt, **options):
    return litellm.completion(
        model="anthropic/claude-haiku-4-5", messages=[{"role": "user", "content": prompt}],
        api_base=sys.argv[2], api_key="sk-ant-torture", max_tokens=64, num_retries=0, **options)

@everyspan.observe(name="work")
def work(phase, count):
    for number in range(count):
        ask(f"{phase} {number}")
        for chunk in ask(f"{phase} stream {number}", stream=True):
            pass
        everyspan.flush(0.05)

@everyspan.observe(name="last work")
def last_work(number):
    stream = ask(f"kill {number} [[hang-after=4]]", stream=True)
    next(stream)
    os.write(1, b"streaming\\n")  # one write: the threads must not mix their lines
    for chunk in stream:
        pass

everyspan.init(sys.argv[1], api_key=sys.argv[3])
count = int(sys.argv[4])
go("ready")
work("chaos", count)
go("chaos over")
work("outage", count)
go("outage over")
for number in range(3):
    threading.Thread(target=last_work, args=(number,), daemon=True).start()
threading.Event().wait()
"""
SECRET = "sk-torture-0123456789"
BEGUN_IN_THE_END = 3


class Application:
    """The program above; its phases are begun by `go` and end with a line."""

    def __init__(self, spool: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(spool),
        )

    def wait_for(self, line: str, *, times: int = 1) -> None:
        assert self._process.stdout is not None
        while times:
            said = self._process.stdout.readline()
            assert said, f"the program ended before it said {line!r}"
            times -= said.strip() == line

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.kill()


def calls_in(store: Store) -> tuple[list[SpanRow], list[SpanRow]]:
    """The model calls, and the spans of our own around them."""
    rows: list[SpanRow] = []
    for trace in store.list_traces(TraceFilter(limit=1000)):
        found = store.read_trace(trace.trace_id, project=trace.project)
        assert found is not None
        rows += found[1]
    return [row for row in rows if row.model], [row for row in rows if not row.model]


def total(costs: Iterable[Decimal | None]) -> Decimal:
    """US dollars; unknown ones do not count."""
    return sum((cost for cost in costs if cost is not None), Decimal(0))


def drained(spool: Path, destination: Destination) -> None:
    """Deliver what the killed program left, through the same bad network."""
    for _ in range(20):
        drain(spool, [destination], timeout_s=10)
        if not waiting(spool):
            return
    raise AssertionError(f"still waiting: {waiting(spool)}")


def test_what_litellm_called_is_stored_once_with_its_parent_and_its_cost(
    tmp_path: Path, report: Report, full: bool
) -> None:
    count = 50 if full else 4
    data, spool, keys = tmp_path / "data", tmp_path / "spool", ["pk-torture:" + SECRET]
    with (
        Sink() as elsewhere,
        FakeProvider() as provider,
        ChaosProxy("", elsewhere=elsewhere.url, seed=count, stall_s=0.5) as proxy,
        Application(spool, proxy.url, provider.url, SECRET, str(count)) as application,
    ):
        application.wait_for("ready")
        with running(data, keys=keys) as server:
            proxy.upstream = server.url
            application.go()
            application.wait_for("chaos over")
            known = server.collector.moved.known
        application.go()
        application.wait_for("outage over")
        application.go()
        application.wait_for("streaming", times=BEGUN_IN_THE_END)
        application.kill()
        with running(data, keys=keys) as server:
            proxy.upstream = server.url
            drained(spool, otlp_destination(proxy.url, api_key=SECRET))
            settled(server.url, authorization=f"Bearer {SECRET}")
            calls, others = calls_in(server.store)
            proof = audit(server.store)
            known += server.collector.moved.known
        bill = provider.ledger.bill()

    served = [entry.cost_usd for entry in bill.calls if entry.outcome is Outcome.SERVED]
    complete = [row for row in calls if row.end != "interrupted"]
    parents = {row.span_id for row in others}
    score = Score(
        scenario="litellm: kill, outage, chaos",
        ok=len(complete),
        lost=len(bill.calls) - len(calls),
        recovered=len(calls) - len(complete),
        duplicated=known,
        misparented=sum(row.parent_id not in parents for row in calls),
        cost_difference=total(row.cost for row in complete) - total(served),
        figures=f"{proxy.faults} of {proxy.done.total()} requests met a fault, audit: {proof.verdict.value}",
    )
    report(score)
    assert len(bill.calls) == len(calls) == 4 * count + BEGUN_IN_THE_END
    assert Counter(row.cost for row in complete) == Counter(served)
    assert (score.recovered, score.lost, score.misparented) == (BEGUN_IN_THE_END, 0, 0)
    assert score.cost_difference == 0
    assert proof.verdict is Verdict.COMPLETE
    assert elsewhere.requests == []


# Installed before everyspan opens anything, as the interposed functions are looked up when they are used.
ON_BAD_DAYS = """
import json, sys
from pathlib import Path
from tests.torture.faults import CALLS, ERRORS, InPython

faults = InPython(Path(sys.argv[1]))

import litellm
import everyspan

def ask(prompt):
    answer = litellm.completion(
        model="anthropic/claude-haiku-4-5", messages=[{"role": "user", "content": prompt}],
        api_base=sys.argv[3], api_key="sk-ant-torture", num_retries=0)
    assert answer.choices[0].message.content

everyspan.init(sys.argv[2])
fired = {call: 0 for call in CALLS}
with everyspan.span("bad days"):
    for call in CALLS:
        for number in ERRORS[call]:
            for nth, lasting in ((1, False), (2, False), (1, True)):
                # After a write that failed the disk is left alone for a moment: ask until this one has failed too.
                for _ in range(100 if call == "write" else 1):
                    faults.arm(call, nth=nth, number=number, lasting=lasting)
                    ask(f"{call} {number} {nth} {lasting}")
                    failed = faults.disarm()
                    fired[call] += failed
                    if failed:
                        break
receipt = everyspan.flush(20)
print(json.dumps({"fired": fired, "recorded": receipt.recorded, "delivered": receipt.delivered}))
"""


def test_litellms_calls_and_their_spans_do_not_notice_that_system_calls_of_the_spool_fail(
    tmp_path: Path, report: Report
) -> None:
    spool = tmp_path / "spool"
    with FakeProvider() as provider, running(tmp_path / "data") as server:
        done = subprocess.run(
            [sys.executable, "-c", ON_BAD_DAYS, str(spool), server.url, provider.url],
            env={**clean_environment(spool), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        settled(server.url)
        calls, others = calls_in(server.store)
        proof = audit(server.store)
        bill = provider.ledger.bill()

    said = json.loads(done.stdout.splitlines()[-1])
    score = Score(
        scenario="litellm: failing system calls",
        ok=len(calls),
        lost=len(bill.calls) - len(calls),
        misparented=sum(row.parent_id != others[0].span_id for row in calls),
        cost_difference=total(row.cost for row in calls) - total(call.cost_usd for call in bill.calls),
        figures=f"{sum(said['fired'].values())} system calls failed, audit: {proof.verdict.value}",
    )
    report(score)
    assert said["fired"]["write"] >= 3 * len(ERRORS["write"])
    assert said["recorded"] == said["delivered"] == len(bill.calls) + 1
    assert (score.lost, score.misparented) == (0, 0)
    assert score.cost_difference == 0
    assert {row.end for row in calls} == {"complete"}
    assert proof.verdict is Verdict.COMPLETE
