"""A span of ours, begun in fewer steps than the SDK takes."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace import _Span
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.trace import Span, SpanContext, SpanKind, TraceFlags, Tracer, get_current_span
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import AttributeValue

from everyspan.record.attributes import set_attributes
from everyspan.record.call_span import CallSpan, make_span, only_one
from everyspan.record.ledger import begin_entry
from everyspan.record.processor import EveryspanProcessor
from everyspan.record.tally import TALLY

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SAMPLED_AND_RANDOM = TraceFlags(_SAMPLED | getattr(TraceFlags, "RANDOM_TRACE_ID", 0))


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
    made = _begun(tracer, name, context, kind, attributes) if type(tracer) is SdkTracer else None
    if made is not None:
        processor = only_one(made._span_processor)
        if processor is None:
            made.start(start_time=start_ns, parent_context=context)
        else:
            made._start_time = start_ns
            processor.on_start(made, context)
        return made
    begun = tracer.start_span(name, context=context, kind=kind, attributes=attributes, start_time=start_ns)
    entry = _entry(tracer, begun, name, context, kind)
    if entry is None:
        return begun
    set_attributes(entry, attributes)
    entry.start(start_time=start_ns, parent_context=context)
    return entry


def _begun(
    tracer: SdkTracer,
    name: str,
    context: Context,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue],
) -> CallSpan | None:
    """A span that was not started yet; None when the sampler has to be asked, or this is another SDK."""
    sampler = tracer.sampler
    above = context.get(_SPAN_KEY)
    around = above.get_span_context() if isinstance(above, Span) else None
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
            trace_flags=_SAMPLED_AND_RANDOM if random else _SAMPLED,
            trace_state=None if around is None else around.trace_state,
        )
        return make_span(tracer, name, own, parent=around, kind=kind, attributes=attributes)
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
