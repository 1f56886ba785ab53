"""A span begun in fewer steps is the span that the SDK begins."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, DEFAULT_ON, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from everyspan.record.opening import start_span

SAMPLED, UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
ATTRIBUTES: dict[str, AttributeValue] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.seed": 7,
    "gen_ai.request.stop_sequences": ("a", "b"),
}


class Counted(IdGenerator):
    def __init__(self) -> None:
        self.last = 0

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last

    def generate_trace_id(self) -> int:
        self.last += 1
        return self.last


class Began(SpanProcessor):
    """Notes what a processor sees at the start of a span."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int | None, dict[str, object], Context | None]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.seen.append((span.name, span.start_time, dict(span.attributes or {}), parent_context))


def around(parent: SpanContext | None) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else Context()


def parent(*, flags: TraceFlags = SAMPLED, is_remote: bool = False) -> SpanContext:
    return SpanContext(5, 6, is_remote=is_remote, trace_flags=flags, trace_state=TraceState([("a", "b")]))


@pytest.mark.parametrize("limits", [SpanLimits(), SpanLimits(max_span_attributes=2, max_attribute_length=3)])
@pytest.mark.parametrize(
    "above", [None, parent(), parent(is_remote=True), parent(flags=UNSAMPLED), parent(flags=TraceFlags(3))]
)
@pytest.mark.parametrize("sampler", [ALWAYS_ON, DEFAULT_ON, ALWAYS_OFF, TraceIdRatioBased(0.0)])
def test_a_span_begun_at_once_is_the_one_that_the_sdk_begins(
    sampler: Sampler, above: SpanContext | None, limits: SpanLimits
) -> None:
    context = around(above)

    def begin(*, at_once: bool) -> tuple[trace.Span, Began]:
        provider, began = TracerProvider(sampler=sampler, id_generator=Counted(), span_limits=limits), Began()
        provider.add_span_processor(began)
        tracer = provider.get_tracer("tests", "1")
        if at_once:
            made = start_span(
                tracer, "call", context=context, kind=SpanKind.CLIENT, attributes=ATTRIBUTES, start_ns=9
            )
        else:
            made = tracer.start_span(
                "call", context=context, kind=SpanKind.CLIENT, attributes=ATTRIBUTES, start_time=9
            )
        return made, began

    (ours, we_began), (theirs, they_began) = begin(at_once=True), begin(at_once=False)

    assert isinstance(ours, type(theirs))
    assert ours.get_span_context() == theirs.get_span_context()
    assert we_began.seen == they_began.seen
    if isinstance(ours, ReadableSpan) and isinstance(theirs, ReadableSpan):
        assert ours.__dict__.keys() == theirs.__dict__.keys()
        mine, its = (
            (each.parent, each.kind, each.attributes, each.dropped_attributes, each.instrumentation_scope)
            for each in (ours, theirs)
        )
        assert mine == its
        ours.end(12)
        assert (ours.end_time, ours.status.status_code) == (12, trace.StatusCode.UNSET)


def test_a_tracer_that_is_switched_off_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer = TracerProvider().get_tracer("tests")
    monkeypatch.setattr(tracer, "_is_enabled", lambda: False)

    made = start_span(tracer, "call", context=Context(), kind=SpanKind.CLIENT, attributes={}, start_ns=9)

    assert not made.is_recording()
