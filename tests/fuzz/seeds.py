"""Inputs that are right, for each target: what a fuzzer begins with."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache

import zstandard

from everyspan.collector.accept import seal
from everyspan.wire.decode import wrap
from everyspan.wire.encode import encode_started
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import body, generation, span
from tests.fuzz.targets import ENVELOPE, NONCE, WRITER
from tests.spool_frames import ABOUT
from tests.torture.calls import call

_ID, _SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_OTLP_JSON = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [
                {
                    "scope": {"name": "tests", "version": "1"},
                    "spans": [
                        {
                            "traceId": _ID,
                            "spanId": _SPAN_ID,
                            "name": "chat",
                            "kind": 3,
                            "startTimeUnixNano": "1763800000000000000",
                            "endTimeUnixNano": "1763800001000000000",
                            "status": {"code": 2, "message": "late"},
                            "attributes": [
                                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
                                {"key": "x", "value": {"arrayValue": {"values": [{"doubleValue": 0.5}]}}},
                            ],
                            "events": [{"timeUnixNano": "1", "name": "e", "attributes": []}],
                            "links": [{"traceId": _ID, "spanId": _SPAN_ID}],
                        }
                    ],
                }
            ],
        }
    ]
}
_AT = "2026-01-01T00:00:00Z"
_LANGFUSE = {
    "batch": [
        {
            "id": "1",
            "type": "trace-create",
            "timestamp": _AT,
            "body": {"id": "t", "name": "n", "tags": ["a"]},
        },
        {
            "id": "2",
            "type": "generation-create",
            "timestamp": _AT,
            "body": {
                "id": "o",
                "traceId": "t",
                "model": "gpt-4o",
                "startTime": _AT,
                "endTime": _AT,
                "usage": {"input": 5, "output": 2, "unit": "TOKENS"},
                "costDetails": {"total": 0.5},
                "metadata": {"k": [1]},
            },
        },
        {
            "id": "3",
            "type": "score-create",
            "timestamp": _AT,
            "body": {"traceId": "t", "name": "s", "value": 1},
        },
    ]
}


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Inputs that are right, to begin with."""
    whole = body(
        generation(
            1, **{"everyspan.stamp": f"{WRITER}:{1:016x}", "gen_ai.input.messages": '[{"role": "user"}]'}
        ),
        span(2, attributes={"a": [1, 2.5, True, b"x"], "langfuse.observation.usage_details": '{"input": 5}'}),
    )
    control = json.dumps(
        {"writer": WRITER, "reason": "cap", "ranges": [[1, 3]], "last": 4, "version": 1}
    ).encode()
    frames = [
        pack(kind, 0, wrap(kind, control), nonce=NONCE) for kind in (Kind.HEADER, Kind.DROP, Kind.CLOSE)
    ]
    begun = bytes(encode_started(call(3)).payload)
    frames += [pack(Kind.START, 2, begun, nonce=NONCE), pack(Kind.SPAN, 1, whole, nonce=NONCE)]
    as_json = json.dumps(_OTLP_JSON).encode()
    inbox = seal(ENVELOPE, b"".join(frames))
    about = pack(Kind.HEADER, 0, wrap(Kind.HEADER, json.dumps({"version": 1, **ABOUT}).encode()), nonce=NONCE)
    return {
        "otlp_json": (as_json,),
        "compressed": tuple(
            bytes((at,)) + squeezed
            for at, squeezed in enumerate(
                (gzip.compress(whole), zlib.compress(whole), zstandard.compress(whole), whole)
            )
        ),
        "segment": (b"\0" + about + b"".join(frames), b"\1" + about + b"".join(frames)),
        "payload": (whole, begun),
        "answer": (b"\0", b"\0\x0a\x05\x08\x02\x12\x01x", b'\1{"partialSuccess": {"rejectedSpans": "2"}}'),
        "entry": (inbox,),
        "langfuse": (json.dumps(_LANGFUSE).encode(),),
    }.get(name, (whole, b"".join(frames)))
