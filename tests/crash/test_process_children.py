"""Children of every kind: each records, delivers and stands below the span under which it was started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.processes import EVERYSPAN, Program, deliver_the_rest, missing_numbers, parents, python

# A program that nobody edited for us, apart from the spans that tell where work was done.
POOLS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import everyspan

def work(name):
    with everyspan.span(f"work {name}"):
        pass

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with everyspan.span("process"):
        child = context.Process(target=work, args=("of a process",))
        child.start()
        child.join()
    with everyspan.span("made the executor"):
        executor = ProcessPoolExecutor(2, mp_context=context)
        executor.submit(work, "at first").result()
    with everyspan.span("executor"):
        list(executor.map(work, ["e0", "e1", "e2"]))
    executor.submit(work, "of nobody").result()
    executor.shutdown()
    with context.Pool(2) as pool, everyspan.span("pool"):
        pool.map(work, ["p0", "p1"])
        pool.apply(work, ["p2"])
        list(pool.imap_unordered(work, ["p3", "p4"]))
"""
POOLS_TREE = {
    "process": "",
    "work of a process": "process",
    "made the executor": "",
    "work at first": "made the executor",
    "executor": "",
    **{f"work e{number}": "executor" for number in range(3)},
    "work of nobody": "",
    "pool": "",
    **{f"work p{number}": "pool" for number in range(5)},
}


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(speaks_everyspan=True) as running:
        yield running


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_a_program_that_nobody_edited_record_below_whoever_gave_them_work(
    sink: Sink, tmp_path: Path, method: str
) -> None:
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    spool = tmp_path / "spool"
    # The endpoint is told to the parent alone, so that a child can only have it from there.
    command = [*EVERYSPAN, "--endpoint", sink.url, str(script), method]
    with Program(command, spool=spool, sink=sink, environment={"EVERYSPAN_ENDPOINT": ""}) as program:
        assert program.end(within_s=30) == 0, program.complaints

    assert parents(sink) == POOLS_TREE
    assert missing_numbers(sink) == {}
    assert list(spool.rglob("*.seg")) == []


def test_calls_of_litellm_in_a_spawned_pool_are_recorded_below_the_span_of_the_parent(
    sink: Sink, tmp_path: Path
) -> None:
    script = tmp_path / "calls.py"
    script.write_text(
        """
import multiprocessing, sys
import everyspan

def ask(question):
    import litellm
    litellm.completion(
        "openai/gpt-4o-mini", messages=[{"role": "user", "content": question}],
        api_base=sys.argv[1], api_key="sk-test",
    )

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool, everyspan.span("batch"):
        pool.map(ask, ["one?", "two?", "three?"])
"""
    )
    with FakeProvider() as provider:
        command = [*EVERYSPAN, str(script), provider.openai_url]
        with Program(command, spool=tmp_path / "spool", sink=sink) as program:
            assert program.end(within_s=60) == 0, program.complaints
        billed = len(provider.ledger.calls)

    batch = next(span for span in sink.spans if span.name == "batch")
    calls = [span for span in sink.spans if "gen_ai.operation.name" in span.attributes]
    # The pool ends its processes with SIGTERM: what was on its way then is sent once more, by whoever adopts it.
    assert len({call.span_id for call in calls}) == billed == 3
    assert {call.attributes["everyspan.end"] for call in calls} == {"complete"}
    assert {call.parent_id for call in calls} == {batch.span_id}
    assert missing_numbers(sink) == {}


def test_a_forked_child_that_leaves_its_parents_block_does_not_record_it_again(
    sink: Sink, tmp_path: Path
) -> None:
    code = """
import os, sys, everyspan
everyspan.init()
with everyspan.span("parent"):
    child = os.fork()
    with everyspan.span("in the child" if not child else "in the parent"):
        pass
    if child:
        os.waitpid(child, 0)
if not child:
    print(everyspan.stats()["calls"]["disowned"])
"""
    with Program(python(code), spool=tmp_path, sink=sink) as program:
        program.wait_for("1")
        assert program.end() == 0

    assert parents(sink) == {"parent": "", "in the child": "parent", "in the parent": "parent"}
    assert missing_numbers(sink) == {}


def test_what_killed_children_recorded_is_delivered_by_their_parent_at_its_end(
    sink: Sink, tmp_path: Path
) -> None:
    code = """
import os, signal, everyspan
everyspan.init()
with everyspan.span("parent"):
    for number in range(5):
        child = os.fork()
        if not child:
            with everyspan.span(f"child {number}"):
                pass
            os.kill(os.getpid(), signal.SIGKILL) if number % 2 else os._exit(1)
        os.waitpid(child, 0)
"""
    with Program(python(code), spool=tmp_path, sink=sink) as program:
        assert program.end() == 0

    assert parents(sink) == {"parent": "", **{f"child {number}": "parent" for number in range(5)}}
    assert missing_numbers(sink) == {}
    assert list(tmp_path.rglob("*.seg")) == []


def test_children_that_are_forked_while_threads_record_lose_and_repeat_nothing(
    sink: Sink, tmp_path: Path
) -> None:
    code = """
import os, threading, everyspan
everyspan.init()
going_on = True
def record(thread):
    number = 0
    while going_on:
        with everyspan.span(f"thread {thread} span {number}"):
            pass
        number += 1
        told[thread] = number
told = {0: 0, 1: 0}
threads = [threading.Thread(target=record, args=(thread,)) for thread in told]
for thread in threads:
    thread.start()
children = []
for number in range(20):
    child = os.fork()
    if not child:
        with everyspan.span(f"child {number}"):
            pass
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
going_on = False
for thread in threads:
    thread.join()
print(told[0] + told[1], flush=True)
"""
    with Program(python(code), spool=tmp_path, sink=sink) as program:
        assert program.end() == 0
    deliver_the_rest(sink, tmp_path)

    tree = parents(sink)
    assert len(tree) == int(program.said) + 20
    assert {f"child {number}" for number in range(20)} <= tree.keys()
    assert missing_numbers(sink) == {}
