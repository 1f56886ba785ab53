"""The ledger: what a call used and cost of which the user's sampler wants no span.

Such a call is recorded all the same, as a span under the ids that the SDK gave it, but only what a bill needs of it
reaches the disk: no texts, no parameters, no error messages. The user's own processors and exporters never see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, _Span
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, get_current_span
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.altered import AlteredSpan
from everyspan.record.shed import without_texts
from everyspan.version import __version__

_SCOPE = InstrumentationScope(names.LEDGER_SCOPE, __version__)
_UNSET = SpanLimits.UNSET
_LIMITS = SpanLimits(
    max_span_attributes=_UNSET, max_attribute_length=_UNSET, max_span_attribute_length=_UNSET
)

_KEPT = frozenset(
    {
        names.OPERATION,
        names.PROVIDER,
        names.REQUEST_MODEL,
        names.RESPONSE_MODEL,
        names.RESPONSE_ID,
        names.SERVER_ADDRESS,
        names.ERROR_TYPE,
        names.SESSION,
        names.USER,
        names.ENVIRONMENT,
        names.END,
        names.ATTEMPTS,
        names.CACHE_HIT,
        names.USAGE_SOURCE,
        names.UNBILLED,
        names.SHED_INPUT_BYTES,
        names.LANGFUSE_TYPE,
        names.LANGFUSE_MODEL,
        names.LANGFUSE_USAGE,
        names.LANGFUSE_COST,
        names.LANGFUSE_TAGS,
        names.LANGFUSE_ENVIRONMENT,
    }
)
_KEPT_PREFIXES = ("gen_ai.usage.", "everyspan.cost.", "everyspan.usage.")
_LEFT_OUT = frozenset({names.USAGE_RAW, names.COST_INPUT, names.COST_OUTPUT})
"""The lines of the cost say it too. So does a count of 0 that is not there."""
_KEPT_OF_RESOURCE = (
    "service.name",
    "service.namespace",
    "deployment.environment.name",
    "deployment.environment",
)

_MOST_RESOURCES = 64
_resources: dict[int, tuple[Resource, Resource]] = {}
"""By object, which is in the entry so that its id stays its own: a program has one or two."""


def begin_entry(
    name: str,
    declined: SpanContext,
    *,
    around: Context,
    kind: SpanKind,
    resource: Resource,
    processor: SpanProcessor,
) -> _Span:
    """A span, not started yet, under the ids of the one that was declined; children go on to see it as unsampled."""
    parent: SpanContext | None = get_current_span(around).get_span_context()
    return _Span(
        name=name,
        context=declined,
        parent=parent if parent is not None and parent.is_valid else None,
        resource=_reduced(resource),
        span_processor=processor,
        kind=kind,
        limits=_LIMITS,
        instrumentation_scope=_SCOPE,
    )


def is_entry(span: object) -> bool:
    """True for the span of a call that a sampler declined, begun or ended."""
    return getattr(span, "_instrumentation_scope", None) is _SCOPE


def entry_of(span: ReadableSpan) -> ReadableSpan:
    """What of it may be written."""
    known = span.attributes or {}
    # Of one that never ends the input is estimated, by its length.
    kept = _bill(without_texts(known) if span.end_time is None else known)
    return AlteredSpan(span, kept, events=(), status=Status(span.status.status_code))


def _bill(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    kept = {
        name: value
        for name, value in attributes.items()
        if (name in _KEPT or name.startswith(_KEPT_PREFIXES)) and name not in _LEFT_OUT and value != 0
    }
    if kept.get(names.RESPONSE_MODEL) == kept.get(names.REQUEST_MODEL):
        kept.pop(names.RESPONSE_MODEL, None)
    return kept


def _reduced(resource: Resource) -> Resource:
    """Whose spans they are, without what OpenTelemetry says of itself and of the machine."""
    known = _resources.get(id(resource))
    if known is None:
        found: dict[str, Any] = {
            name: resource.attributes[name] for name in _KEPT_OF_RESOURCE if name in resource.attributes
        }
        if len(_resources) >= _MOST_RESOURCES:
            _resources.clear()
        known = _resources[id(resource)] = (resource, Resource(found))
    return known[1]
