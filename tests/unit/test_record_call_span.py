"""A call that only we record is written as the SDK would have it; what it used is read as the SDK's models dump it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai.types import CompletionUsage
from openai.types.completion_usage import PromptTokensDetails
from opentelemetry.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode
from pydantic import BaseModel, Field, field_serializer

from everyspan.instrument.fields import plain
from everyspan.model.destination import Destination
from everyspan.model.usage import Usage, usage_of_totals
from everyspan.record.opening import start_span
from everyspan.record.processor import EveryspanProcessor
from everyspan.record.registry import Registry
from everyspan.record.shadows import Shadows
from everyspan.wire.frame import Kind
from tests.spool_frames import drain, open_log


class Shouts(BaseModel):
    count: int = 1

    @field_serializer("count")
    def shout(self, count: int) -> str:
        return f"{count}!"


class Hides(BaseModel):
    shown: int = 1
    hidden: int = Field(default=2, exclude=True)


def call_written(root: Path, *, others: list[SpanProcessor]) -> tuple[Span, list[Any]]:
    """A call that the user's code adds to, and the spans of its START and SPAN frames."""
    log = open_log(root)
    registry = Registry(open_log=lambda _: log, wake=lambda: None, flush=lambda _: True)
    registry.add(Destination("http://127.0.0.1:1/v1/traces"))
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(EveryspanProcessor(provider, registry, Shadows()))
    for other in others:
        provider.add_span_processor(other)
    span = start_span(
        provider.get_tracer("tests"),
        "call",
        context=Context(),
        kind=SpanKind.CLIENT,
        attributes={"gen_ai.operation.name": "chat"},
        start_ns=5,
    )
    assert isinstance(span, Span)
    span.set_attribute("user's", "own")
    span.add_event("event", timestamp=6)
    span.set_status(Status(StatusCode.ERROR, "why"))
    span.end(7)
    span.end(9)
    span.set_attribute("late", True)
    found = []
    for frame in drain(log.backlog()):
        if frame.kind in (Kind.START, Kind.SPAN):
            # A START frame's field is one that OTLP does not know; its content is the same.
            payload = frame.payload if frame.kind == Kind.SPAN else b"\x0a" + frame.payload[2:]
            made = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]
            made.trace_id, made.span_id = b"", b""
            del made.attributes[-1]  # the stamp: another writer's
            found.append(made)
    log.close()
    return span, found


def test_a_call_that_only_we_record_is_written_as_beside_another_processor(tmp_path: Path) -> None:
    alone, ours = call_written(tmp_path / "alone", others=[])
    beside, theirs = call_written(tmp_path / "beside", others=[SpanProcessor()])

    assert ours == theirs
    assert [(each.name, each.end_time_unix_nano) for each in ours] == [("call", 0), ("call", 7)]
    assert (alone.end_time, dict(alone.attributes or {})) == (beside.end_time, dict(beside.attributes or {}))


@pytest.mark.parametrize(
    "model",
    [
        CompletionUsage(completion_tokens=1, prompt_tokens=2, total_tokens=3),
        CompletionUsage.model_validate(
            {"completion_tokens": 1, "prompt_tokens": 2, "total_tokens": 3, "cost": 0.5, "more": {"a": [1]}}
        ),
        CompletionUsage(
            completion_tokens=1,
            prompt_tokens=2,
            total_tokens=3,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=1),
        ),
        Shouts(),
        Hides(),
    ],
    ids=["totals", "extra", "nested", "serializer", "excluded"],
)
def test_a_model_read_from_itself_is_what_it_dumps(model: BaseModel) -> None:
    assert plain(model) == model.model_dump()


@pytest.mark.parametrize("counts", [(1, 2), (0, None), (None, None)])
def test_usage_of_two_totals_is_the_usage_of_those(counts: tuple[int | None, int | None]) -> None:
    assert usage_of_totals(*counts) == Usage(input_tokens=counts[0], output_tokens=counts[1])
