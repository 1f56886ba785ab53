"""The public sink, under the exporter that everybody uses: it must see what was sent and fail as it was told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode, Tracer

from everyspan.testing import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture
def tracer(sink: Sink) -> Iterator[Tracer]:
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(sink.url, timeout=2)))
    yield provider.get_tracer("shop.tracing")
    provider.shutdown()


def test_every_part_of_a_span_comes_out_as_it_went_in(sink: Sink, tracer: Tracer) -> None:
    with tracer.start_as_current_span("parent") as parent:
        child = tracer.start_span("child", start_time=1_000)
        child.set_attributes({"text": "naïve", "yes": True, "minus": -7, "half": 0.5, "list": ["a", "b"]})
        child.set_status(Status(StatusCode.ERROR, "no luck"))
        child.end(2_000)

    first, second = sink.wait_for(2)
    assert (first.name, first.start_ns, first.end_ns) == ("child", 1_000, 2_000)
    assert first.attributes == {"text": "naïve", "yes": True, "minus": -7, "half": 0.5, "list": ["a", "b"]}
    assert (first.status, first.status_message) == ("error", "no luck")
    assert (first.resource["service.name"], first.scope) == ("shop", "shop.tracing")
    assert first.trace_id == second.trace_id == f"{parent.get_span_context().trace_id:032x}"
    assert first.parent_id == second.span_id == f"{parent.get_span_context().span_id:016x}"
    assert second.parent_id == ""


def test_a_fault_is_used_up_by_one_request_and_then_all_is_well(sink: Sink, tracer: Tracer) -> None:
    sink.answer(400)

    tracer.start_span("refused").end()
    tracer.start_span("taken").end()

    sink.wait_for_requests(2)
    assert [request.status for request in sink.requests] == [400, 200]
    assert [span.name for span in sink.spans] == ["taken"]
    assert [span.name for span in sink.requests[0].spans] == ["refused"]


def test_a_lost_answer_makes_a_careless_exporter_deliver_twice(sink: Sink, tracer: Tracer) -> None:
    sink.lose_answer()

    tracer.start_span("once").end()

    assert [span.name for span in sink.wait_for(2)] == ["once", "once"]


def test_a_bad_span_is_refused_whenever_it_comes(sink: Sink, tracer: Tracer) -> None:
    sink.refuse_when(lambda span: span.name == "bad", status=422)

    for name in ("good", "bad", "good", "bad"):
        tracer.start_span(name).end()

    assert [request.status for request in sink.wait_for_requests(4)] == [200, 422, 200, 422]
    assert [span.name for span in sink.spans] == ["good", "good"]


def test_after_closing_it_can_listen_on_the_same_port_again_and_remembers(sink: Sink, tracer: Tracer) -> None:
    tracer.start_span("before").end()
    url = sink.url
    sink.close()
    sink.open()
    tracer.start_span("after").end()

    assert sink.url == url
    assert [span.name for span in sink.wait_for(2)] == ["before", "after"]


def test_waiting_in_vain_says_what_did_come(sink: Sink, tracer: Tracer) -> None:
    sink.answer(400)
    tracer.start_span("refused").end()

    with pytest.raises(TimeoutError, match=r"3 spans and got 0 spans in 1 requests, answered \[400\]"):
        sink.wait_for(3, timeout_s=0.05)
