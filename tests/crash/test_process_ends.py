"""However a process ends: what it recorded arrives once, under its parent, and no number is missing."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.processes import Program, deliver_the_rest, missing_numbers, parents, python

SPANS = 20

# `end` is put in; everything before it has happened when it is reached.
WORK = f"""
import os, signal, sys, threading, time
# Whoever runs the tests in the background of a shell hands down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
import everyspan
everyspan.init()
with everyspan.span("work"):
    for number in range({SPANS}):
        with everyspan.span(f"step {{number}}"):
            pass
"""
TREE = {"work": "", **{f"step {number}": "work" for number in range(SPANS)}}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(speaks_everyspan=True) as running:
        yield running


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("1 / 0", 1),
        ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)", -signal.SIGTERM),
    ],
)
def test_a_process_that_can_act_at_its_end_leaves_nothing_behind(
    sink: Sink, tmp_path: Path, end: str, status: int
) -> None:
    with Program(python(WORK + end), spool=tmp_path, sink=sink) as program:
        assert program.end() == status

    assert parents(sink) == TREE
    assert len(sink.spans) == len(TREE)
    assert missing_numbers(sink) == {}
    assert list(tmp_path.rglob("*.seg")) == []


@pytest.mark.parametrize(
    ("end", "status"),
    [("os._exit(4)", 4), ("os.kill(os.getpid(), signal.SIGKILL); time.sleep(30)", -signal.SIGKILL)],
)
def test_what_a_process_without_an_end_recorded_comes_with_the_next(
    sink: Sink, tmp_path: Path, end: str, status: int
) -> None:
    with Program(python(WORK + end), spool=tmp_path, sink=sink) as program:
        assert program.end() == status

    deliver_the_rest(sink, tmp_path)

    assert parents(sink) == TREE
    assert missing_numbers(sink) == {}


def test_sigterm_is_put_off_for_two_seconds_and_no_longer_when_nobody_answers(
    sink: Sink, tmp_path: Path
) -> None:
    sink.hang()
    with Program(python(WORK + "print('ready')\ntime.sleep(30)"), spool=tmp_path, sink=sink) as program:
        program.wait_for("ready")
        sink.wait_for_requests(1)

        assert program.end(signal.SIGTERM, within_s=5) == -signal.SIGTERM

    sink.close()
    sink.open()
    deliver_the_rest(sink, tmp_path)
    assert parents(sink) == TREE


@pytest.mark.parametrize("main_thread", ["hears", "hears nothing"])
def test_a_second_sigterm_ends_the_process_at_once(sink: Sink, tmp_path: Path, main_thread: str) -> None:
    # The thread that delivers says so from inside, so that the second signal meets the first one's handler.
    code = f"""
from everyspan.sender.ship import Sender
close = Sender.close
Sender.close = lambda *arguments: (print('delivering'), close(*arguments))[1]
if {main_thread == "hears nothing"}:
    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})  # the kernel gives it to another thread
print('ready')
time.sleep(30)
"""
    sink.hang()
    environment = {"EVERYSPAN_EXIT_TIMEOUT": "60"}
    with Program(python(WORK + code), spool=tmp_path, sink=sink, environment=environment) as program:
        program.wait_for("ready")
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("delivering")

        assert program.end(signal.SIGTERM, within_s=1.5) == -signal.SIGTERM


def test_sigterm_ends_a_process_whose_threads_go_on_recording(sink: Sink, tmp_path: Path) -> None:
    code = """
def record(thread):
    for number in range(1_000_000):
        with everyspan.span(f"thread {thread} span {number}"):
            pass
for thread in range(3):
    threading.Thread(target=record, args=(thread,)).start()
time.sleep(0.2)
print("ready")
"""
    # Said just before the main thread goes to wait for the others, where it may not see the signal.
    with Program(python(WORK + code), spool=tmp_path, sink=sink) as program:
        program.wait_for("ready")
        assert program.end(signal.SIGTERM, within_s=5) == -signal.SIGTERM

    deliver_the_rest(sink, tmp_path)

    tree = parents(sink)
    assert TREE.items() <= tree.items()
    assert len(tree) > len(TREE)
    assert missing_numbers(sink) == {}


def test_sigterm_ends_a_process_whose_main_thread_computes_in_c(sink: Sink, tmp_path: Path) -> None:
    code = """
import hashlib
print('ready')
hashlib.pbkdf2_hmac("sha256", b"a minute", b"of steps", 1_000_000_000)
"""
    with Program(python(WORK + code), spool=tmp_path, sink=sink) as program:
        program.wait_for("ready")
        assert program.end(signal.SIGTERM, within_s=5) == -signal.SIGTERM

    assert parents(sink) == TREE
    assert missing_numbers(sink) == {}
    assert list(tmp_path.rglob("*.seg")) == []


def test_signals_wake_the_event_loop_as_they_would_without_us(sink: Sink, tmp_path: Path) -> None:
    code = """
import asyncio
async def work():
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, heard.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(heard.wait(), 10)
    loop.remove_signal_handler(signal.SIGUSR1)
asyncio.run(work())
print(signal.set_wakeup_fd(-1))
threading.Timer(0, os.kill, (os.getpid(), signal.SIGTERM)).start()
import hashlib
hashlib.pbkdf2_hmac("sha256", b"a minute", b"of steps", 1_000_000_000)
"""
    with Program(python(WORK + code), spool=tmp_path, sink=sink) as program:
        assert program.end(within_s=10) == -signal.SIGTERM, program.complaints

    assert program.said == "-1\n"
    assert parents(sink) == TREE


def test_the_programs_own_handler_decides_and_sees_what_it_would_see_without_us(
    sink: Sink, tmp_path: Path
) -> None:
    code = """
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
print(before is signal.SIG_DFL)
print('ready')
time.sleep(30)
"""
    with Program(python(WORK + code), spool=tmp_path, sink=sink) as program:
        program.wait_for("True")
        program.wait_for("True")
        program.wait_for("ready")
        assert program.end(signal.SIGTERM) == 7

    assert parents(sink) == TREE


def test_a_default_action_that_is_put_back_delivers_again(sink: Sink, tmp_path: Path) -> None:
    code = """
mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGTERM, mine)
print('ready')
time.sleep(30)
"""
    with Program(python(WORK + code), spool=tmp_path, sink=sink) as program:
        program.wait_for("ready")
        assert program.end(signal.SIGTERM) == -signal.SIGTERM

    assert parents(sink) == TREE


def test_no_time_to_deliver_means_no_handler(sink: Sink, tmp_path: Path) -> None:
    sink.hang()
    environment = {"EVERYSPAN_EXIT_TIMEOUT": "0"}
    code = WORK + "print('ready')\ntime.sleep(30)"
    with Program(python(code), spool=tmp_path, sink=sink, environment=environment) as program:
        program.wait_for("ready")
        sink.wait_for_requests(1)

        assert program.end(signal.SIGTERM, within_s=1.5) == -signal.SIGTERM

    deliver_the_rest(sink, tmp_path)
    assert parents(sink) == TREE


def test_spans_that_end_in_daemon_threads_while_the_interpreter_ends_are_kept(
    sink: Sink, tmp_path: Path
) -> None:
    code = """
def record():
    number = 0
    while True:
        with everyspan.span(f"daemon span {number}"):
            pass
        os.write(1, f"{number}\\n".encode())
        number += 1
threading.Thread(target=record, daemon=True).start()
time.sleep(0.2)  # let it be in the middle of it
"""
    environment = {"EVERYSPAN_EXIT_TIMEOUT": "1"}
    with Program(python(WORK + code), spool=tmp_path, sink=sink, environment=environment) as program:
        assert program.end() == 0

    deliver_the_rest(sink, tmp_path)

    acknowledged = {f"daemon span {number}" for number in program.said.split()}
    assert acknowledged
    assert acknowledged <= parents(sink).keys()
    assert missing_numbers(sink) == {}


def test_process_1_of_a_container_delivers_at_sigterm_and_goes_on(sink: Sink, tmp_path: Path) -> None:
    in_a_container = ["unshare", "--pid", "--fork", "--user", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*in_a_container, "true"], check=False).returncode:
        pytest.skip("this machine lets nobody make a pid namespace")
    code = """
signal.raise_signal(signal.SIGTERM)
with everyspan.span("after"):
    pass
signal.raise_signal(signal.SIGTERM)
print(os.getpid(), everyspan.stats()["delivery"][0]["pending"])
"""
    with Program([*in_a_container, *python(WORK + code)], spool=tmp_path, sink=sink) as program:
        assert program.end() == 0, program.complaints

    assert program.said == "1 0\n"
    assert parents(sink) == {**TREE, "after": ""}


def test_the_receipt_counts_a_span_that_the_exit_interrupted(sink: Sink, tmp_path: Path) -> None:
    code = """
from everyspan.sender.ship import Sender
close = Sender.close
def told(*arguments):
    receipt = close(*arguments)
    print(receipt.recorded, receipt.delivered, receipt.pending)
    return receipt
Sender.close = told
everyspan.span("never ends").__enter__()
"""
    with Program(python(WORK + code), spool=tmp_path, sink=sink) as program:
        assert program.end() == 0

    assert program.said.split() == [str(SPANS + 2), str(SPANS + 2), "0"]
    (open_one,) = [span for span in sink.spans if span.name == "never ends"]
    assert open_one.attributes["everyspan.end"] == "interrupted"


def test_a_stream_that_is_open_at_sigterm_is_a_call_that_ended_by_the_exit(
    sink: Sink, tmp_path: Path
) -> None:
    code = """
import sys, time
import litellm, everyspan
everyspan.init()
stream = litellm.completion(
    "openai/gpt-4o-mini", messages=[{"role": "user", "content": "count"}],
    api_base=sys.argv[1], api_key="sk-test", stream=True,
)
next(stream)
print("ready")
time.sleep(30)
"""
    with FakeProvider() as provider:
        command = [*python(code), provider.openai_url]
        with Program(command, spool=tmp_path, sink=sink) as program:
            program.wait_for("ready")
            assert program.end(signal.SIGTERM) == -signal.SIGTERM

    (call,) = [span for span in sink.spans if "gen_ai.operation.name" in span.attributes]
    assert call.attributes["everyspan.end"] == "exit"
    assert missing_numbers(sink) == {}


def test_a_process_that_was_frozen_in_the_middle_of_a_delivery_repeats_it(sink: Sink, tmp_path: Path) -> None:
    sink.hang()
    with Program(python(WORK + "print('ready')\ntime.sleep(1)"), spool=tmp_path, sink=sink) as program:
        program.wait_for("ready")
        sink.wait_for_requests(1)
        program.freeze()
        sink.close()  # its connection is cut while it can not notice
        sink.open()
        program.thaw()

        assert program.end() == 0

    assert parents(sink) == TREE
    assert missing_numbers(sink) == {}


def test_a_process_that_was_frozen_while_idle_finds_a_new_connection(sink: Sink, tmp_path: Path) -> None:
    code = """
everyspan.flush()
print("ready")
sys.stdin.readline()
with everyspan.span("after"):
    pass
"""
    with Program(python(WORK + code), spool=tmp_path, sink=sink, stdin=subprocess.PIPE) as program:
        program.wait_for("ready")
        program.freeze()
        sink.close()
        sink.open()
        program.thaw()
        program.process.communicate("\n", timeout=10)

    assert parents(sink) == {**TREE, "after": ""}
    assert len(sink.spans) == len(TREE) + 1
    assert missing_numbers(sink) == {}
