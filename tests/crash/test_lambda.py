"""A function on AWS Lambda: invoked, frozen the moment it has returned, thawed for the next invocation, or never."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.settings import spool_dir
from everyspan.testing.sink import Sink
from tests.processes import Program, deliver_the_rest, missing_numbers, parents, python

# What Lambda's own runtime does: one invocation for each line, with the time that it has, and the answer said aloud.
RUNTIME = """
import json, sys, time
import everyspan

@everyspan.aws_lambda
def handler(event, context):
    with everyspan.span(f"invocation {event}"):
        pass
    if event == "boom":
        raise ValueError("the handler's own")
    return {"answer": event}

class Context:
    def __init__(self, request_id, deadline_s):
        self.aws_request_id = request_id
        self._until = time.monotonic() + deadline_s
    def get_remaining_time_in_millis(self):
        return int(1000 * (self._until - time.monotonic()))

print("ready", flush=True)
for line in sys.stdin:
    event, deadline_s = line.split()
    before = time.monotonic()
    try:
        answer = handler(event, Context("request " + event, float(deadline_s)))
    except ValueError as error:
        answer = str(error)
    print(json.dumps([answer, time.monotonic() - before]), flush=True)
"""


class Function(Program):
    """A sandbox of Lambda's with the function in it."""

    def __init__(self, *, spool: Path, sink: Sink) -> None:
        super().__init__(python(RUNTIME), spool=spool, sink=sink, stdin=subprocess.PIPE)
        self.wait_for("ready")

    def invoke(self, event: str, *, deadline_s: float = 60.0) -> tuple[Any, float]:
        """The handler's answer and the seconds it took; the sandbox is frozen then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.thaw()
        self.process.stdin.write(f"{event} {deadline_s}\n")
        self.process.stdin.flush()
        answer, took_s = json.loads(self.process.stdout.readline())
        self.freeze()
        return answer, took_s

    def receipts(self) -> list[dict[str, Any]]:
        """End the sandbox, as Lambda does, and read its log."""
        self.process.kill()
        _, log = self.process.communicate()
        head = "everyspan receipt "
        return [json.loads(line.removeprefix(head)) for line in log.splitlines() if line.startswith(head)]


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(speaks_everyspan=True) as running:
        yield running


def test_each_invocation_has_arrived_before_the_sandbox_is_frozen(sink: Sink, tmp_path: Path) -> None:
    with Function(spool=tmp_path, sink=sink) as function:
        for number in range(3):
            answer, _ = function.invoke(str(number))
            assert answer == {"answer": str(number)}
            assert len(sink.spans) == number + 1

        receipts = function.receipts()

    assert [receipt["request_id"] for receipt in receipts] == ["request 0", "request 1", "request 2"]
    assert [receipt["delivered"] for receipt in receipts] == [1, 2, 3]
    assert [list(receipt["writers"].values()) for receipt in receipts] == [[2], [4], [6]]
    assert missing_numbers(sink) == {}


def test_what_did_not_get_through_in_time_comes_with_the_next_invocation(sink: Sink, tmp_path: Path) -> None:
    sink.hang()
    with Function(spool=tmp_path, sink=sink) as function:
        _, first_s = function.invoke("late")
        assert sink.spans == []
        sink.close()  # while the sandbox is frozen, the other end of its connection goes away
        sink.open()

        function.invoke("next")
        arrived = parents(sink)
        receipts = function.receipts()

    assert first_s < 2.5
    assert arrived == {"invocation late": "", "invocation next": ""}
    assert [(receipt["pending"], receipt["delivered"]) for receipt in receipts] == [(1, 0), (0, 2)]
    assert missing_numbers(sink) == {}


def test_the_deadline_of_the_invocation_is_kept_when_the_destination_hangs(
    sink: Sink, tmp_path: Path
) -> None:
    sink.hang(times=100)
    with Function(spool=tmp_path, sink=sink) as function:
        _, took_s = function.invoke("short", deadline_s=1.0)
        _, impatient_s = function.invoke("again", deadline_s=60.0)

    assert 0.5 < took_s < 0.95
    assert impatient_s < 0.6  # a destination that took nothing the last time is not waited for so long


def test_the_handlers_exception_is_its_own_and_its_span_arrives(sink: Sink, tmp_path: Path) -> None:
    with Function(spool=tmp_path, sink=sink) as function:
        answer, _ = function.invoke("boom")

    assert answer == "the handler's own"
    assert parents(sink) == {"invocation boom": ""}


def test_a_sandbox_that_never_thaws_leaves_a_receipt_that_says_what_is_missing(
    sink: Sink, tmp_path: Path
) -> None:
    sink.hang(times=100)
    with Function(spool=tmp_path, sink=sink) as function:
        function.invoke("lost", deadline_s=0.5)
        (receipt,) = function.receipts()

    ((writer, last),) = receipt["writers"].items()
    assert (receipt["pending"], last) == (1, 2)
    # In a sandbox whose process was killed but whose /tmp lives on, the next process sends it.
    sink.close()
    with Sink(port=sink.port, speaks_everyspan=True) as later:
        deliver_the_rest(later, tmp_path)
        (span,) = later.spans
    assert span.stamp == f"{writer}:{last:016x}"


def test_a_setting_that_can_not_be_used_leaves_the_handler_as_it_was(sink: Sink, tmp_path: Path) -> None:
    code = """
import everyspan
def handler(event, context):
    return "answer"
assert everyspan.aws_lambda(handler) is handler
print(handler(None, None))
"""
    environment = {"EVERYSPAN_FSYNC": "perhaps"}
    with Program(python(code), spool=tmp_path, sink=sink, environment=environment) as program:
        assert program.end() == 0

    assert program.said == "answer\n"
    assert "EVERYSPAN_FSYNC" in program.complaints


def test_the_spool_on_lambda_is_below_tmp_unless_somebody_says_otherwise() -> None:
    home = {"HOME": "/home/sbx_user1051", "AWS_LAMBDA_FUNCTION_NAME": "f"}

    assert spool_dir(home) == Path("/tmp/everyspan/spool")
    assert spool_dir({**home, "EVERYSPAN_SPOOL_DIR": "/mnt/efs"}) == Path("/mnt/efs")
