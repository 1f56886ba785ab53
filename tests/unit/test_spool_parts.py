"""PART frames: what had arrived of an answer outlives the process, its segments and a second look."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanContext

from everyspan.model.destination import Destination
from everyspan.record.growing import GrowingMessage
from everyspan.record.registry import Arrived, Registry
from everyspan.settings import Fsync
from everyspan.spool import Kept, Log, adopt
from everyspan.wire.decode import unwrap
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind
from everyspan.wire.part import encode_part
from tests.spool_frames import drain, end, open_log, segments, seqs

OUTPUT = "gen_ai.output.messages"
CLOSES = {OUTPUT: '"}]}]'}


def call(number: int, **attributes: str | int) -> ReadableSpan:
    context = SpanContext(number, number, is_remote=False)
    known: dict[str, str | int] = {"gen_ai.operation.name": "chat", **attributes}
    return ReadableSpan("chat m", context=context, attributes=known, resource=Resource({}), start_time=1)


def begin(log: Log, number: int, **attributes: str | int) -> None:
    encoded = encode_started(call(number, **attributes))
    log.append(Kind.START, encoded.payload, stamp_at=encoded.stamp_at)


def finish(log: Log, number: int) -> None:
    encoded = encode_span(call(number))
    log.append(Kind.SPAN, encoded.payload, stamp_at=encoded.stamp_at)


def arrive(log: Log, number: int, part: int, text: str, **attributes: str | int) -> Kept:
    ids = number.to_bytes(16, "big") + number.to_bytes(8, "big")
    opens = '[{"role":"assistant","parts":[{"type":"text","content":"' if part == 1 else ""
    payload = encode_part(ids, part, attributes=attributes, grows=[(OUTPUT, opens + text)], closes=CLOSES)
    return log.append(Kind.PART, payload)


def found_after_death(log: Log, root: Path) -> dict[int, dict[str, object]]:
    """Kill the writer, so to speak, and recover twice; by trace id, the attributes of each interrupted span."""
    assert log._keeper.writer is not None
    log._keeper.writer.close()  # its lock goes, and no CLOSE is written: what SIGKILL does
    copy = root.with_name("again")
    shutil.copytree(root, copy)
    (first,), (second,) = ([drain(each) for each in adopt(place, living=None)] for place in (root, copy))
    assert [frame.payload for frame in first] == [frame.payload for frame in second]
    found = {}
    for frame in first:
        assert frame.kind != Kind.PART
        if frame.kind == Kind.SPAN:
            (span,) = ResourceSpans.FromString(unwrap(frame.payload)).scope_spans[0].spans
            said = {each.key: each.value for each in span.attributes}
            assert len(said) == len(span.attributes)  # nothing twice
            found[int.from_bytes(span.trace_id, "big")] = {
                key: value.string_value or value.int_value for key, value in said.items()
            }
    return found


def text_of(span: dict[str, object]) -> str:
    text: str = json.loads(str(span[OUTPUT]))[0]["parts"][0]["content"]
    return text


def test_the_parts_of_a_call_that_never_ended_are_joined(tmp_path: Path) -> None:
    log = open_log(tmp_path / "spool")
    begin(log, 7)
    for part, text in enumerate(["one ", "two ", "three"], start=1):
        assert arrive(log, 7, part, text) is Kept.DISK

    found = found_after_death(log, tmp_path / "spool")

    assert text_of(found[7]) == "one two three"
    assert found[7]["everyspan.end"] == "interrupted"
    assert found[7]["everyspan.usage.source"] == "estimated"
    assert found[7]["gen_ai.usage.output_tokens"] == 4  # 13 bytes


def test_a_call_that_ended_leaves_its_parts_behind(tmp_path: Path) -> None:
    log = open_log(tmp_path / "spool")
    begin(log, 7)
    arrive(log, 7, 1, "one")
    finish(log, 7)
    begin(log, 8)

    found = found_after_death(log, tmp_path / "spool")

    assert OUTPUT not in found[7]
    assert OUTPUT not in found[8]


def test_parts_take_no_numbers_and_are_not_counted(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    begin(log, 1)
    arrive(log, 1, 1, "one")
    finish(log, 1)

    counts = log.counts()

    assert (counts.last_seq, counts.spans, counts.on_disk) == (2, 1, 1)
    assert seqs(drain(log.backlog())) == [1, 2]


def test_parts_outlive_the_segments_in_which_they_were_delivered(tmp_path: Path) -> None:
    log = open_log(tmp_path / "spool", segment_bytes=4096)
    begin(log, 7)
    text = [f"{number} " for number in range(40)]
    for part, piece in enumerate(text, start=1):
        arrive(log, 7, part, piece)
        end(log, 1000 + part, text="x" * 800)
        drain(log.backlog())
    assert len(segments(tmp_path / "spool")) <= 3

    found = found_after_death(log, tmp_path / "spool")

    assert text_of(found[7]) == "".join(text)


def test_a_part_that_stands_in_two_segments_counts_once(tmp_path: Path) -> None:
    log = open_log(tmp_path / "spool")
    begin(log, 7)
    for part in (1, 2, 2, 1):
        arrive(log, 7, part, f"{part} ")

    found = found_after_death(log, tmp_path / "spool")

    assert text_of(found[7]) == "1 2 "


def test_parts_are_left_out_when_the_spool_is_nearly_full(tmp_path: Path) -> None:
    log = open_log(tmp_path, cap_bytes=8 << 10)
    begin(log, 7)
    while not log.crowded:
        end(log, 1, text="x" * 500)

    assert arrive(log, 7, 1, "one") is Kept.DROPPED


def test_an_input_that_the_provider_counted_is_not_estimated(tmp_path: Path) -> None:
    log = open_log(tmp_path / "spool")
    begin(log, 7, **{"gen_ai.input.messages": "x" * 400})
    arrive(log, 7, 1, "", **{"gen_ai.usage.input_tokens": 123})

    found = found_after_death(log, tmp_path / "spool")

    assert found[7]["gen_ai.usage.input_tokens"] == 123


@pytest.mark.parametrize(
    ("attributes", "tokens"),
    [
        ({"gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"12345"}]}]'}, 2),
        ({"gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"äöü€"}]}]'}, 3),
        (
            {
                "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"1234"}]}]',
                "gen_ai.tool.definitions": "[12345678]",
            },
            4,
        ),
        (
            {
                "gen_ai.input.messages": '[{"role":"user","parts":['
                '{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAA"}},'
                '{"type":"text","content":"1234"}]}]'
            },
            1,
        ),
        ({"langfuse.observation.input": '{"messages":[{"role":"user","content":"12345678"}]}'}, 2),
        ({"gen_ai.input.messages": "not JSON!"}, 3),
        ({"everyspan.shed.input_bytes": 4001}, 1001),
        ({"everyspan.shed.input_bytes": "of the user's own", "gen_ai.input.messages": "not JSON!"}, 3),
    ],
)
def test_input_tokens_are_estimated_from_the_texts_that_the_model_was_sent(
    tmp_path: Path, attributes: dict[str, str | int], tokens: int
) -> None:
    log = open_log(tmp_path / "spool")
    begin(log, 7, **attributes)

    found = found_after_death(log, tmp_path / "spool")

    assert found[7]["gen_ai.usage.input_tokens"] == tokens
    assert found[7]["everyspan.usage.source"] == "estimated"


def test_a_span_that_is_no_model_call_gets_no_tokens(tmp_path: Path) -> None:
    log = open_log(tmp_path / "spool")
    begin(log, 7, **{"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": "Hello"})

    found = found_after_death(log, tmp_path / "spool")

    assert not {name for name in found[7] if "usage" in name}


def test_no_part_reaches_a_destination_whose_owner_masks_whole_spans(tmp_path: Path) -> None:
    logs: list[Log] = []

    def open_for(destination: Destination) -> Log:
        logs.append(Log(tmp_path / destination.id, about={}, fsync=Fsync.NONE, cap_bytes=1 << 20))
        return logs[-1]

    registry = Registry(open_log=open_for, wake=lambda: None, flush=lambda _: True)
    masked = registry.add(Destination(url="http://masked/v1/traces"))
    registry.add(Destination(url="http://open/v1/traces"))
    registry.masked |= {masked.destination.id}
    span = TracerProvider().get_tracer("t").start_span("chat m")
    for outlet in registry.outlets:
        assert isinstance(span, ReadableSpan)
        registry.write_start(outlet, span)
    registry.write_part(span, 1, Arrived({}, [(OUTPUT, "secret")], {}))

    files = {path.parent.parent.name: path.read_bytes() for path in tmp_path.rglob("*.seg")}
    assert len(files) == 2
    assert [b"secret" in files[outlet.destination.id] for outlet in registry.outlets] == [False, True]


# --- the growing message ---


def test_whatever_comes_in_whatever_order_is_json_at_every_moment() -> None:
    message = GrowingMessage()
    genai = chat = ""
    steps: list[Callable[[], None]] = [
        lambda: message.add_reasoning('think "hard"\n'),
        lambda: message.add_text("Hello\u2028 \ud83d"),
        lambda: message.add_text(" world\\"),
        lambda: message.add_tool_call(0, "call_1", "look", '{"a":'),
        lambda: message.add_tool_call(0, "", "", "1}"),
        lambda: message.add_tool_call(1, "call_2", "leave", ""),
        lambda: message.add_text("Bye"),
    ]

    assert message.take_genai() == ("", "")
    for step in steps:
        step()
        more, closes = message.take_genai()
        genai += more
        ((read),) = json.loads(genai + closes)
        more, chat_closes = message.take_chat()
        chat += more
    parts = read["parts"]

    assert [part["type"] for part in parts] == ["reasoning", "text", "tool_call", "tool_call", "text"]
    assert parts[0]["content"] == 'think "hard"\n'
    assert parts[1]["content"] == "Hello\u2028 \ud83d world\\"
    assert parts[2] == {"type": "tool_call", "id": "call_1", "name": "look", "arguments": '{"a":1}'}
    assert json.loads(chat + chat_closes)["content"] == "Hello\u2028 \ud83d world\\Bye"
