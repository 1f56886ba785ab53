"""The TracerProviders of a running program: who samples, who is not heard, who sends the same spans again."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, StaticSampler, TraceIdRatioBased

from everyspan.doctor.finding import Finding, note, ok, problem, warning
from everyspan.record.processor import CARRIES, EveryspanProcessor, chain


def examine_providers(urls: Collection[str]) -> Iterator[Finding]:
    """Every TracerProvider that is alive in this process.

    Args:
        urls: where everyspan delivers: an exporter to one of these makes every span twice.
    """
    for provider in _providers():
        name = _name(provider)
        heard = any(_is_ours(processor) for processor in chain(provider))
        if getattr(provider, "_disabled", False):
            yield problem(
                "provider.disabled", f"{name} is disabled and makes no spans", "unset OTEL_SDK_DISABLED"
            )
        elif heard:
            yield _sampling(name, getattr(provider, "sampler", None))
        elif chain(provider) or trace.get_tracer_provider() is provider:
            yield note(
                "provider.other",
                f"{name} is not recorded by everyspan: its spans go where its processors send them "
                f"({_list(chain(provider))})",
            )
        for processor in chain(provider):
            url = _endpoint(processor)
            if url in urls:
                yield problem(
                    "provider.double",
                    f"{name} has a {type(processor).__name__} that sends its spans to {url}, where everyspan delivers "
                    "them too: each arrives twice",
                    "remove that exporter, or give everyspan another destination",
                )


def _providers() -> list[TracerProvider]:
    # Programs keep providers of their own in all sorts of places; the collector of garbage knows them all.
    found = [thing for thing in gc.get_objects() if issubclass(type(thing), TracerProvider)]
    first = trace.get_tracer_provider()
    return sorted(found, key=lambda provider: provider is not first)


def _name(provider: TracerProvider) -> str:
    kind = type(provider)
    shown = f"the {kind.__name__}" if kind is TracerProvider else f"the {kind.__module__}.{kind.__name__}"
    service = provider.resource.attributes.get("service.name")
    named = f" of {service}" if service and not str(service).startswith("unknown_service") else ""
    return f"{shown}{named} ({'global' if trace.get_tracer_provider() is provider else 'private'})"


def _is_ours(processor: Any) -> bool:
    return isinstance(processor, EveryspanProcessor) or hasattr(processor, CARRIES)


def _list(processors: Collection[Any]) -> str:
    return ", ".join(sorted({type(processor).__name__ for processor in processors})) or "none"


def _sampling(name: str, sampler: Any) -> Finding:
    kept = _share(sampler)
    if kept is None:
        return warning(
            "provider.sampler_unknown",
            f"{name} has a sampler of its own kind, {type(sampler).__name__}: of calls it declines only usage and cost "
            "are kept",
            "see `sampled_out` in everyspan.stats() after some calls",
        )
    if kept < 1:
        return warning(
            "provider.sampler",
            f"{name} keeps {kept:.4g} of all traces ({sampler.get_description()}): of the other calls only usage and "
            "cost are kept",
            "to see them whole, give it no sampler, and sample where the other traces are exported",
        )
    return ok("provider.recorded", f"{name} is recorded, and samples nothing away")


def _share(sampler: Any) -> float | None:
    """How many of the traces that begin here a sampler keeps, from 0 to 1; None when only it knows."""
    if isinstance(sampler, ParentBased):
        return _share(getattr(sampler, "_root", None))
    if isinstance(sampler, TraceIdRatioBased):
        return sampler.rate
    if isinstance(sampler, StaticSampler):
        return float(getattr(sampler, "_decision", Decision.RECORD_AND_SAMPLE) is Decision.RECORD_AND_SAMPLE)
    return None


def _endpoint(processor: Any) -> str:
    """Where a processor's OTLP/HTTP exporter posts to; empty when it has none, or we took its place."""
    queue = getattr(processor, "_batch_processor", None)
    exporter: Any = getattr(queue, "_exporter", None) or getattr(processor, "span_exporter", None)
    while hasattr(exporter, "_exporter"):
        exporter = exporter._exporter
    return str(getattr(exporter, "_endpoint", ""))
