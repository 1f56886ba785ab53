"""Request bodies come apart at their fields, and only OTLP passes for an answer."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from everyspan.errors import WireError
from everyspan.wire.decode import PartialSuccess, identify, partial_success, pieces
from everyspan.wire.envelope import OPAQUE, RESOURCE_SPANS, unwrap, wrap
from everyspan.wire.frame import Kind, pack


def test_each_field_comes_with_the_header_of_its_own_frame() -> None:
    body = b"".join(
        (
            pack(Kind.SPAN, 8, wrap(Kind.SPAN, b"one"), nonce=1),
            wrap(Kind.SPAN, b"from a sender without frames"),
            pack(Kind.BATCH, 9, wrap(Kind.BATCH, b"two"), nonce=1),
        )
    )

    found = [
        (piece.header.seq if piece.header else None, piece.field, piece.payload) for piece in pieces(body)
    ]

    assert found == [
        (8, RESOURCE_SPANS, b"one"),
        (None, RESOURCE_SPANS, b"from a sender without frames"),
        (9, OPAQUE, b"two"),
    ]


def test_a_header_does_not_lend_its_number_to_a_field_of_another_length() -> None:
    frame = pack(Kind.SPAN, 8, wrap(Kind.SPAN, b"one"), nonce=1)

    (piece,) = pieces(frame[:27] + wrap(Kind.SPAN, b"another"))

    assert piece.header is None


def test_a_body_that_is_no_message_is_an_error() -> None:
    with pytest.raises(WireError):
        list(pieces(b"<html>"))


@given(st.binary(max_size=200))
def test_no_payload_makes_the_reader_raise_anything_but_a_wire_error(payload: bytes) -> None:
    for read in (identify, unwrap, partial_success, lambda body: list(pieces(body))):
        with suppress(WireError):
            read(payload)


@pytest.mark.parametrize(
    "answer",
    [
        b"<!DOCTYPE html><html></html>",
        b"\n<html>" + b" " * 90,
        b"\r\n\r\n",
        b'{"partialSuccess":{}}',
        b"OK",
        b"Accepted!",
        b"success",
        b"\t",
    ],
)
def test_a_page_behind_a_200_is_not_an_answer(answer: bytes) -> None:
    with pytest.raises(WireError):
        partial_success(answer)


def test_an_empty_answer_means_that_everything_was_taken() -> None:
    assert partial_success(ExportTraceServiceResponse().SerializeToString()) == PartialSuccess(0, "")


@given(st.integers(0, 2**63 - 1), st.text(st.characters(codec="utf-8")))
def test_a_partial_success_is_read_as_protobuf_reads_it(rejected: int, message: str) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)

    answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()

    assert partial_success(answer) == PartialSuccess(rejected, message)
