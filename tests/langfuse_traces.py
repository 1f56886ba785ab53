"""Four traces of a model call and what was said of them, in a server, for tests of Langfuse's metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from everyspan.server import Server, running
from tests.collector_requests import START_NS, body, generation, post, settled

A = "Bearer sk-a"
MINUTE_NS = 60 * 10**9


def call(number: int, minutes: int, seconds: int, **attributes: Any) -> Any:
    """A trace of one model call of $0.0035."""
    made: Any = generation(number, **{"langfuse.trace.name": "job", **attributes})
    made.trace_id = number.to_bytes(16, "big")
    made.start_time_unix_nano = START_NS + minutes * MINUTE_NS
    made.end_time_unix_nano = made.start_time_unix_nano + seconds * 10**9
    return made


SPANS = [
    call(1, 0, 1, **{"langfuse.release": "r1", "user.id": "ann", "langfuse.trace.tags": ["x", "y"]}),
    call(
        2,
        1,
        2,
        **{
            "langfuse.release": "r2",
            "langfuse.observation.level": "ERROR",
            # A second after it began.
            "langfuse.observation.completion_start_time": "2025-11-22T08:27:41Z",
        },
    ),
    call(3, 2, 3, **{"langfuse.release": "r2", "langfuse.version": "7", "langfuse.trace.tags": ["x"]}),
    call(4, 90, 9, **{"langfuse.observation.prompt.name": "greet", "langfuse.observation.prompt.version": 3}),
]
SCORES: list[dict[str, Any]] = [
    {"name": "tone", "value": 0.25, "traceId": f"{1:032x}", "observationId": f"{1:016x}"},
    {"name": "tone", "value": 0.75, "traceId": f"{1:032x}", "environment": "test"},
    {"name": "tone", "value": 0.5, "traceId": f"{3:032x}", "observationId": f"{3:016x}"},
    {"name": "kept", "value": 1, "dataType": "BOOLEAN", "traceId": f"{2:032x}"},
    {"name": "kept", "value": 0, "dataType": "BOOLEAN", "traceId": f"{3:032x}"},
    {"name": "kind", "value": "good", "traceId": f"{1:032x}"},
    {"name": "kind", "value": "bad", "sessionId": "s-1"},
    {"name": "kind", "value": "good", "traceId": f"{4:032x}", "observationId": f"{4:016x}"},
]


@contextmanager
def judged_traces(directory: Path, store: str) -> Iterator[Server]:
    """A server that has them, and others in another project."""
    keys = ("pk-a:sk-a", "pk-b:sk-b")
    with running(directory, keys=keys, store=store) as opened:
        post(f"{opened.url}/v1/traces", body(*SPANS), authorization=A)
        theirs = {"name": "tone", "value": 99, "traceId": f"{9:032x}"}
        for key, scores in ((A, SCORES), ("Bearer sk-b", [theirs])):
            said = [
                {**each, "timestamp": f"2026-01-0{1 + number // 4}T00:00:00Z"}
                for number, each in enumerate(scores)
            ]
            answer = post(
                f"{opened.url}/api/public/scores",
                json.dumps(said).encode(),
                "application/json",
                authorization=key,
            )
            assert answer.status == 202
        post(f"{opened.url}/v1/traces", body(call(9, 0, 50)), authorization="Bearer sk-b")
        settled(opened.url, Authorization=A)
        yield opened
