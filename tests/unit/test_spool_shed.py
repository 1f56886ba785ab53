"""Texts go before money: what a span still says when the spool is nearly full."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from everyspan.model.destination import Destination
from everyspan.record.processor import EveryspanProcessor
from everyspan.record.registry import Registry
from everyspan.record.shadows import Shadows
from everyspan.record.tally import TALLY
from everyspan.settings import Fsync
from everyspan.spool import Log
from everyspan.wire.decode import unwrap
from everyspan.wire.frame import Kind
from tests.spool_frames import drain

CAP = 64 << 10
MONEY: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 34,
    "everyspan.cost.total": "0.00334",
    "everyspan.cost.state": "computed",
    "everyspan.cost.lines": "[" + ",".join(['["input",1200,"0.0000025","0.003"]'] * 200) + "]",
    "session.id": "session 9",
}
TEXTS: dict[str, AttributeValue] = {
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"' + "x" * 3000 + '"}]}]',
    "gen_ai.output.messages": "[]",
    "gen_ai.tool.definitions": "[{}]",
    "everyspan.usage.raw": "{}",
    "langfuse.observation.input": "{}",
    "langfuse.observation.output": "{}",
    "input.value": "1",
    "output.value": "2",
    "llm.input_messages.0.message.content": "Hello",
    "something.of.the.users": "y" * 5000,
}


class Recorder:
    """A provider whose spans go to one log of `CAP` bytes."""

    def __init__(self, root: Path) -> None:
        self.log = Log(root, about={}, fsync=Fsync.NONE, cap_bytes=CAP)
        registry = Registry(open_log=lambda _: self.log, wake=lambda: None, flush=lambda _: True)
        registry.add(Destination(url="http://127.0.0.1:1/v1/traces"))
        self.provider = TracerProvider()
        self.provider.add_span_processor(EveryspanProcessor(self.provider, registry, Shadows()))

    def call(self) -> None:
        span = self.provider.get_tracer("everyspan").start_span("chat gpt-4o", attributes={**MONEY, **TEXTS})
        span.add_event("gen_ai.user.message", {"content": "Hello"})
        span.add_event("retry", {"attempt": 2})
        span.set_status(Status(StatusCode.ERROR, "it went wrong"))
        span.end()

    def last(self, kind: Kind) -> tuple[Span, dict[str, object], int]:
        """The newest span of that kind, its attributes, and its length on disk."""
        payload = [frame.payload for frame in drain(self.log.backlog()) if frame.kind == kind][-1]
        (span,) = ResourceSpans.FromString(unwrap(payload)).scope_spans[0].spans
        said = {each.key: each.value for each in span.attributes}
        values = {
            key: value.string_value
            or value.int_value
            or tuple(each.string_value for each in value.array_value.values)
            for key, value in said.items()
        }
        return span, values, len(payload)


@pytest.fixture
def crowded(tmp_path: Path) -> Recorder:
    recorder = Recorder(tmp_path)
    while not recorder.log.crowded:
        recorder.call()
    return recorder


def test_nothing_is_left_out_while_there_is_room(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)

    recorder.call()

    _, said, _ = recorder.last(Kind.SPAN)
    assert set(said) >= {*MONEY, *TEXTS}
    assert "everyspan.shed" not in said


def test_money_stays_and_texts_go_by_name(crowded: Recorder) -> None:
    before = TALLY.shed

    crowded.call()

    span, said, _ = crowded.last(Kind.SPAN)
    assert {name: said[name] for name in MONEY} == MONEY
    assert not said.keys() & TEXTS.keys()
    assert said["everyspan.shed"] == tuple(TEXTS)
    assert TALLY.shed == before + 1
    assert (span.name, span.status.message) == ("chat gpt-4o", "it went wrong")
    assert span.end_time_unix_nano > span.start_time_unix_nano > 0
    assert [event.name for event in span.events] == ["retry"]
    assert span.dropped_events_count == 1


def test_a_call_that_begins_then_still_tells_how_long_its_input_was(crowded: Recorder) -> None:
    crowded.call()

    _, said, size_bytes = crowded.last(Kind.START)
    assert said["everyspan.shed.input_bytes"] == len(str(TEXTS["gen_ai.input.messages"])) + len("[{}]")
    assert size_bytes < len(str(MONEY["everyspan.cost.lines"])) + 1500


def test_what_is_delivered_makes_room_for_texts_again(crowded: Recorder) -> None:
    crowded.call()
    drain(crowded.log.backlog())

    crowded.call()

    _, said, _ = crowded.last(Kind.SPAN)
    assert set(said) >= set(TEXTS)
