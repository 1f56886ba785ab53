"""Our encoder says what the stock one says, and more where that one gives up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from everyspan.errors import WireError
from everyspan.model.ids import Seq, WriterId
from everyspan.wire import values
from everyspan.wire.decode import identify, span_ids
from everyspan.wire.encode import (
    Encoded,
    encode_ended,
    encode_interrupted,
    encode_span,
    encode_started,
)
from everyspan.wire.envelope import unwrap, wrap
from everyspan.wire.frame import Kind
from everyspan.wire.stamp import STAMP, STAMP_LENGTH, Stamp, format_stamp
from everyspan.wire.values import attributes_of

TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
KEY = st.text(st.characters(codec="utf-8"), min_size=1, max_size=140)


def stock_knows_none() -> bool:
    """An older stock encoder (1.33) leaves out an attribute whose value is None; ours keeps it."""
    request = encode_spans([span_of({"key": None})])
    return bool(request.resource_spans[0].scope_spans[0].spans[0].attributes)


def span_of(attributes: Mapping[str, Any]) -> ReadableSpan:
    context = SpanContext(0xABC, 0xDEF, is_remote=False)
    return ReadableSpan("call", context=context, attributes=attributes, start_time=1, end_time=2)


# An older stock encoder leaves out attributes that hold None or bytes: with it only what it knows is compared.
SCALAR = (
    (st.none() | st.binary(max_size=300) if stock_knows_none() else st.nothing())
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | TEXT
)
VALUE = st.recursive(
    SCALAR,
    lambda held: (
        st.lists(held, max_size=4) | st.lists(held).map(tuple) | st.dictionaries(TEXT, held, max_size=3)
    ),
    max_leaves=5,
)
ATTRIBUTES = st.dictionaries(KEY, VALUE, max_size=5)
NS = st.integers(0, 2**64 - 1)
CONTEXT = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    is_remote=st.booleans(),
    trace_flags=st.just(TraceFlags(1)),
    trace_state=st.sampled_from([TraceState(), TraceState([("vendor", "1"), ("other", "x")])]),
)
SPANS = st.builds(
    ReadableSpan,
    name=TEXT,
    context=CONTEXT,
    parent=st.none() | CONTEXT,
    resource=st.builds(Resource, ATTRIBUTES, TEXT),
    attributes=ATTRIBUTES,
    events=st.lists(st.builds(Event, TEXT, ATTRIBUTES, NS), max_size=2),
    links=st.lists(st.builds(Link, CONTEXT, ATTRIBUTES), max_size=2),
    kind=st.sampled_from(list(SpanKind)),
    status=st.builds(Status, st.just(StatusCode.ERROR), TEXT)
    | st.just(Status(StatusCode.OK))
    | st.just(Status()),
    start_time=NS,
    end_time=st.none() | NS,
    instrumentation_scope=st.none() | st.builds(InstrumentationScope, TEXT, TEXT, TEXT, ATTRIBUTES),
)


def parsed(payload: bytes | bytearray) -> Any:
    return ExportTraceServiceRequest.FromString(bytes(payload))


def only_span(payload: bytes | bytearray) -> Any:
    return parsed(payload).resource_spans[0].scope_spans[0].spans[0]


def attribute(payload: bytes | bytearray, key: str) -> Any:
    return next(each.value for each in only_span(payload).attributes if each.key == key)


def stamped(encoded: Encoded, stamp: Stamp) -> bytes:
    encoded.payload[encoded.stamp_at : encoded.stamp_at + STAMP_LENGTH] = format_stamp(*stamp)
    return bytes(encoded.payload)


@settings(max_examples=100, deadline=None)
@given(SPANS)
def test_our_bytes_parse_to_what_the_stock_encoder_makes(span: ReadableSpan) -> None:
    stock = encode_spans([span])

    ours = parsed(encode_span(span).payload)

    assert ours.resource_spans[0].scope_spans[0].spans[0].attributes.pop().key == STAMP
    assert ours == stock


def test_a_span_of_this_version_of_the_sdk_is_read_from_where_it_holds_things(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def the_long_way(_: ReadableSpan) -> None:
        pytest.fail("the SDK holds things elsewhere: each span costs twice the time")

    span = TracerProvider().get_tracer("tests", "1").start_span("call", attributes={"a": 1})
    span.end()
    assert isinstance(span, ReadableSpan)
    monkeypatch.setattr("everyspan.wire.encode._read_publicly", the_long_way)

    assert only_span(encode_span(span).payload).name == "call"


def test_a_span_that_the_sdk_made_and_cut_has_the_same_dropped_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
    links = [Link(SpanContext(at, at, is_remote=True)) for at in (1, 2)]
    span = TracerProvider().get_tracer("tests", "1").start_span("call", links=links)
    for at in range(5):
        span.set_attribute(f"key {at}", at)
        span.add_event(f"event {at}")
    span.end()
    assert isinstance(span, ReadableSpan)

    ours = parsed(encode_span(span).payload)

    assert ours.resource_spans[0].scope_spans[0].spans[0].attributes.pop().key == STAMP
    assert ours == encode_spans([span])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        (2**63, "9223372036854775808"),
        (Decimal("0.1"), "0.1"),
        (-(2**63) - 1, "-9223372036854775809"),
    ],
)
def test_what_the_stock_encoder_loses_is_kept_as_text(value: Any, kept: str) -> None:
    payload = encode_span(span_of({"odd": value, "good": "neighbour"})).payload

    assert attribute(payload, "odd").string_value == kept
    assert attribute(payload, "good").string_value == "neighbour"


def test_a_value_that_breaks_when_it_is_looked_at_costs_only_itself() -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    payload = encode_span(span_of({"odd": Broken(), "good": 1})).payload

    assert attribute(payload, "odd").string_value == "<Broken that can not be shown: RuntimeError>"
    assert attribute(payload, "good").int_value == 1


def test_not_a_number_stays_not_a_number() -> None:
    payload = encode_span(span_of({"odd": math.nan})).payload

    assert math.isnan(attribute(payload, "odd").double_value)


def test_a_value_nested_two_hundred_deep_becomes_text_and_the_request_still_parses() -> None:
    value: list[Any] = ["bottom"]
    for _ in range(200):
        value = [value]

    found = attribute(encode_span(span_of({"deep": value})).payload, "deep")

    depth = 0
    while found.HasField("array_value"):
        found, depth = found.array_value.values[0], depth + 1
    assert depth == 16
    assert found.string_value.count("[") == 201 - 16


def test_a_list_that_holds_itself_is_no_endless_loop() -> None:
    loop: list[Any] = []
    loop.append(loop)

    payload = encode_span(span_of({"loop": loop})).payload

    assert attribute(payload, "loop").HasField("array_value")


def test_extra_attributes_stand_behind_the_spans_own() -> None:
    payload = encode_span(span_of({"own": 1}), extra={"extra": "2"}).payload

    assert [each.key for each in only_span(payload).attributes] == ["own", "extra", STAMP]


@settings(max_examples=50, deadline=None)
@given(SPANS)
def test_the_ids_are_found_in_whatever_we_encode(span: ReadableSpan) -> None:
    context = span.get_span_context()
    assert context is not None

    found = [span_ids(encode(span).payload) for encode in (encode_span, encode_started)]

    assert found == [context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big")] * 2


def test_the_stamp_is_where_the_encoder_says() -> None:
    stamp = Stamp(WriterId("0004242-0123456789ab"), Seq(77))

    payload = stamped(encode_span(span_of({"own": "x" * 5000})), stamp)

    found = identify(payload)
    assert found.stamp == stamp
    assert (found.trace_id, found.span_id) == ((0xABC).to_bytes(16, "big"), (0xDEF).to_bytes(8, "big"))
    assert span_ids(payload) == found.trace_id + found.span_id


def test_a_started_span_is_invisible_to_other_receivers() -> None:
    payload = encode_started(span_of({"own": 1})).payload

    assert parsed(payload).resource_spans == []


@settings(max_examples=60, deadline=None)
@given(SPANS, ATTRIBUTES)
def test_a_span_that_goes_on_from_its_start_is_the_one_that_is_written_anew(
    span: ReadableSpan, since: dict[str, Any]
) -> None:
    ended = span.end_time, span.status, span._events, span._links
    span._end_time, span._status, span._events, span._links = None, Status(), (), ()
    started = encode_started(span)
    span._end_time, span._status, span._events, span._links = ended

    found = encode_ended(span, started.begun, attributes=list(since.items()), extra={"extra": "2"})

    both = [*attributes_of(span), *since.items()]
    assert parsed(found.payload) == parsed(encode_span(span, attributes=both, extra={"extra": "2"}).payload)
    assert span_ids(bytes(found.payload)) == span_ids(bytes(started.payload))


@pytest.mark.parametrize("what", ["events", "links", "dropped"])
def test_a_start_with_a_list_that_may_grow_is_not_gone_on_from(what: str) -> None:
    context = SpanContext(0xABC, 0xDEF, is_remote=False)
    span = ReadableSpan(
        "call",
        context=context,
        events=[Event("event")] if what == "events" else [],
        links=[Link(context)] if what == "links" else [],
        start_time=1,
    )
    if what == "dropped":
        limits = SpanLimits(max_span_attributes=1)
        crowded = TracerProvider(span_limits=limits).get_tracer("t").start_span("call")
        crowded.set_attributes({"a": 1, "b": 2})
        assert isinstance(crowded, ReadableSpan)
        span = crowded

    assert not encode_started(span).begun


@settings(max_examples=30, deadline=None)
@given(SPANS)
def test_an_interrupted_span_is_the_started_one_with_an_end_and_an_error(span: ReadableSpan) -> None:
    span._end_time = None
    span._status = Status()
    stamp = Stamp(WriterId("0004242-0123456789ab"), Seq(5))
    started = stamped(encode_started(span), stamp)

    payload = encode_interrupted(started, end_ns=7)

    expected = only_span(wrap(Kind.SPAN, unwrap(started)))
    found = only_span(payload)
    assert found.end_time_unix_nano == max(7, span.start_time or 0)
    assert found.status.message == "the process ended before the call did"
    assert found.status.code == StatusCode.ERROR.value
    end = found.attributes.pop()
    assert (end.key, end.value.string_value) == ("everyspan.end", "interrupted")
    found.ClearField("end_time_unix_nano")
    found.status.Clear()
    assert found == expected
    assert identify(payload).stamp == stamp
    assert encode_interrupted(started, end_ns=7) == payload


def test_a_payload_without_a_span_can_not_be_interrupted() -> None:
    with pytest.raises(WireError):
        encode_interrupted(wrap(Kind.START, b""), end_ns=1)


@pytest.mark.parametrize("key", ["k", "k" * 125, "k" * 300])
@pytest.mark.parametrize("around", [0, 64, 128, 0x4000, 0x4000 - 128])
def test_no_length_of_a_text_changes_what_is_read_back(key: str, around: int) -> None:
    lengths = range(max(0, around - 24), around + 8)

    for length in lengths:
        payload = encode_span(span_of({key: "x" * length, "next": 1})).payload

        assert attribute(payload, key).string_value == "x" * length
        assert attribute(payload, "next").int_value == 1


def test_a_value_that_is_met_again_is_written_as_it_is_now() -> None:
    inner: list[Any] = ["stop"]
    reasons, nested = ("stop", "length"), (inner,)
    met = [reasons, nested, inner, "stop", (1,), (True,), (1.0,), reasons]

    before = [values.attribute(b"\x4a", "key", value) for value in met]
    inner.append("length")
    after = [values.attribute(b"\x4a", "key", value) for value in met]
    elsewhere = values.attribute(b"\x0a", "key", reasons)

    assert len(set(before)) == len(met) - 1  # `reasons` twice
    assert after[1] != before[1]
    assert after[2] != before[2]
    assert [after[0], *after[3:]] == [before[0], *before[3:]]
    assert elsewhere == b"\x0a" + before[0][1:]
