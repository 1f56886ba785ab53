"""Real processes that are killed, forked and left behind: what they recorded arrives all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from opentelemetry import context

from everyspan.errors import SettingsError
from everyspan.model.destination import Destination
from everyspan.model.receipt import Receipt
from everyspan.sender.drain import drain
from everyspan.sender.ship import Sender
from everyspan.testing.sink import Sink
from tests.sender_spans import new_log, root_of

REPOSITORY = Path(__file__).parents[2]

# What the killed processes run. `ready` tells the test that everything before it has happened.
WRITER = """
import sys, time
from pathlib import Path
from everyspan.model.destination import Destination
from everyspan.sender.ship import Sender
from tests.sender_spans import begin, new_log, record, root_of

spool_dir, destination = Path(sys.argv[1]), Destination(sys.argv[2])
log = new_log(spool_dir, destination)
sender = Sender(linger_s=0.0, proxies={})
sender.add(destination, log, root=root_of(spool_dir, destination))

def ready(word="ready"):
    print(word, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


class Script:
    """A process that runs WRITER and then `body`, and tells when it is ready."""

    def __init__(self, body: str, spool_dir: Path, url: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        self._process = subprocess.Popen(
            [sys.executable, "-c", WRITER + body, str(spool_dir), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def wait_for(self, word: str = "ready") -> None:
        assert self._stream(self._process.stdout).readline().strip() == word

    def read(self, lines: int) -> list[str]:
        stream = self._stream(self._process.stdout)
        return [stream.readline().removesuffix("\n") for _ in range(lines)]

    def read_rest(self) -> list[str]:
        """Whole lines that were written before the end; a kill can not cut a short write to a pipe."""
        return self._stream(self._process.stdout).read().splitlines()

    def go_on(self) -> None:
        stream = self._stream(self._process.stdin)
        stream.write("\n")
        stream.flush()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def end(self) -> int:
        """Its exit status, once it has come to its end by itself."""
        return self._process.wait(20)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._stream(self._process.stdin).close()
        self._stream(self._process.stdout).close()

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


Run = Callable[[str, str], Script]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started: list[Script] = []

    def start(body: str, url: str) -> Script:
        started.append(Script(body, tmp_path, url))
        return started[-1]

    yield start
    for script in started:
        script.close()


def test_what_a_killed_process_recorded_is_delivered_by_the_next_one(
    sink: Sink, run: Run, tmp_path: Path
) -> None:
    destination = Destination(sink.url)
    script = run("record(log, 'a', 'b'); begin(log, 'unfinished'); record(log, 'c'); ready()", sink.url)
    script.wait_for()
    script.kill()

    log = new_log(tmp_path, destination)
    sender = Sender(proxies={})
    sender.add(destination, log, root=root_of(tmp_path, destination))
    sender.wake()
    spans = sink.wait_for(4)

    assert sorted(span.name for span in spans) == ["a", "b", "c", "unfinished"]
    interrupted = next(span for span in spans if span.name == "unfinished")
    assert interrupted.status == "error"
    assert interrupted.attributes["everyspan.end"] == "interrupted"
    assert sender.close(10).recorded == 0
    assert (sender.inherited().recorded, sender.inherited().delivered) == (4, 4)
    assert list(root_of(tmp_path, destination).iterdir()) == []


def test_a_call_whose_start_was_already_delivered_still_arrives_as_interrupted(
    run: Run, tmp_path: Path
) -> None:
    with Sink(speaks_everyspan=True) as sink:
        body = "begin(log, 'unfinished'); record(log, 'a'); print(sender.flush(10).delivered, flush=True); ready()"
        script = run(body, sink.url)
        script.wait_for("1")
        script.wait_for()
        script.kill()

        receipt = drain(tmp_path, [Destination(sink.url)], timeout_s=10)

        assert (receipt.recorded, receipt.delivered) == (1, 1)
        assert [span.name for span in sink.spans] == ["a", "unfinished"]
        assert sink.spans[1].attributes["everyspan.end"] == "interrupted"
        assert sink.requests[-1].headers["everyspan-closed"] == "true"


def test_a_process_killed_in_the_middle_of_sending_loses_nothing(
    sink: Sink, run: Run, tmp_path: Path
) -> None:
    sink.answer(503, times=2)
    sink.lose_answer()
    body = """
for number in range(200):
    record(log, f"span {number}")
    sender.wake()
    if number == 50:
        sender.flush(0.2)
ready()
"""
    script = run(body, sink.url)
    script.wait_for()
    script.kill()

    receipt = drain(tmp_path, [Destination(sink.url)], timeout_s=20)

    assert receipt.complete
    assert {span.name for span in sink.spans} == {f"span {number}" for number in range(200)}
    assert len({span.stamp for span in sink.spans}) == 200


def test_a_forked_child_ships_its_own_spans_and_leaves_the_parents_alone(
    sink: Sink, run: Run, tmp_path: Path
) -> None:
    body = """
import os
record(log, "parent 1")
assert sender.flush(10).complete
child = os.fork()
if child == 0:
    record(log, "child 1", "child 2")
    receipt = sender.flush(10)
    sender.close(10)
    os._exit(0 if (receipt.recorded, receipt.delivered) == (2, 2) else 1)
record(log, "parent 2")
receipt = sender.flush(10)
assert (receipt.recorded, receipt.delivered) == (2, 2), receipt
assert os.waitpid(child, 0)[1] == 0
record(log, "parent 3")
assert sender.flush(10).recorded == 3
print("done", flush=True)
assert sender.close(10).complete
"""
    script = run(body, sink.url)
    script.wait_for("done")

    assert script.end() == 0
    names = sorted(span.name for span in sink.spans)
    assert names == ["child 1", "child 2", "parent 1", "parent 2", "parent 3"]
    assert len({request.headers["everyspan-writer"] for request in sink.requests}) == 2


def test_a_fork_while_a_post_is_under_way_disturbs_neither_side(sink: Sink, run: Run) -> None:
    body = """
import os
record(log, "parent")
sender.wake()
ready("sending")
child = os.fork()
if child == 0:
    record(log, "child")
    os._exit(0 if sender.flush(10).delivered == 1 else 1)
assert os.waitpid(child, 0)[1] == 0
assert sender.flush(10).delivered == 1
"""
    sink.delay(0.5)
    script = run(body, sink.url)
    script.wait_for("sending")
    sink.wait_for(1)
    script.go_on()

    assert script.end() == 0
    assert sorted(span.name for span in sink.spans) == ["child", "parent"]


def test_draining_leaves_a_living_writer_alone(sink: Sink, run: Run, tmp_path: Path) -> None:
    script = run("record(log, 'alive'); ready()", sink.url)
    script.wait_for()

    receipt = drain(tmp_path, [Destination(sink.url)], timeout_s=5)

    assert receipt.recorded == 0
    assert sink.requests == []


def test_draining_counts_what_it_could_not_deliver(sink: Sink, run: Run, tmp_path: Path) -> None:
    script = run("record(log, 'a', 'b', 'c'); ready()", sink.url)
    script.wait_for()
    script.kill()
    sink.close()
    told: list[Receipt] = []

    unreachable = drain(tmp_path, [Destination(sink.url)], timeout_s=0.5, on_progress=told.append)
    sink.open()
    delivered = drain(tmp_path, [Destination(sink.url)], timeout_s=10, on_progress=told.append)

    assert (unreachable.recorded, unreachable.delivered, unreachable.pending) == (3, 0, 3)
    assert "refused" in unreachable.problem
    assert (delivered.recorded, delivered.delivered, delivered.pending) == (3, 3, 0)
    assert told[0].pending == 3
    assert told[-1].complete


def test_draining_sends_nothing_to_a_destination_it_was_not_made_for_unless_told_so(
    sink: Sink, run: Run, tmp_path: Path
) -> None:
    script = run("record(log, 'a', 'b'); ready()", "http://127.0.0.1:9/v1/traces")
    script.wait_for()
    script.kill()

    by_default = drain(tmp_path, [Destination(sink.url)], timeout_s=5)
    with pytest.raises(SettingsError):
        drain(tmp_path, [], timeout_s=5, everything=True)
    everything = drain(tmp_path, [Destination(sink.url)], timeout_s=10, everything=True)

    assert by_default.recorded == 0
    assert (everything.recorded, everything.delivered) == (2, 2)
    assert [span.name for span in sink.spans] == ["a", "b"]


def test_requests_of_our_own_are_kept_out_of_the_users_traces(sink: Sink, run: Run, tmp_path: Path) -> None:
    script = run("record(log, 'a'); ready()", sink.url)
    script.wait_for()
    script.kill()
    seen: list[object] = []

    drain(
        tmp_path,
        [Destination(sink.url)],
        timeout_s=10,
        on_progress=lambda _: seen.append(context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY)),
    )

    assert set(seen) == {True}
    assert context.get_value(context._SUPPRESS_INSTRUMENTATION_KEY) is None


def test_a_malformed_span_of_a_dead_writer_is_set_aside_and_stays_on_disk(
    sink: Sink, run: Run, tmp_path: Path
) -> None:
    sink.refuse_when(lambda span: span.name == "poison")
    script = run("record(log, 'a', 'poison', 'b'); ready()", sink.url)
    script.wait_for()
    script.kill()

    first = drain(tmp_path, [Destination(sink.url)], timeout_s=10)
    second = drain(tmp_path, [Destination(sink.url)], timeout_s=10)

    assert (first.recorded, first.delivered, first.set_aside, first.pending) == (3, 2, 1, 0)
    assert "malformed span" in first.problem
    assert second.recorded == 0
    assert sorted(span.name for span in sink.spans) == ["a", "b"]
    assert list(tmp_path.glob("*/*/refused/*"))


def test_a_chain_of_killed_processes_delivers_every_span_through_a_flaky_receiver(
    sink: Sink, run: Run, tmp_path: Path
) -> None:
    endless = """
import itertools, os
for number in itertools.count():
    record(log, f"{os.getpid()} {number}")
    sender.wake()
    os.write(1, f"{os.getpid()} {number}\\n".encode())
    time.sleep(0.001)
"""
    recorded: list[str] = []
    faults: list[Callable[[], None]] = [
        sink.lose_answer,
        sink.drop,
        sink.answer_page,
        lambda: sink.answer(503),
    ]
    for fault in faults:
        fault()
        script = run(endless, sink.url)
        recorded += script.read(100)
        script.kill()
        recorded += script.read_rest()

    receipt = drain(tmp_path, [Destination(sink.url)], timeout_s=20)

    assert receipt.complete
    assert set(recorded) - {span.name for span in sink.spans} == set()
    assert len({span.stamp for span in sink.spans}) == len({span.name for span in sink.spans})
    assert list(root_of(tmp_path, Destination(sink.url)).iterdir()) == []
