"""The current span, and what was said about it, follow the work wherever it goes."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from opentelemetry.trace import format_span_id, format_trace_id

import everyspan
from tests.recording import Recording


def leaf() -> None:
    with everyspan.span("leaf"):
        pass


def by_thread() -> None:
    thread = threading.Thread(target=leaf)
    thread.start()
    thread.join()


def by_own_thread_class() -> None:
    class Worker(threading.Thread):
        def run(self) -> None:
            leaf()

    worker = Worker(daemon=True)
    worker.start()
    worker.join()


def by_executor() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(leaf).result()


def by_to_thread() -> None:
    async def main() -> None:
        await asyncio.to_thread(leaf)

    asyncio.run(main())


def by_task_group() -> None:
    async def work() -> None:
        leaf()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())

    asyncio.run(main())


def by_anyio() -> None:
    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, leaf)

    anyio.run(main)


def by_queue() -> None:
    todo: queue.Queue[Callable[[], None] | None] = queue.Queue()

    def work() -> None:
        while (job := todo.get()) is not None:
            job()

    worker = threading.Thread(target=everyspan.propagate(work))
    todo.put(everyspan.propagate(leaf))
    todo.put(None)
    worker.start()
    worker.join()


@pytest.mark.parametrize(
    "go", [by_thread, by_own_thread_class, by_executor, by_to_thread, by_task_group, by_anyio, by_queue]
)
def test_the_parent_and_what_was_said_follow_the_work(recorded: Recording, go: Callable[[], None]) -> None:
    with (
        everyspan.context(user="u-1", session="s-1", tags=["nightly"], environment="staging"),
        everyspan.span("parent") as parent,
    ):
        go()

    (found,) = [span for span in recorded.spans() if span.name == "leaf"]
    assert found.parent_id == format_span_id(parent.get_span_context().span_id)
    assert found.attributes["user.id"] == "u-1"
    assert found.attributes["session.id"] == "s-1"
    assert found.attributes["langfuse.trace.tags"] == ["nightly"]
    assert found.attributes["deployment.environment.name"] == "staging"


def test_a_pools_thread_does_not_keep_the_span_in_which_it_was_started(recorded: Recording) -> None:
    with ThreadPoolExecutor(1) as pool:
        with everyspan.span("first"):
            pool.submit(leaf).result()
        pool.submit(leaf).result()

    first = next(span for span in recorded.spans() if span.name == "first")
    parents = [span.parent_id for span in recorded.spans() if span.name == "leaf"]
    assert parents[0] == first.span_id
    assert parents[1] != first.span_id


def test_propagated_work_runs_where_it_was_made_and_many_times_at_once(recorded: Recording) -> None:
    with everyspan.span("parent") as parent:
        work = everyspan.propagate(leaf)

        @everyspan.propagate
        async def later() -> None:
            leaf()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: work(), range(8)))
    asyncio.run(later())

    parents = {span.parent_id for span in recorded.spans() if span.name == "leaf"}
    assert parents == {format_span_id(parent.get_span_context().span_id)}


def test_a_trace_goes_on_in_the_service_that_gets_its_headers(recorded: Recording) -> None:
    with everyspan.span("caller") as caller:
        sent = everyspan.headers()

    with everyspan.context(headers={name.title(): value for name, value in sent.items()}):
        leaf()

    (found,) = [span for span in recorded.spans() if span.name == "leaf"]
    here = caller.get_span_context()
    assert found.parent_id == format_span_id(here.span_id)
    assert sent["traceparent"].split("-")[1] == format_trace_id(here.trace_id)
