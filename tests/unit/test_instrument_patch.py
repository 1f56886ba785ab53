"""Exchanging the inside of a function reaches every reference to it, and changes nothing else about it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from everyspan.instrument import patch


def double(number: int, *, plus: int = 0) -> int:
    """Twice the number."""
    if number < 0:
        raise ValueError("negative")
    return 2 * number + plus


async def double_later(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def closure_over(factor: int) -> Callable[[int], int]:
    def multiply(number: int) -> int:
        return factor * number

    return multiply


imported_earlier = double
bound_earlier = functools.partial(double, 4)


def add_one(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return original(*args, **kwargs) + 1


async def add_one_later(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return await original(*args, **kwargs) + 1


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    for function in (double, double_later):
        patch.restore(function)


def test_references_taken_before_the_exchange_are_reached() -> None:
    patch.exchange(double, add_one)

    assert imported_earlier(3) == 7
    assert bound_earlier() == 9
    assert double(number=3, plus=1) == 8


def test_a_coroutine_function_stays_one() -> None:
    patch.exchange(double_later, add_one_later)

    assert inspect.iscoroutinefunction(double_later)
    assert asyncio.run(double_later(3)) == 7


def test_a_closure_keeps_its_variables() -> None:
    triple, quadruple = closure_over(3), closure_over(4)

    patch.exchange(triple, add_one)

    assert triple(2) == 7
    assert quadruple(2) == 8


def test_signature_name_and_docstring_stay_as_they_were() -> None:
    before = (inspect.signature(double), double.__name__, double.__qualname__, double.__doc__)

    patch.exchange(double, add_one)

    assert (inspect.signature(double), double.__name__, double.__qualname__, double.__doc__) == before


def test_an_exception_passes_through_with_the_original_line_in_its_traceback() -> None:
    patch.exchange(double, add_one)

    with pytest.raises(ValueError, match="negative") as caught:
        double(-1)

    assert 'raise ValueError("negative")' in "".join(traceback.format_exception(caught.value))


def test_a_second_exchange_does_not_wrap_again() -> None:
    patch.exchange(double, add_one)
    patch.exchange(double, add_one)

    assert double(3) == 7


def test_restoring_gives_the_function_its_own_code_back() -> None:
    code = double.__code__
    patch.exchange(double, add_one)

    patch.restore(double)

    assert double.__code__ is code
    assert double(3) == 6


def test_a_generator_function_stays_one_and_is_wrapped_where_it_begins() -> None:
    begun: list[str] = []

    def count(upto: int) -> Iterator[int]:
        yield from range(upto)

    def wrapper(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        begun.append("now")
        return (number * 10 for number in original(*args, **kwargs))

    patch.exchange(count, wrapper)
    numbers = count(3)

    assert inspect.isgeneratorfunction(count)
    assert begun == []
    assert list(numbers) == [0, 10, 20]


def test_what_cannot_be_exchanged_is_refused() -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(TypeError, match="no Python function"):
        patch.exchange(len, add_one)
    with pytest.raises(TypeError, match="generator"):
        patch.exchange(generate, add_one)
