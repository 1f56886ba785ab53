"""OTLP over gRPC, with OpenTelemetry's own exporter and over the bare wire."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from everyspan.collector.limits import Limits
from everyspan.collector.otlp_grpc import METHOD, MOST_BODIES
from everyspan.errors import SettingsError
from everyspan.server import Server, running
from tests.collector_requests import TRACE_ID, body, generation, get, settled, span

KEYS = ("pk-a:sk-a",)
ALLOWED = (("authorization", "Basic " + base64.b64encode(b"pk-a:sk-a").decode()),)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, keys=KEYS, grpc_port=0, limits=Limits(body_bytes=1 << 20)) as opened:
        yield opened


def export(server: Server, content: bytes, *, compression: grpc.Compression = None, **more: str) -> bytes:
    metadata = (*(ALLOWED if not more else ()), *more.items())
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary(METHOD)
        answer: bytes = call(content, metadata=metadata, compression=compression, timeout=20)
        return answer


def code_of(server: Server, content: bytes, **more: str) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        export(server, content, **more)
    return refused.value.code()


def test_opentelemetrys_grpc_exporter_delivers_and_it_comes_back_right(server: Server) -> None:
    exporter = OTLPSpanExporter(
        endpoint=server.grpc_address, insecure=True, headers=ALLOWED, compression=grpc.Compression.Gzip
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    with provider.get_tracer("tests").start_as_current_span("by gRPC") as made:
        made.set_attribute("user.id", "u-1")
    provider.shutdown()

    settled(server.url, Authorization="Bearer sk-a")
    (trace,) = get(f"{server.url}/api/v1/traces", Authorization="Bearer sk-a").json["traces"]
    assert (trace["name"], trace["user"], trace["spans"]) == ("by gRPC", "u-1", 1)


def test_a_bad_span_is_named_in_the_answer_and_the_good_one_is_stored(server: Server) -> None:
    answer = ExportTraceServiceResponse.FromString(
        export(server, body(generation(1), span(0, name="nameless")))
    )

    health = settled(server.url, lambda health: health["stored_spans"] == 1, Authorization="Bearer sk-a")
    assert answer.partial_success.rejected_spans == 1
    assert "nameless" in answer.partial_success.error_message
    assert health["rejected_spans"] == 1


def test_what_cannot_be_taken_is_refused_with_codes_that_exporters_understand(server: Server) -> None:
    wrong = "Bearer sk-b"

    assert code_of(server, body(span()), authorization=wrong) is grpc.StatusCode.UNAUTHENTICATED
    assert code_of(server, b"\xff\xff") is grpc.StatusCode.INVALID_ARGUMENT
    assert code_of(server, body(span(name="x" * (2 << 20)))) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert get(f"{server.url}/api/v1/traces", Authorization="Bearer sk-a").json["traces"] == []


def test_a_compressed_bomb_is_refused_and_the_next_call_is_served(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        export(server, body(span(name="x" * (32 << 20))), compression=grpc.Compression.Gzip)

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert export(server, body(span())) == b""


def test_a_disk_that_is_full_is_told_as_unavailable(tmp_path: Path) -> None:
    limits = Limits(inbox_bytes=64 << 10)
    with running(tmp_path, grpc_port=0, limits=limits) as server:
        answers: list[object] = []
        large = body(*(span(number, name="x" * 9000) for number in range(1, 8)))
        threads = [threading.Thread(target=lambda: answers.append(_tried(server, large))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert grpc.StatusCode.UNAVAILABLE in answers
    assert set(answers) <= {b"", grpc.StatusCode.UNAVAILABLE}


def _tried(server: Server, content: bytes) -> object:
    try:
        return export(server, content)
    except grpc.RpcError as refused:
        return refused.code()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with running(tmp_path / "one", grpc_port=0) as server:
        port = int(server.grpc_address.rpartition(":")[2])

        with pytest.raises(SettingsError, match=str(port)), running(tmp_path / "two", grpc_port=port):
            pass


def test_traces_with_this_id_are_one_trace(server: Server) -> None:
    export(server, body(generation(1)))
    export(server, body(generation(2)))

    settled(server.url, Authorization="Bearer sk-a")
    found = get(f"{server.url}/api/v1/traces/{TRACE_ID}", Authorization="Bearer sk-a").json
    assert len(found["spans"]) == 2


def stalled(channel: grpc.Channel, until: threading.Event, metadata: Any = ()) -> grpc.Future:
    """A call that begins and does not send its body."""

    def bodies() -> Iterator[bytes]:
        until.wait(60)
        yield b""

    return channel.stream_unary(METHOD).future(bodies(), metadata=metadata)


def test_a_call_without_a_key_is_refused_before_its_body(server: Server) -> None:
    over = threading.Event()
    with grpc.insecure_channel(server.grpc_address) as channel:
        codes = {stalled(channel, over).exception(timeout=20).code() for _ in range(3 * MOST_BODIES)}
        over.set()

    assert codes == {grpc.StatusCode.UNAUTHENTICATED}


def test_clients_that_never_send_their_bodies_are_told_to_come_back_and_others_are_served(
    tmp_path: Path,
) -> None:
    over = threading.Event()
    limits = Limits(body_timeout_s=0.5)
    with (
        running(tmp_path, grpc_port=0, limits=limits) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        crowd = [stalled(channel, over) for _ in range(MOST_BODIES)]

        answer = export(server, body(generation(1)))
        refused = [call.exception(timeout=20) for call in crowd]
        over.set()

    assert answer == b""
    assert {each.code() for each in refused} == {grpc.StatusCode.UNAVAILABLE}
    assert all("google.rpc.retryinfo-bin" in dict(each.trailing_metadata()) for each in refused)


def test_more_calls_at_once_than_bodies_are_received_wait_for_their_turn(server: Server) -> None:
    with grpc.insecure_channel(server.grpc_address) as channel:
        export_one = channel.unary_unary(METHOD)
        calls = [
            export_one.future(body(generation(number)), metadata=ALLOWED, timeout=20)
            for number in range(1, 8 * MOST_BODIES)
        ]
        answers = {call.result() for call in calls}

    health = settled(server.url, Authorization="Bearer sk-a")
    assert answers == {b""}
    assert health["stored_spans"] == len(calls)
