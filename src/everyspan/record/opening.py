"""A span of ours, begun in fewer steps than the SDK takes."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace import _Span
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Decision
from opentelemetry.trace import Span, SpanContext, SpanKind, TraceFlags, Tracer, get_current_span
from opentelemetry.util.types import AttributeValue

from everyspan.record.attributes import set_attributes
from everyspan.record.ledger import begin_entry
from everyspan.record.processor import EveryspanProcessor
from everyspan.record.tally import TALLY

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_TAKEN = Decision.RECORD_AND_SAMPLE  # a member of an enum takes long to look up (Python 3.11)


def start_span(
    tracer: Tracer,
    name: str,
    *,
    context: Context,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue],
    start_ns: int,
) -> Span:
    """The same as `tracer.start_span`, for names of attributes that are our own; for a model call.

    One that the sampler declines is an entry of the ledger, where our processor sees the spans of this tracer.

    The SDK looks at each attribute in several Python calls and asks its sampler in ten, which together take as long as
    writing the span to disk. Where the sampler takes everything there is nothing to ask. What this relies on is private
    to opentelemetry-sdk 1.43 to 1.45; other versions, samplers and tracers get what everybody does.
    """
    span = _begun(tracer, name, context, kind) if type(tracer) is SdkTracer else None
    if span is None:
        begun = tracer.start_span(
            name, context=context, kind=kind, attributes=attributes, start_time=start_ns
        )
        span = _entry(tracer, begun, name, context, kind)
        if span is None:
            return begun
    set_attributes(span, attributes)
    span.start(start_time=start_ns, parent_context=context)
    return span


def _begun(tracer: SdkTracer, name: str, context: Context, kind: SpanKind) -> _Span | None:
    """A span that was not started yet; None when the sampler has to be asked, or this is another SDK."""
    sampler = tracer.sampler
    around: SpanContext | None = get_current_span(context).get_span_context()
    if around is None or not around.is_valid:
        around = None
        if sampler is not ALWAYS_ON and sampler is not DEFAULT_ON:
            return None
    elif sampler is not ALWAYS_ON and not (sampler is DEFAULT_ON and around.trace_flags.sampled):
        return None
    try:
        if not tracer._is_enabled():
            return None
        ids = tracer.id_generator
        random = ids.is_trace_id_random() if around is None else around.trace_flags.random_trace_id
        own = SpanContext(
            ids.generate_trace_id() if around is None else around.trace_id,
            ids.generate_span_id(),
            is_remote=False,
            trace_flags=TraceFlags(_SAMPLED | TraceFlags.RANDOM_TRACE_ID) if random else _SAMPLED,
            trace_state=None if around is None else around.trace_state,
        )
        return _Span(
            name=name,
            context=own,
            parent=around,
            sampler=sampler,
            resource=tracer.resource,
            span_processor=tracer.span_processor,
            kind=kind,
            instrumentation_info=tracer.instrumentation_info,
            limits=tracer._span_limits,
            instrumentation_scope=tracer._instrumentation_scope,
            record_end_metrics=tracer._tracer_metrics.start_span(around, _TAKEN),
        )
    except (AttributeError, TypeError):
        return None


def _entry(tracer: Tracer, declined: Span, name: str, context: Context, kind: SpanKind) -> _Span | None:
    """The ledger's span for one that the sampler declined; None for any other."""
    if declined.is_recording() or not isinstance(tracer, SdkTracer):
        return None
    own, around = declined.get_span_context(), get_current_span(context).get_span_context()
    if not own.is_valid or own.span_id == around.span_id:  # no sampler said so: tracing is switched off
        return None
    for processor in getattr(tracer.span_processor, "_span_processors", ()):
        if isinstance(processor, EveryspanProcessor) and processor.keeps_ledger:
            TALLY.sampled_out += 1
            return begin_entry(
                name, own, around=context, kind=kind, resource=tracer.resource, processor=processor
            )
    return None
