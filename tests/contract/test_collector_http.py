"""What the collector promises to whoever posts to it, over real sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zstandard

from everyspan.collector.limits import Limits
from everyspan.server import Server, running
from everyspan.version import __version__
from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import TRACE_ID, Answer, body, generation, get, post, settled, span

WRITER = "0000042-0123456789ab"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as opened:
        yield opened


def spans_of(url: str, trace_id: str = TRACE_ID) -> list[dict[str, object]]:
    settled(url)
    spans: list[dict[str, object]] = get(f"{url}/api/v1/traces/{trace_id}").json["spans"]
    return spans


def squeezed_bare(content: bytes) -> bytes:
    return zlib.compress(content)


@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/otel/v1/traces"])
@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", squeezed_bare), ("zstd", zstandard.compress)],
)
def test_what_was_answered_with_200_can_be_read_back(
    server: Server, path: str, encoding: str, squeeze: Callable[[bytes], bytes]
) -> None:
    answer = post(server.url + path, squeeze(body(generation())), content_encoding=encoding)

    assert (answer.status, answer.partial_success) == (200, (0, ""))
    assert answer.headers["everyspan-collector"] == __version__
    (row,) = spans_of(server.url)
    assert (row["name"], row["service"], row["cost"]) == ("chat gpt-4o", "shop", "0.0035000")


def test_json_is_answered_in_json(server: Server) -> None:
    said = {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {"spans": [{"traceId": TRACE_ID, "spanId": "00000000000000aa", "name": "from json"}]}
                ]
            }
        ]
    }

    answer = post(f"{server.url}/v1/traces", json.dumps(said).encode(), "application/json")

    assert (answer.status, answer.json) == (200, {})
    assert [row["name"] for row in spans_of(server.url)] == ["from json"]


def test_a_bad_span_is_named_in_partial_success_and_the_good_ones_are_stored(server: Server) -> None:
    answer = post(f"{server.url}/v1/traces", body(generation(1), span(0, name="nameless"), generation(2)))

    rejected, why = answer.partial_success
    assert (answer.status, rejected) == (200, 1)
    assert "nameless" in why
    assert len(spans_of(server.url)) == 2


def test_the_same_body_again_changes_no_row_and_no_cost(server: Server) -> None:
    for _ in range(3):
        assert post(f"{server.url}/v1/traces", body(generation(1), generation(2))).status == 200

    health = settled(server.url, lambda health: health["known_spans"] == 4)
    total = get(f"{server.url}/api/v1/costs").json["total"]
    assert (health["stored_spans"], health["known_spans"]) == (2, 4)
    assert (total["calls"], Decimal(total["cost"])) == (2, Decimal("0.007"))


def stamped_frame(kind: Kind, seq: int, number: int) -> bytes:
    """A frame as our sender ships it: START in field 1002, SPAN in field 1."""
    sent = generation(number, **{"everyspan.stamp": f"{WRITER}:{seq:016x}"})
    field_1 = body(sent)
    payload = field_1 if kind is Kind.SPAN else b"\xd2\x3e" + field_1[1:]
    return pack(kind, seq, payload, nonce=7)


def control_frame(kind: Kind, **said: object) -> bytes:
    return pack(kind, 0, wrap(kind, json.dumps({"writer": WRITER, **said}).encode()), nonce=7)


def test_the_audit_is_complete_when_every_number_arrived_and_not_before(server: Server) -> None:
    begin = control_frame(Kind.HEADER, version=1, pid=42, host="h", library="test")
    begin += (
        stamped_frame(Kind.START, 1, 1) + stamped_frame(Kind.START, 2, 2) + stamped_frame(Kind.SPAN, 3, 1)
    )
    end = stamped_frame(Kind.SPAN, 4, 2) + control_frame(Kind.CLOSE, last=4)
    audit = f"{server.url}/api/v1/completeness"

    post(f"{server.url}/v1/traces", begin, everyspan_writer=WRITER, everyspan_spooled_to="3")
    settled(server.url)
    before = get(audit).json
    for _ in range(2):
        post(f"{server.url}/v1/traces", end, everyspan_writer=WRITER, everyspan_spooled_to="4")
    settled(server.url)
    after = get(audit).json

    assert (before["verdict"], before["open_calls"], before["spans"]) == ("open", 1, 1)
    assert (after["verdict"], after["spans"], after["received"]) == ("complete", 2, 4)
    assert after["writers"][0]["state"]["about"]["host"] == "h"


def test_dropped_pending_and_missing_numbers_are_told_apart_by_number(server: Server) -> None:
    shipped = stamped_frame(Kind.SPAN, 1, 1) + stamped_frame(Kind.SPAN, 7, 2)
    shipped += control_frame(Kind.DROP, reason="cap", ranges=[[3, 4]], spans=2)

    post(f"{server.url}/v1/traces", shipped, everyspan_writer=WRITER, everyspan_spooled_to="9")

    settled(server.url)
    audit = get(f"{server.url}/api/v1/completeness").json
    (writer,) = audit["writers"]
    assert audit["verdict"] == "missing"
    assert (writer["missing"], writer["pending"]) == ([[2, 2], [5, 6]], [[8, 9]])
    assert writer["dropped"] == [{"reason": "cap", "first": 3, "last": 4}]


def test_a_request_that_only_tells_what_was_set_aside_explains_those_numbers_and_is_no_span(
    server: Server,
) -> None:
    told = {"everyspan_writer": WRITER, "everyspan_spooled_to": "4", "everyspan_set_aside": "2,4"}
    shipped = stamped_frame(Kind.SPAN, 1, 1) + stamped_frame(Kind.SPAN, 3, 2)
    audit = f"{server.url}/api/v1/completeness"

    post(f"{server.url}/v1/traces", shipped, everyspan_writer=WRITER, everyspan_spooled_to="4")
    answers = [post(f"{server.url}/v1/traces", b"", **told) for _ in range(2)]
    settled(server.url)
    before = get(audit).json
    post(f"{server.url}/v1/traces", stamped_frame(Kind.SPAN, 2, 3), everyspan_writer=WRITER)
    settled(server.url)
    after = get(audit).json

    assert [answer.status for answer in answers] == [200, 200]
    assert (before["verdict"], before["spans"], before["dropped"], before["missing"]) == ("dropped", 2, 2, 0)
    assert [(each["reason"], each["first"]) for each in before["writers"][0]["dropped"]] == [
        ("set aside", 2),
        ("set aside", 4),
    ]
    assert (after["spans"], after["received"], after["dropped"], after["missing"]) == (3, 3, 1, 0)


def test_a_numbered_span_that_is_refused_is_explained_and_not_missing(server: Server) -> None:
    broken = pack(Kind.SPAN, 1, body(span(0, name="no id")), nonce=7)

    answer = post(f"{server.url}/v1/traces", broken + stamped_frame(Kind.SPAN, 2, 1), everyspan_writer=WRITER)

    settled(server.url)
    (writer,) = get(f"{server.url}/api/v1/completeness").json["writers"]
    assert answer.partial_success[0] == 1
    assert writer["missing"] == []
    assert "no id" in writer["dropped"][0]["reason"]


@pytest.mark.parametrize(
    ("content", "content_type", "headers", "status"),
    [
        (b"\xff", "application/x-protobuf", {}, 400),
        (b"{", "application/json", {}, 400),
        (b"not gzip", "application/x-protobuf", {"content_encoding": "gzip"}, 400),
        (b"", "text/plain", {}, 415),
        (b"", "application/x-protobuf", {"content_encoding": "br"}, 415),
        (b"", "application/x-protobuf", {"x_langfuse_ingestion_version": "5"}, 400),
        (b"", "application/x-protobuf", {"x_langfuse_ingestion_version": "4"}, 200),
        (b"", "application/json", {}, 200),
        (bytes(21 << 20), "application/x-protobuf", {}, 413),
        (gzip.compress(bytes(64 << 20)), "application/x-protobuf", {"content_encoding": "gzip"}, 413),
        (zstandard.compress(bytes(1 << 30)), "application/x-protobuf", {"content_encoding": "zstd"}, 413),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_status_that_clients_understand(
    server: Server, content: bytes, content_type: str, headers: dict[str, str], status: int
) -> None:
    answer = post(f"{server.url}/v1/traces", content, content_type, **headers)

    assert answer.status == status
    assert status == 200 or answer.message
    assert post(f"{server.url}/v1/traces", body(generation())).status == 200


def test_a_body_of_unknown_length_is_refused_as_soon_as_it_is_too_long(server: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(21):
            yield bytes(1 << 20)

    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    connection.request(
        "POST",
        "/v1/traces",
        body=endless(),
        headers={"Content-Type": "application/x-protobuf"},
        encode_chunked=True,
    )

    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_stops_in_the_middle_of_its_body_is_told_so(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(body_timeout_s=0.2)) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("Content-Type", "application/x-protobuf")
        connection.putheader("Content-Length", "100")
        connection.endheaders(b"only this")

        assert connection.getresponse().status == 408
        connection.close()


def test_under_pressure_the_answer_is_503_with_a_time_to_come_back(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(in_flight_bytes=1000)) as server:
        refused = post(f"{server.url}/v1/traces", body(span(1, name="x" * 2000)))
        accepted = post(f"{server.url}/v1/traces", body(span(2)))

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert accepted.status == 200


@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/otel/v1/traces", "/api/public/otel/v1/metrics"])
def test_only_post_is_taken_where_spans_go(server: Server, path: str) -> None:
    answer = get(server.url + path)

    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_metrics_are_accepted_and_forgotten(server: Server) -> None:
    answer: Answer = post(f"{server.url}/api/public/otel/v1/metrics", b"anything")

    assert (answer.status, answer.json) == (200, {})
