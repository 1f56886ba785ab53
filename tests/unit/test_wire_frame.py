"""Frames survive damage around them, and any run of them is an OTLP request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from everyspan.errors import FrameError, WireError
from everyspan.model.ids import Seq, WriterId
from everyspan.wire.envelope import wrap
from everyspan.wire.frame import HEADER_BYTES, Kind, only, pack, scan, walk
from everyspan.wire.stamp import PLACEHOLDER, STAMP_LENGTH, Stamp, format_stamp, parse_stamp

NONCE = 0x5EED5EED


def segment(count: int = 4) -> tuple[bytes, list[bytes]]:
    payloads = [wrap(Kind.SPAN, bytes([65 + at]) * (20 + 7 * at)) for at in range(count)]
    frames = [pack(Kind.SPAN, at + 1, payload, nonce=NONCE) for at, payload in enumerate(payloads)]
    return b"".join(frames), payloads


def test_one_flipped_byte_costs_at_most_the_frame_it_is_in() -> None:
    data, payloads = segment()

    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[at] ^= flip
            found = scan(damaged, nonce=NONCE)

            kept = {frame.seq: bytes(damaged[frame.payload]) for frame in found.frames}
            assert len(kept) == len(payloads) - 1
            assert all(payloads[seq - 1] == payload for seq, payload in kept.items())
            assert len(found.damaged) + (found.torn_at is not None) == 1


def test_a_tail_cut_at_any_byte_leaves_the_frames_before_it() -> None:
    data, _ = segment()
    ends = [frame.end for frame in walk(data)]

    for cut in range(len(data)):
        found = scan(data[:cut], nonce=NONCE)

        assert len(found.frames) == sum(end <= cut for end in ends)
        assert found.damaged == []
        assert (found.torn_at is None) == (cut in (0, *ends))


def test_a_prompt_that_holds_a_frame_is_not_taken_for_one() -> None:
    forged = pack(Kind.SPAN, 99, wrap(Kind.SPAN, b"forged"), nonce=NONCE ^ 1)
    data = bytearray(pack(Kind.SPAN, 1, wrap(Kind.SPAN, forged * 3), nonce=NONCE))

    data[10] ^= 0xFF  # the outer frame is damaged, so the search goes through the prompt

    assert scan(data, nonce=NONCE).frames == []


@given(st.binary(max_size=600), st.integers(0, 2**32 - 1))
def test_no_bytes_at_all_make_the_scan_fail(data: bytes, nonce: int) -> None:
    found = scan(data, nonce=nonce)

    assert all(frame.end <= len(data) for frame in found.frames)


def test_a_run_of_frames_is_an_otlp_request_with_only_its_spans() -> None:
    spans = b"".join(
        pack(kind, 1, wrap(kind, b""), nonce=NONCE)
        for kind in (Kind.HEADER, Kind.START, Kind.SPAN, Kind.BATCH)
    )

    request = ExportTraceServiceRequest.FromString(spans)

    assert len(request.resource_spans) == 1
    assert only(spans, Kind.SPAN) == pack(Kind.SPAN, 1, wrap(Kind.SPAN, b""), nonce=NONCE)


def test_walking_a_body_that_ends_within_a_frame_is_an_error() -> None:
    data, _ = segment()

    with pytest.raises(FrameError, match="1 bytes more"):
        list(walk(data[:-1]))


def test_the_header_has_the_size_that_its_tag_announces() -> None:
    assert len(pack(Kind.SPAN, 1, b"", nonce=NONCE)) == HEADER_BYTES == 3 + 24


def test_a_stamp_comes_back_as_it_was_and_always_has_37_bytes() -> None:
    stamp = Stamp(WriterId("0004242-0123456789ab"), Seq(2**63))

    spelled = format_stamp(*stamp)

    assert len(spelled) == STAMP_LENGTH == 37
    assert parse_stamp(spelled.decode()) == stamp


@pytest.mark.parametrize("value", ["", PLACEHOLDER.decode(), "0004242-0123456789ab:1", "x" * 37])
def test_what_is_not_a_stamp_is_refused(value: str) -> None:
    with pytest.raises(WireError):
        parse_stamp(value)
