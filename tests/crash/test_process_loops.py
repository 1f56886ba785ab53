"""Event loops that come and go: no span depends on one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.testing.sink import Sink
from tests.processes import Program, deliver_the_rest, missing_numbers, parents, python

TASKS = 5
TREE = {
    **{f"outer {name}": "" for name in range(2 * TASKS)},
    **{f"inner {name}": f"outer {name}" for name in range(2 * TASKS)},
}

WORK = f"""
import asyncio, threading
import everyspan
everyspan.init()

async def work(name):
    with everyspan.span(f"outer {{name}}"):
        await asyncio.sleep(0.001)
        with everyspan.span(f"inner {{name}}"):
            await asyncio.sleep(0.001)

async def main(first):
    await asyncio.gather(*(work(first + number) for number in range({TASKS})))
"""

TWO_IN_A_ROW = f"""
asyncio.run(main(0))
asyncio.run(main({TASKS}))
"""

ONE_FOR_EACH_THREAD = f"""
threads = [threading.Thread(target=asyncio.run, args=(main(first),)) for first in (0, {TASKS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

UVLOOP = f"""
import uvloop
uvloop.run(main(0))
uvloop.run(main({TASKS}))
"""

GEVENT = f"""
from gevent import monkey
monkey.patch_all()
import gevent, time
import everyspan
everyspan.init()

def work(name):
    with everyspan.span(f"outer {{name}}"):
        gevent.sleep(0.001)
        with everyspan.span(f"inner {{name}}"):
            gevent.sleep(0.001)

gevent.joinall([gevent.spawn(work, name) for name in range({2 * TASKS})])
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(speaks_everyspan=True) as running:
        yield running


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        ("asyncio", WORK + TWO_IN_A_ROW),
        ("asyncio", WORK + ONE_FOR_EACH_THREAD),
        ("uvloop", WORK + UVLOOP),
        ("gevent", GEVENT),
    ],
    ids=["two asyncio.run in a row", "one for each thread", "uvloop", "gevent"],
)
def test_spans_of_every_loop_arrive_once_below_their_own_parent(
    sink: Sink, tmp_path: Path, needs: str, code: str
) -> None:
    pytest.importorskip(needs)
    with Program(python(code), spool=tmp_path, sink=sink) as program:
        assert program.end() == 0, program.complaints

    assert parents(sink) == TREE
    assert len(sink.spans) == len(TREE)
    assert missing_numbers(sink) == {}
    assert list(tmp_path.rglob("*.seg")) == []


def test_sigterm_while_gevents_hub_waits_ends_the_process_and_the_spool_keeps_its_spans(
    sink: Sink, tmp_path: Path
) -> None:
    pytest.importorskip("gevent")
    sink.hang()
    code = GEVENT + "print('ready')\ntime.sleep(30)"
    with Program(python(code), spool=tmp_path, sink=sink) as program:
        program.wait_for("ready")
        sink.wait_for_requests(1)

        assert program.end(signal.SIGTERM, within_s=5) == -signal.SIGTERM

    sink.close()
    sink.open()
    deliver_the_rest(sink, tmp_path)
    assert parents(sink) == TREE
    assert missing_numbers(sink) == {}
