"""The real litellm when the disk is bad, the spool is damaged or the sandbox is frozen: one span for each call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.query.completeness import Audit, Verdict, audit
from everyspan.sender.drain import drain
from everyspan.server import running
from everyspan.settings import otlp_destination
from everyspan.store.rows import SpanRow
from everyspan.testing import FakeProvider, Outcome
from tests.collector_requests import settled
from tests.programs import clean_environment
from tests.spool_frames import frames_in
from tests.torture.test_torture_litellm import calls_in, total

CALLS = 6

# litellm takes seconds to import: once, and each day is lived in a child.
PROGRAM = """
import json, os, resource, signal, sys, time
import litellm
import everyspan

def ask(number, **options):
    return litellm.completion(
        model="anthropic/claude-haiku-4-5", messages=[{"role": "user", "content": f"{day['name']} {number}"}],
        api_base=sys.argv[1], api_key="sk-ant-days", max_tokens=64, num_retries=0, **options)

@everyspan.observe(name="work")
def work(count):
    for number in range(count):
        if number % 2:
            for chunk in ask(number, stream=True):
                pass
        else:
            ask(number)

def full(count):
    # write(2) takes a part and then nothing, as on a full disk; later there is room again.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    work(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    work(count - 1)
    everyspan.flush(10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

def killed(count):
    work(count)
    os.kill(os.getpid(), signal.SIGKILL)

class Context:
    aws_request_id = "request"
    def get_remaining_time_in_millis(self):
        return 60_000

def frozen(count):
    handler = everyspan.aws_lambda(lambda event, context: work(event))
    for _ in range(2):
        handler(count // 2, Context())
        os.kill(os.getpid(), signal.SIGSTOP)  # the sandbox is frozen the moment the handler has returned
    os.kill(os.getpid(), signal.SIGKILL)  # and never thawed again

for line in sys.stdin:
    day = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ["EVERYSPAN_SPOOL_DIR"] = day["spool"]
        everyspan.init(day["url"])
        globals()[day["name"]](day["count"])
        sys.exit(0)
    status = os.waitpid(child, os.WUNTRACED)[1]
    while os.WIFSTOPPED(status):
        time.sleep(0.05)
        os.kill(child, signal.SIGCONT)
        status = os.waitpid(child, os.WUNTRACED)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Days:
    """The program above, and what its days leave behind."""

    def __init__(self, folder: Path, provider: FakeProvider) -> None:
        self._folder = folder
        self._provider = provider
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, provider.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(folder / "nobody"),
        )

    def live(self, name: str, url: str) -> Path:
        """One day; returns its spool."""
        spool = self._folder / f"spool of {name}"
        day = {"name": name, "spool": str(spool), "url": url, "count": CALLS}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(day) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == {"full": "0"}.get(name, "-9")
        return spool

    def owed(self, name: str) -> Decimal:
        """What the provider's books say of one day."""
        calls = [entry for entry in self._provider.ledger.bill().calls if entry.prompt.startswith(f"{name} ")]
        assert {entry.outcome for entry in calls} == {Outcome.SERVED}
        return total(entry.cost_usd for entry in calls)

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    with FakeProvider() as provider:
        made = Days(tmp_path_factory.mktemp("days"), provider)
        yield made
        made.close()


def after(days: Days, name: str, tmp_path: Path, *, damage: Any = None) -> tuple[list[SpanRow], Audit]:
    """The calls that the collector has in the end, and the audit."""
    with running(tmp_path / "data") as server:
        spool = days.live(name, server.url if damage is None else "http://127.0.0.1:9")
        if damage is not None:
            damage(spool)
        drain(spool, [otlp_destination(server.url)], timeout_s=10, everything=damage is not None)
        settled(server.url)
        calls, _ = calls_in(server.store)
        return calls, audit(server.store)


@pytest.mark.parametrize("name", ["full", "frozen"])
def test_a_bad_day_costs_no_call_and_no_cent(days: Days, tmp_path: Path, name: str) -> None:
    calls, proof = after(days, name, tmp_path)

    assert len(calls) == CALLS
    assert {row.end for row in calls} == {"complete"}
    assert total(row.cost for row in calls) == days.owed(name)
    assert proof.verdict is Verdict.COMPLETE


def test_a_damaged_byte_costs_at_most_the_end_of_one_call_and_the_audit_says_so(
    days: Days, tmp_path: Path
) -> None:
    def flip(spool: Path) -> None:
        (segment,) = spool.glob("*/*/*.seg")
        frames = [frame for frame in frames_in(segment) if frame.kind == 3]
        with segment.open("r+b") as file:
            file.seek(frames[0].start + 200)
            byte = file.read(1)
            file.seek(frames[0].start + 200)
            file.write(bytes([byte[0] ^ 1]))

    calls, proof = after(days, "killed", tmp_path, damage=flip)

    assert len(calls) == CALLS  # the damaged end is told as interrupted
    assert sorted(row.end for row in calls) == ["complete"] * (CALLS - 1) + ["interrupted"]
    assert proof.missing == 1
    assert proof.verdict is Verdict.MISSING
