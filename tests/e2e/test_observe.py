"""`@everyspan.observe` and `everyspan.span()`: spans of the user's own functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from opentelemetry import trace

import everyspan
from everyspan.testing.received import ReceivedSpan
from tests.recording import Recording


def current_span_id() -> str:
    return f"{trace.get_current_span().get_span_context().span_id:016x}"


def named(recorded: Recording, name: str) -> ReceivedSpan:
    (span,) = [span for span in recorded.spans() if span.name == name]
    return span


def test_an_observed_function_keeps_arguments_and_result(recorded: Recording) -> None:
    @everyspan.observe
    def add(left: int, right: int = 2) -> int:
        return left + right

    assert add(1, right=4) == 5

    span = named(recorded, "add")
    assert json.loads(str(span.attributes["input.value"])) == {"left": 1, "right": 4}
    assert span.attributes["output.value"] == "5"


def test_capturing_can_be_switched_off_and_the_name_chosen(recorded: Recording) -> None:
    @everyspan.observe(name="secret work", capture_input=False, capture_output=False)
    def work(password: str) -> str:
        return password

    work("hunter2")

    assert "hunter2" not in str(named(recorded, "secret work").attributes)


def test_nested_async_functions_form_a_tree(recorded: Recording) -> None:
    @everyspan.observe
    async def leaf(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @everyspan.observe
    async def root() -> list[int]:
        return list(await asyncio.gather(leaf(1), leaf(2)))

    assert asyncio.run(root()) == [1, 2]

    root_id = named(recorded, "root").span_id
    assert [span.parent_id for span in recorded.spans() if span.name == "leaf"] == [root_id, root_id]


def test_an_exception_passes_and_marks_the_span(recorded: Recording) -> None:
    @everyspan.observe
    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError):
        fail()

    span = named(recorded, "fail")
    assert span.status == "error"
    assert span.attributes["error.type"] == "KeyError"


def test_a_cancelled_function_says_so(recorded: Recording) -> None:
    @everyspan.observe
    async def wait(started: asyncio.Event) -> None:
        started.set()
        await asyncio.Event().wait()

    async def cancel() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(wait(started))
        await started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())

    assert named(recorded, "wait").attributes["everyspan.end"] == "cancelled"


def test_a_generator_is_current_inside_its_body_only(recorded: Recording) -> None:
    inside: list[str] = []

    @everyspan.observe
    def count(limit: int) -> Iterator[int]:
        for number in range(limit):
            inside.append(current_span_id())
            yield number

    around = current_span_id()
    outside = [current_span_id() for _ in count(3)]

    span = named(recorded, "count")
    assert inside == [span.span_id] * 3
    assert outside == [around] * 3
    assert span.attributes["output.value"] == "[0,1,2]"


def test_an_async_generator_is_current_inside_its_body_only(recorded: Recording) -> None:
    inside: list[str] = []

    @everyspan.observe
    async def count(limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            inside.append(current_span_id())
            yield number

    async def read() -> list[str]:
        return [current_span_id() async for _ in count(3)]

    around = current_span_id()
    outside = asyncio.run(read())

    span = named(recorded, "count")
    assert inside == [span.span_id] * 3
    assert outside == [around] * 3


def test_a_generator_that_is_dropped_ends_its_span(recorded: Recording) -> None:
    @everyspan.observe
    def count() -> Iterator[int]:
        yield from range(10)

    next(iter(count()))

    assert named(recorded, "count").attributes["everyspan.end"] == "abandoned"


def test_user_session_and_tags_reach_every_span_inside(recorded: Recording) -> None:
    with (
        everyspan.context(user="ada", tags=["outer"]),
        everyspan.context(session="s-7"),
        everyspan.span("inside"),
    ):
        pass
    with everyspan.span("outside"):
        pass

    inside, outside = named(recorded, "inside"), named(recorded, "outside")
    assert inside.attributes["user.id"] == "ada"
    assert inside.attributes["session.id"] == "s-7"
    assert inside.attributes["langfuse.trace.tags"] == ["outer"]
    assert "user.id" not in outside.attributes


def test_a_span_block_works_with_async_with_too(recorded: Recording) -> None:
    async def work() -> None:
        async with everyspan.span("block", attributes={"step": 1}) as span:
            span.set_attribute("done", True)

    asyncio.run(work())

    assert named(recorded, "block").attributes["step"] == 1
    assert named(recorded, "block").attributes["done"] is True


def test_arguments_that_no_json_can_hold_do_not_break_the_call(recorded: Recording) -> None:
    class Awkward:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    @everyspan.observe
    def take(thing: object) -> str:
        return "taken"

    assert take(Awkward()) == "taken"
    assert "Awkward" in str(named(recorded, "take").attributes["input.value"])
