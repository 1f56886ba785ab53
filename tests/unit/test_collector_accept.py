"""What is let in: good spans beside bad ones, JSON beside protobuf, and nothing that unfolds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from everyspan.collector.accept import JSON, Envelope, Examined, examine, seal, unseal
from everyspan.collector.limits import Limits
from everyspan.collector.reader import read
from everyspan.errors import CollectorError, WireError
from everyspan.wire.protobuf import delimited, field_tag
from tests.collector_requests import PROTOBUF, START_NS, TRACE_ID, body, generation, request, span

LIMITS = Limits()
ENVELOPE = Envelope(project="default", received_ns=START_NS)


def examined(content: bytes, content_type: str = PROTOBUF, limits: Limits = LIMITS) -> Examined:
    return examine(content, content_type=content_type, encoding="", limits=limits)


def message(field: int, content: bytes) -> bytes:
    return delimited(field_tag(field, 2), content)


def wrapped(raw_span: bytes) -> bytes:
    return message(1, message(2, message(2, raw_span)))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (span(7, trace_id=b""), "trace_id has 0 bytes"),
        (span(7, trace_id=bytes(16)), "not all zero"),
        (span(7, trace_id=b"x" * 8), "trace_id has 8 bytes"),
        (span(0), "span_id has 8 bytes"),
        (span(7, span_id=b"x" * 9), "span_id has 9 bytes"),
    ],
)
def test_a_span_without_valid_ids_is_named_and_its_neighbours_are_kept(bad: Any, why: str) -> None:
    found = examined(body(generation(1), bad, generation(2)))

    assert (found.spans, found.rejected) == (2, 1)
    assert why in found.complaint
    assert "chat gpt-4o" in found.complaint
    assert [row.span_id[-1] for row in read(ENVELOPE, found.body, LIMITS).spans] == ["1", "2"]


def test_a_span_that_is_no_protobuf_costs_only_itself_even_within_one_resource() -> None:
    good = [one.SerializeToString() for one in (span(1), span(2))]
    broken = b"\x0a\x10short"
    mixed = message(1, message(2, b"".join(message(2, raw) for raw in (good[0], broken, good[1]))))

    found = examined(mixed)

    assert (found.spans, found.rejected) == (2, 1)
    assert [row.span_id[-1] for row in read(ENVELOPE, found.body, LIMITS).spans] == ["1", "2"]


def test_a_span_whose_text_is_not_utf8_is_kept_with_what_can_be_read_of_it() -> None:
    prompt = message(1, b"input.value") + message(2, message(1, "Grüße".encode("latin-1")))
    raw = span(3).SerializeToString() + message(5, b"caf\xe9") + message(9, prompt)

    found = examined(wrapped(raw))

    (row,) = read(ENVELOPE, found.body, LIMITS).spans
    assert (found.spans, found.rejected) == (1, 0)
    assert (row.name, row.input, row.span_id[-1]) == ("caf\ufffd", "Gr\ufffd\ufffde", "3")
    assert json.loads(row.attributes)["attributes"] == {"everyspan.repaired": True}


def test_half_a_surrogate_in_json_costs_one_character() -> None:
    said = {"traceId": TRACE_ID, "spanId": "00000000000000aa", "name": "a\ud83db"}

    found = examined(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [said]}]}]}).encode(), JSON)

    assert [row.name for row in read(ENVELOPE, found.body, LIMITS).spans] == ["a\ufffdb"]


def test_a_resource_that_cannot_be_read_does_not_cost_its_spans() -> None:
    unreadable = message(
        1, message(1, message(1, b"\xff")) + message(2, message(2, span().SerializeToString()))
    )

    (row,) = read(ENVELOPE, examined(unreadable).body, LIMITS).spans

    assert "everyspan.undecodable" in row.attributes


def test_a_container_that_is_cut_short_is_named_and_what_came_before_is_kept() -> None:
    whole = message(2, message(2, span(1).SerializeToString()))
    torn = message(1, whole + whole[:-9])

    found = examined(torn)

    assert (found.spans, found.rejected) == (1, 1)
    assert "ResourceSpans" in found.complaint


@pytest.mark.parametrize(
    "content", [b"\xff", b"hello world, this is text", body(span())[:-3], b"<html></html>"]
)
def test_what_is_no_request_is_malformed(content: bytes) -> None:
    with pytest.raises(CollectorError) as refused:
        examined(content)

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "content_type", ["text/plain", "", "multipart/form-data", "application/octet-stream"]
)
def test_other_types_of_content_are_refused(content_type: str) -> None:
    with pytest.raises(CollectorError) as refused:
        examined(body(span()), content_type)

    assert refused.value.status == 415


def test_an_empty_request_is_fine_and_holds_nothing() -> None:
    assert examined(b"").spans == examined(b"", "application/json").spans == 0


def otlp_json(sent: Any) -> dict[str, Any]:
    """OTLP's JSON: protobuf's own, with ids in hexadecimal."""
    said: dict[str, Any] = MessageToDict(sent, use_integers_for_enums=True)
    for number, one in enumerate(said["resourceSpans"][0]["scopeSpans"][0]["spans"], start=1):
        one["traceId"], one["spanId"] = TRACE_ID, f"{number:016x}"
    return said


def test_json_and_protobuf_give_the_same_row() -> None:
    said = otlp_json(request(generation(1)))

    (from_json,) = read(
        ENVELOPE, examined(json.dumps(said).encode(), "application/json; v=1").body, LIMITS
    ).spans
    (from_protobuf,) = read(ENVELOPE, examined(body(generation(1))).body, LIMITS).spans

    assert from_json == from_protobuf


@pytest.mark.parametrize(
    "change",
    [
        {"traceId": "xyz"},
        {"traceId": 5},
        {"spanId": ""},
        {"attributes": "no list"},
        {"startTimeUnixNano": "soon"},
    ],
)
def test_a_bad_span_in_json_is_named_and_its_neighbours_are_kept(change: dict[str, Any]) -> None:
    said = otlp_json(request(generation(1), generation(2), generation(3)))
    said["resourceSpans"][0]["scopeSpans"][0]["spans"][1].update(change)

    found = examined(json.dumps(said).encode(), "application/json")

    assert (found.spans, found.rejected) == (2, 1)
    assert "chat gpt-4o" in found.complaint


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"null",
        b'{"resourceSpans": {}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b"\xff",
    ],
)
def test_what_is_no_json_request_is_malformed(content: bytes) -> None:
    with pytest.raises(CollectorError) as refused:
        examined(content, "application/json")

    assert refused.value.status == 400


def test_more_spans_than_a_request_may_hold_are_to_be_sent_in_parts() -> None:
    limits = Limits(spans=10)

    with pytest.raises(CollectorError, match="smaller parts") as refused:
        examined(body(*(span(number) for number in range(1, 12))), limits=limits)

    assert refused.value.status == 413


def test_a_span_made_of_empty_attributes_is_refused_before_it_unfolds() -> None:
    swollen = span().SerializeToString() + b"\x4a\x00" * 1_000_000

    found = examined(wrapped(swollen) + body(span(2)))

    assert (found.spans, found.rejected) == (1, 1)
    assert "more than 10000 attributes" in found.complaint


def test_values_nested_as_deep_as_you_like_are_refused_or_kept_but_never_fatal() -> None:
    value = message(1, b"deep")
    for _ in range(5000):
        value = message(5, message(1, value))
    nested = span().SerializeToString() + message(9, message(1, b"k") + message(2, value))

    assert examined(wrapped(nested) + body(span(2))).spans >= 1


def test_a_complaint_names_the_first_and_counts_the_rest() -> None:
    complaint = examined(body(*(span(0, name=f"bad {number}") for number in range(50)))).complaint

    assert "bad 0" in complaint
    assert "and 40 more" in complaint
    assert len(complaint) < 2000


def test_an_inbox_entry_comes_out_as_it_went_in() -> None:
    headers = {
        "everyspan-writer": "0000042-0123456789ab",
        "everyspan-spooled-to": "17",
        "everyspan-closed": "true",
        "everyspan-set-aside": "5,9-11",
    }
    envelope = Envelope.of(headers, project="pk\n{", received_ns=START_NS)

    assert unseal(seal(envelope, b"\n\x00body\n")) == (envelope, b"\n\x00body\n")
    assert (envelope.writer, envelope.spooled_to, envelope.closed) == ("0000042-0123456789ab", 17, True)
    assert envelope.set_aside == ((5, 5), (9, 11))


def test_an_inbox_entry_of_an_older_server_is_read() -> None:
    line = b'{"project": "p", "received_ns": 1, "writer": "0000042-0123456789ab", "spooled_to": 3, "closed": true}'

    envelope, content = unseal(line + b"\nbody")

    assert (envelope.spooled_to, envelope.closed, envelope.set_aside, content) == (3, True, (), b"body")


@pytest.mark.parametrize(
    "entry",
    [
        *(b"", b"{}\n", b"no line", b'{"project":"p"}\nbody', b"[]\n", b"[" * 100_000 + b"\n"),
        b'{"project": "p", "received_ns": Infinity, "writer": null, "spooled_to": 0, "closed": false}\nbody',
    ],
)
def test_bytes_that_are_no_inbox_entry_say_so(entry: bytes) -> None:
    with pytest.raises(WireError):
        unseal(entry)


@pytest.mark.parametrize(
    "headers",
    [
        {"everyspan-writer": "x"},
        {"everyspan-writer": "0000042-0123456789ab", "everyspan-spooled-to": "-1"},
        {"everyspan-writer": "0000042-0123456789ab", "everyspan-spooled-to": "9" * 19},
        {"everyspan-writer": "0000042-0123456789ab", "everyspan-spooled-to": "x" * 5000},
        {"everyspan-spooled-to": "5", "everyspan-closed": "true"},
    ],
)
def test_headers_that_mean_nothing_are_taken_as_unsaid(headers: dict[str, str]) -> None:
    envelope = Envelope.of(headers, project="p", received_ns=1)

    assert (envelope.spooled_to, envelope.closed) == (0, False)


@pytest.mark.parametrize(
    "said",
    [
        *(
            "",
            "0",
            "0-3",
            "-3",
            "3-",
            "3--4",
            "1_0",
            "+3",
            "\u0663",
            "3.0",
            "3;4",
            "3, 4",
            "3,",
            ",3",
            "x" * 5000,
        ),
        *("4-3", "5,4", "5,5", "3-6,6-9", "8-21", "21", "9" * 19, "9" * 5000),
        ",".join(str(number) for number in range(1, 200, 2)),
    ],
)
def test_numbers_set_aside_that_no_writer_of_ours_would_tell_are_taken_as_unsaid(said: str) -> None:
    headers = {
        "everyspan-writer": "0000042-0123456789ab",
        "everyspan-spooled-to": "20",
        "everyspan-set-aside": said,
    }

    envelope = Envelope.of(headers, project="p", received_ns=1)

    assert (envelope.spooled_to, envelope.set_aside) == (20, ())
    assert read(envelope, b"", Limits()).numbers == []
