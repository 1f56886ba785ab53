"""LLM calls as spans, whose number, parent and price can be told from what arrives."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from everyspan.spool import Kept, Log
from everyspan.store.rows import SpanRow
from everyspan.wire.encode import Encoded, encode_span, encode_started
from everyspan.wire.frame import Kind
from tests.torture.scores import Score

_RESOURCE = Resource({"service.name": "torture"})
_SCOPE = InstrumentationScope("tests.torture")
_START_NS = 1_763_800_000_000_000_000
_FIRST_CALL = 1 << 32
_CALLS_PER_PARENT = 10

# gpt-4o: $2.50 and $10 for a million tokens in and out.
_IN_USD, _OUT_USD = Decimal("0.0000025"), Decimal("0.00001")


def tokens_of(number: int) -> tuple[int, int]:
    """Tokens in and out of call `number`."""
    return 100 + number % 7, 10 + number % 3


def cost_of(numbers: Iterable[int]) -> Decimal:
    """US dollars owed for these calls."""
    tokens = [tokens_of(number) for number in numbers]
    return sum((i * _IN_USD + o * _OUT_USD for i, o in tokens), Decimal(0))


def span_id_of(number: int) -> int:
    """The span id of call `number`."""
    return _FIRST_CALL + number


def parent_of(number: int) -> int:
    """The span id that call `number` stands under; ten calls share one."""
    return 1 + number // _CALLS_PER_PARENT


def call(number: int, *, text: str = "", trace: int = 1) -> ReadableSpan:
    """A model call with a parent and a price."""
    tokens_in, tokens_out = tokens_of(number)
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": tokens_in,
        "gen_ai.usage.output_tokens": tokens_out,
        "number": number,
        "text": text,
    }
    return ReadableSpan(
        f"chat {number}",
        context=SpanContext(trace, span_id_of(number), is_remote=False),
        parent=SpanContext(trace, parent_of(number), is_remote=False),
        attributes=attributes,
        resource=_RESOURCE,
        instrumentation_scope=_SCOPE,
        start_time=_START_NS + number,
        end_time=_START_NS + number + 1_000_000,
    )


def begin(log: Log, number: int) -> Kept:
    """Append the START frame of call `number`."""
    return _append(log, Kind.START, encode_started(call(number)))


def end(log: Log, number: int, *, text: str = "") -> Kept:
    """Append the SPAN frame of call `number`."""
    return _append(log, Kind.SPAN, encode_span(call(number, text=text)))


def score_rows(
    scenario: str, rows: Iterable[SpanRow], *, expected: range | set[int], duplicated: int, figures: str
) -> Score:
    """What the rows of a store say of the calls that were recorded."""
    by_id = {int(row.span_id, 16): row for row in rows}
    found = [(number, by_id[span_id_of(number)]) for number in expected if span_id_of(number) in by_id]
    complete = [number for number, row in found if row.end != "interrupted"]
    stored = sum((row.cost for _, row in found if row.cost is not None), Decimal(0))
    return Score(
        scenario=scenario,
        ok=len(complete),
        lost=len(expected) - len(found),
        recovered=len(found) - len(complete),
        duplicated=duplicated,
        misparented=sum(row.parent_id != f"{parent_of(number):016x}" for number, row in found),
        cost_difference=stored - cost_of(expected),
        figures=figures,
    )


def _append(log: Log, kind: Kind, encoded: Encoded) -> Kept:
    return log.append(kind, encoded.payload, stamp_at=encoded.stamp_at)
