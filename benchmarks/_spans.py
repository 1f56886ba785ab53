"""Spans as a chat call leaves them, of a chosen size, for every benchmark the same."""

from __future__ import annotations

import random

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue

_WORDS = [
    "span", "trace", "model", "token", "the", "a", "of", "which", "cost", "answer", "question", "is", "and",
    "what", "delivered", "written", "prompt", "between", "stream", "cache", "not", "under", "one", "every",
]  # fmt: skip
_START_NS = 1_700_000_000_000_000_000
_RESPONSE_MODEL = "gpt-4o-mini-2024-07-18"

chance = random.Random(20)


def resource() -> Resource:
    """What all benchmark spans belong to."""
    return Resource(
        {"service.name": "benchmark", "service.version": "1.0", "deployment.environment.name": "test"}
    )


def text(length: int) -> str:
    """Words in random order, `length` characters of them: they compress as prompts do."""
    words: list[str] = []
    size = 0
    while size <= length:
        words.append(chance.choice(_WORDS))
        size += len(words[-1]) + 1
    return " ".join(words)[:length]


def made(tracer: Tracer, prompt: str) -> ReadableSpan:
    """The span that `make` makes."""
    span = make(tracer, prompt)
    assert isinstance(span, ReadableSpan)
    return span


def make(tracer: Tracer, prompt: str) -> Span:
    """Begin and end one span whose attributes are those of a chat call."""
    span = tracer.start_span(
        "chat gpt-4o-mini",
        kind=SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.provider.name": "openai",
            "gen_ai.input.messages": prompt,
        },
        start_time=_START_NS,
    )
    span.set_attributes(_answer())
    span.end(_START_NS + 1_300_000_000)
    return span


def _answer() -> dict[str, AttributeValue]:
    """What differs from call to call differs here, too."""
    read, wrote = chance.randrange(100, 2_000), chance.randrange(10, 500)
    return {
        "gen_ai.response.id": f"chatcmpl-{chance.getrandbits(64):016x}",
        "gen_ai.response.model": _RESPONSE_MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": read,
        "gen_ai.usage.output_tokens": wrote,
        "everyspan.end": "complete",
        "everyspan.cost.state": "computed",
        "everyspan.cost.total": f"0.000{read + 4 * wrote}",
        "everyspan.cost.input": f"0.000{read}",
        "everyspan.cost.output": f"0.000{4 * wrote}",
    }


class _Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def prompt_length(size_bytes: int) -> int:
    """Characters of prompt that make a span of about `size_bytes` as OTLP."""
    return size_bytes - 900


def finished(count: int, *, size_bytes: int) -> list[ReadableSpan]:
    """Ended spans, as the SDK hands them to a processor."""
    kept = _Kept()
    provider = TracerProvider(resource=resource(), sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(kept)
    tracer = provider.get_tracer("benchmark", "1.0")
    for _ in range(count):
        make(tracer, text(prompt_length(size_bytes)))
    return kept.spans
