"""The compiled table against the library it was compiled from, over all of its models."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import genai_prices
from genai_prices.data import providers as source_providers

from everyspan.cost.price import Purchase, price
from everyspan.cost.table import Table
from everyspan.model.money import Cost, CostState
from everyspan.model.usage import Usage

TABLE = Table.load()
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

SCENARIOS = {
    "plain": Usage(input_tokens=1_000, output_tokens=100),
    "cached": Usage(input_tokens=100_000, output_tokens=10_000, cache_read_tokens=80_000),
    "written": Usage(
        input_tokens=90_000, output_tokens=7, cache_write_tokens=60_000, cache_write_1h_tokens=20_000
    ),
    "reasoning": Usage(input_tokens=1_000, output_tokens=10_000, reasoning_tokens=9_000),
    "audio": Usage(
        input_tokens=50_000,
        output_tokens=10_000,
        cache_read_tokens=20_000,
        input_audio_tokens=40_000,
        output_audio_tokens=6_000,
        cache_read_audio_tokens=15_000,
    ),
    "image": Usage(
        input_tokens=1_000, output_tokens=1_300, input_image_tokens=300, output_image_tokens=1_290
    ),
    "at 200k": Usage(input_tokens=200_000, output_tokens=1_000, cache_read_tokens=150_000),
    "over 200k": Usage(input_tokens=200_001, output_tokens=1_000, cache_read_tokens=150_000),
    "over 512k": Usage(input_tokens=600_000, output_tokens=1_000, web_searches=3),
}
DATES_AND_VARIANTS_USE = ("plain", "cached", "over 200k")
SOURCE_NAMES = {
    "cache_read_audio_tokens": "cache_audio_read_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}
# Nothing that a library reports about a call says these; such calls get the standard price.
NOT_REPORTED = {("route", "mistral/eu"), ("search_type", "fast"), ("search_type", "web")}


def test_every_model_costs_what_the_source_says_in_every_scenario() -> None:
    wrong: list[str] = []
    compared = 0

    for provider, reference in references():
        for name in SCENARIOS:
            compared += 1
            wrong += differences(provider, reference, SCENARIOS[name], name, at=NOW)

    assert wrong == []
    assert compared > 2_300 * len(SCENARIOS)


def test_dated_prices_change_on_the_day_and_the_hour_the_source_says() -> None:
    wrong: list[str] = []
    compared = 0

    for provider, reference, model in dated_models():
        for at in moments(model):
            for name in DATES_AND_VARIANTS_USE:
                compared += 1
                wrong += differences(provider, reference, SCENARIOS[name], f"{name} at {at:%F %R}", at=at)

    assert wrong == []
    assert compared > 1_000


def test_variants_cost_what_the_source_says_and_are_named_when_they_do_not_exist_yet() -> None:
    wrong: list[str] = []
    left_out: set[tuple[str, str]] = set()
    compared: Counter[str] = Counter()

    for provider, reference, variant in variants():
        (context,) = variant.when.items()
        if context in NOT_REPORTED:
            left_out.add(context)
            continue
        start = getattr(variant.constraint, "start_date", None)
        for at in [NOW] if start is None else [NOW, midnight(start), midnight(start) - timedelta(seconds=1)]:
            for name in DATES_AND_VARIANTS_USE:
                compared[context[1]] += 1
                usage = in_variant(SCENARIOS[name], context)
                wrong += differences(
                    provider, reference, usage, f"{name} {context} at {at:%F %R}", at=at, when=variant
                )

    assert wrong == []
    assert left_out == NOT_REPORTED
    assert set(compared) == {"batch", "default", "fast", "flex", "priority"}
    assert compared.total() > 1_500


def test_the_table_holds_every_model_of_the_source() -> None:
    compiled = {(line[0], line[1]) for line in Table.load().lines()}

    source = {(provider.id, model.id) for provider in source_providers for model in provider.models}

    assert source <= compiled
    assert len(compiled) > len(source) + 2_000


def test_the_overrides_are_the_only_models_that_differ() -> None:
    wrong = {
        provider + "/" + reference for provider, reference in references() if overridden(provider, reference)
    }

    assert wrong == {
        "anthropic/claude-sonnet-4-5",
        "deepseek/deepseek-chat",
        "deepseek/deepseek-reasoner",
        "x-ai/grok-code-fast-1",
    }


def differences(
    provider: str, reference: str, usage: Usage, name: str, *, at: datetime, when: Any = None
) -> Iterator[str]:
    """What our cost and the source's disagree about, in words."""
    if overridden(provider, reference):
        return
    context = dict(when.when) if when else None
    expected = genai_prices.calc_price(
        source_usage(usage),
        reference,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context,
    )
    found = price(Purchase(usage=usage, model=reference, provider=provider, at_ns=nanoseconds(at)))
    where = f"{provider}/{reference} {name}"
    if found.model != f"{provider}/{expected.model.id}":
        yield f"{where}: matched {found.model}, not {expected.model.id}"
    if found.total is None:
        # The source calls it 0 when it has no price for anything that was reported.
        if expected.total_price != 0 or found.state is not CostState.UNPRICED or not found.unpriced:
            yield f"{where}: no price ({found.unpriced}), but the source says {expected.total_price}"
        return
    ours = (found.total, found.input, found.output)
    theirs = (expected.total_price, expected.input_price, expected.output_price)
    if ours != theirs:
        yield f"{where}: {ours} is not {theirs}"
    if sum((line.amount for line in found.lines), Decimal(0)) != found.total:
        yield f"{where}: the lines do not add up"
    if when is not None and not exists(found, expected, when, at):
        yield f"{where}: {found.state} {found.unpriced} for a variant of {when.constraint}"


@cache
def overridden(provider: str, reference: str) -> bool:
    """Whether one of our own corrections is laid over this model."""
    line = TABLE.line(reference, provider=provider)
    return line is not None and any("overrides" in entry[2:] for entry in line[3])


def exists(found: Cost, expected: Any, when: Any, at: datetime) -> bool:
    """Whether our cost names the variant as missing exactly when the source does not have it at that moment."""
    ((key, value),) = when.when.items()
    name = "batch" if key == "processing" else "service_tier=" + value
    active = value == "default" or any(
        variant.when == when.when and (variant.constraint is None or variant.constraint.active(at))
        for variant in expected.model.price_variants
    )
    return (name in found.unpriced) is not active


def references() -> Iterator[tuple[str, str]]:
    for provider, model in all_models():
        yield provider.id, reference_to(model)


def dated_models() -> Iterator[tuple[str, str, Any]]:
    for provider, model in all_models():
        if isinstance(model.prices, list):
            yield provider.id, reference_to(model), model


def variants() -> Iterator[tuple[str, str, Any]]:
    for provider, model in all_models():
        for variant in model.price_variants or ():
            yield provider.id, reference_to(model), variant


def all_models() -> Iterator[tuple[Any, Any]]:
    return ((provider, model) for provider in source_providers for model in provider.models)


def reference_to(model: Any) -> str:
    """A name that somebody could call the model by: one that its own rule accepts."""
    candidates: tuple[str, ...] = (model.id.lower(), *literals(model.match))
    for candidate in candidates:
        if model.is_match(candidate):
            return candidate
    raise AssertionError(f"no name found that the rule of {model.id} accepts: {model.match}")


def literals(clause: Any) -> Iterator[str]:
    parts = getattr(clause, "or_", None) or getattr(clause, "and_", None)
    if parts:
        yield from itertools.chain.from_iterable(literals(part) for part in parts)
    elif not hasattr(clause, "regex"):
        yield str(next(iter(vars(clause).values()))).lower()


def moments(model: Any) -> Iterator[datetime]:
    """Either side of each change of price, and the edges of the hours that have one of their own."""
    yield LONG_AGO
    for entry in model.prices:
        start = getattr(entry.constraint, "start_date", None)
        if start is not None:
            yield midnight(start) - timedelta(seconds=1)
            yield midnight(start)
        for edge in ("start_time", "end_time"):
            of_day: time | None = getattr(entry.constraint, edge, None)
            if of_day is not None:
                yield datetime.combine(NOW, of_day)
                yield datetime.combine(NOW, of_day) - timedelta(seconds=1)


def in_variant(usage: Usage, context: tuple[str, str]) -> Usage:
    batch = context == ("processing", "batch")
    counts = {field.name: getattr(usage, field.name) for field in fields(usage)}
    return Usage(**{**counts, "batch": batch, "service_tier": None if batch else context[1]})


def source_usage(usage: Usage) -> Any:
    counts = {field.name: getattr(usage, field.name) for field in fields(usage)}
    known = {SOURCE_NAMES.get(name, name): count for name, count in counts.items() if type(count) is int}
    return genai_prices.Usage(**known)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000
