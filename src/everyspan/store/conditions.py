"""What a list of single spans, or a sum over them, may ask of each span, and by what it may gather them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum


class SpanField(StrEnum):
    """A part of a span that can be asked about."""

    SPAN_ID = "span_id"
    TRACE_ID = "trace_id"
    PARENT_ID = "parent_id"
    NAME = "name"
    KIND = "kind"
    USER = "user"
    SESSION = "session"
    ENVIRONMENT = "environment"
    STATUS = "status"
    SERVICE = "service"
    PROVIDER = "provider"
    MODEL = "model"
    TRACE_NAME = "trace_name"
    """What the span calls its trace, and a root that says nothing else its own name."""
    TAGS = "tags"
    START = "start_ns"
    END = "end_ns"
    DURATION = "duration_ns"
    FIRST_TOKEN = "first_token_ns"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    TOTAL_TOKENS = "total_tokens"
    COST = "cost"
    """US dollars of spans that count towards the bill."""
    STREAMING = "streaming_ns"
    """From the first token to the end, of spans that said when the first came."""
    TOKENS_PER_SECOND = "tokens_per_second"
    """All tokens over the whole length."""
    OUTPUT_TOKENS_PER_SECOND = "output_tokens_per_second"
    """Output tokens over `STREAMING`."""
    SCORES = "scores"
    """How many scores judge the span itself. Only measured: no condition asks for it."""


TEXTS = frozenset(list(SpanField)[: list(SpanField).index(SpanField.TAGS)])
"""Fields that are text; one that is empty was not said."""

NUMBERS = frozenset(list(SpanField)[list(SpanField).index(SpanField.START) :])
"""Fields that are whole numbers, the cost, which is exact, and rates, which are not."""


class Is(Enum):
    """How a field has to be."""

    ANY_OF = "any of"
    NONE_OF = "none of"
    ALL_OF = "all of"
    """Tags only."""
    CONTAINING = "containing"
    NOT_CONTAINING = "not containing"
    BEGINNING = "beginning with"
    ENDING = "ending with"
    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    """Numbers only, these five."""
    MISSING = "missing"
    PRESENT = "present"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition; `texts` for texts and tags, `number` for numbers. Letters are compared as they are."""

    field: SpanField
    how: Is
    texts: tuple[str, ...] = ()
    number: int | Decimal = 0


class Period(StrEnum):
    """By what length of time sums are divided, in UTC; weeks begin on Monday."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The values of one field in a group; those that were not said are left out."""

    count: int = 0
    total: Decimal = Decimal(0)
    least: Decimal = Decimal(0)
    most: Decimal = Decimal(0)
    quantiles: Mapping[int, int] = field(default_factory=dict)
    """By percent, of lengths of time only: the value that so many percent do not exceed, within 1.6 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanGroup:
    """The spans that share the values of what was grouped by."""

    values: tuple[str, ...]
    """In the order of what was grouped by; empty when the spans did not say. One with two tags is in two groups."""
    period_s: int = 0
    """When the period began, in seconds since 1970."""
    spans: int
    """How many there are; traces where `SingleStore.trace_sums` was asked."""
    measured: Mapping[SpanField, Measured]
    distinct: Mapping[SpanField, int] = field(default_factory=dict)
    """How many different values the spans have, of the texts asked for; empty ones are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What is asked of spans or traces together, see `SingleStore.span_groups`."""

    by: Sequence[SpanField] = ()
    measures: Sequence[SpanField] = ()
    each: Period | None = None
    distinct: Sequence[SpanField] = ()


PERCENTS = (50, 75, 90, 95, 99)
"""The quantiles that are told."""

TIMES = frozenset({SpanField.DURATION, SpanField.FIRST_TOKEN, SpanField.STREAMING})
"""Fields with quantiles."""

MOST_GROUPS = 10_000
"""Groups in one answer; more of them is no answer that anybody reads."""
