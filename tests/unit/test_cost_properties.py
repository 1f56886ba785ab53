"""What holds of every cost, whatever the tokens: laws, over the shipped table."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everyspan.cost.price import Purchase, price
from everyspan.cost.rates import EXACT
from everyspan.cost.table import Table
from everyspan.model.money import Cost, CostState
from everyspan.model.usage import Usage
from everyspan.query.costs import CostBy, CostFilter, costs
from everyspan.query.repricing import reprice
from everyspan.store.reads import Prices
from everyspan.store.repricing import repricer
from everyspan.store.rows import SpanRow
from everyspan.store.store import open_store
from tests.store_rows import call

TABLE = Table.load()
NOW_NS = 1_795_000_000 * 10**9
MODELS = (
    "gpt-4o",
    "gpt-5-mini",
    "o4-mini",
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
)
FLAT = tuple(
    model for model in MODELS if not model.startswith("gemini-2.5-pro") and model != "claude-sonnet-4-5"
)
"""Those whose rates do not depend on the length of the context: of them two calls cost what one longer one does."""

counts = st.integers(0, 400_000)
kinds = st.fixed_dictionaries(
    {
        "fresh": counts,
        "cache_read_tokens": counts,
        "cache_write_tokens": counts,
        "said": counts,
        "reasoning_tokens": counts,
    }
)


def usage_of(tokens: dict[str, int]) -> Usage:
    read, written, reasoned = (
        tokens[name] for name in ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
    )
    return Usage(
        input_tokens=tokens["fresh"] + read + written,
        output_tokens=tokens["said"] + reasoned,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoned,
    )


def cost_of(model: str, usage: Usage) -> Cost:
    return price(Purchase(usage=usage, model=model, at_ns=NOW_NS), TABLE)


def total_of(model: str, tokens: dict[str, int]) -> Decimal:
    return cost_of(model, usage_of(tokens)).total or Decimal(0)


@given(st.sampled_from(FLAT), kinds, kinds)
def test_two_calls_cost_what_one_call_with_the_tokens_of_both_does(
    model: str, one: dict[str, int], other: dict[str, int]
) -> None:
    both = {name: one[name] + other[name] for name in one}

    assert EXACT.add(total_of(model, one), total_of(model, other)) == total_of(model, both)


@given(
    st.sampled_from(MODELS),
    kinds,
    st.sampled_from(["fresh", "cache_read_tokens", "cache_write_tokens", "said", "reasoning_tokens"]),
    counts,
)
def test_more_tokens_of_any_kind_never_cost_less(
    model: str, tokens: dict[str, int], kind: str, more: int
) -> None:
    assert total_of(model, {**tokens, kind: tokens[kind] + more}) >= total_of(model, tokens)


@given(
    st.sampled_from(MODELS),
    st.builds(
        Usage,
        input_tokens=st.none() | counts,
        output_tokens=st.none() | counts,
        cache_read_tokens=st.none() | st.integers(-1, 400_000),
        cache_write_tokens=st.none() | counts,
        reasoning_tokens=st.none() | counts,
        service_tier=st.sampled_from([None, "default", "flex", "priority", "no-such-tier"]),
        batch=st.booleans(),
    ),
    st.booleans(),
)
@settings(max_examples=300)
def test_the_quick_way_and_the_long_way_say_the_same_to_the_last_zero(
    model: str, usage: Usage, estimated: bool
) -> None:
    def asked(usage: Usage) -> Cost:
        return price(Purchase(usage=usage, model=model, at_ns=NOW_NS, estimated=estimated), TABLE)

    quick, long = asked(usage), asked(replace(usage, requests=1))  # told requests, it looks at everything

    assert quick == long
    assert str(tuple(quick[:5])) == str(tuple(long[:5]))
    assert repr(quick.parts) == repr(long.parts)


@given(st.sampled_from(MODELS), kinds)
def test_the_lines_make_the_total_and_both_sides_do_too(model: str, tokens: dict[str, int]) -> None:
    found = cost_of(model, usage_of(tokens))

    if found.state is CostState.UNPRICED:
        assert (found.total, found.lines) == (None, ())
        return
    assert found.total == sum((line.amount for line in found.lines), Decimal(0))
    assert found.total == (found.input or 0) + (found.output or 0)
    assert sum(line.tokens for line in found.lines) == sum(tokens.values())


ROWS = [
    call(
        number,
        str(cost_of("gpt-4o", Usage(input_tokens=number, output_tokens=1)).total) if number % 3 else None,
        model=MODELS[number % len(MODELS)],
        usage=Usage(input_tokens=100 * number, output_tokens=number, cache_read_tokens=number),
        user=f"u{number % 2}",
        session=f"s{number % 3}",
        tags=("a", "b")[: number % 3],
        environment=("test", "live")[number % 2],
    )
    for number in range(1, 10)
]
BY = (CostBy.MODEL, CostBy.USER, CostBy.SESSION, CostBy.TAG, CostBy.ENVIRONMENT, CostBy.PROVIDER, CostBy.DAY)


def sums_after(deliveries: list[list[SpanRow]], folder: Path, name: str) -> list[object]:
    with closing(open_store(folder / name)) as store:
        for rows in deliveries:
            store.insert(rows)
        reprice(repricer(store), TABLE, CostFilter(), write=True)
        for rows in deliveries[:1]:
            store.insert(rows)  # and again, after it was priced anew
        return [
            costs(store, by=by, wanted=CostFilter(prices=prices))
            for by in (*BY, CostBy.PROJECT)
            for prices in Prices
        ]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    return sums_after([ROWS], tmp_path_factory.mktemp("expected"), "once.db")


@given(
    order=st.permutations(ROWS),
    cut=st.integers(0, len(ROWS)),
    again=st.lists(st.sampled_from(ROWS), max_size=5),
)
@settings(max_examples=8, deadline=None)
def test_recorded_and_repriced_sums_do_not_depend_on_order_batches_and_redelivery(
    expected: list[object], order: list[SpanRow], cut: int, again: list[SpanRow]
) -> None:
    with TemporaryDirectory() as folder:
        assert sums_after([order[:cut] + again, order[cut:], again], Path(folder), "any.db") == expected
