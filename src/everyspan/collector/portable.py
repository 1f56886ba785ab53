"""What a body turned into, as bytes for another process of ours: plain values, quick to write and to read."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterable
from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, TypeVar

from everyspan.collector.reader import Read
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.store.words import searchable

_ROW = tuple(
    field.name for field in fields(SpanRow) if field.name not in ("usage", "cost_state", "cost", "words")
)
_USAGE = tuple(field.name for field in fields(Usage))
_NUMBERS = tuple(field.name for field in fields(Numbers))
_SIGHTING = tuple(field.name for field in fields(Sighting))
_row, _usage = attrgetter(*_ROW), attrgetter(*_USAGE)
_numbers, _sighting = attrgetter(*_NUMBERS), attrgetter(*_SIGHTING)
_NOTHING = Usage()
_NO_USAGE = _usage(_NOTHING)
_FORMAT = 2
"""marshal's, without looking for values that occur twice: that takes longer than writing them twice."""
_STATES = {state.value: state for state in CostState}

_Made = TypeVar("_Made")


def _maker(of: type[_Made], names: Iterable[str]) -> Callable[[Iterable[Any]], _Made]:
    """Makes frozen values out of the values of all their fields, in this order.

    What a frozen dataclass generates for itself takes three times as long, and forty fields of each span came that way.
    """
    new, setters = of.__new__, [vars(of)[name].__set__ for name in names]

    def make(values: Iterable[Any]) -> _Made:
        made = new(of)
        for put, value in zip(setters, values, strict=True):
            put(made, value)
        return made

    return make


_make_row = _maker(SpanRow, (*_ROW, "usage", "cost_state", "cost", "words"))
_make_usage = _maker(Usage, _USAGE)


def to_bytes(read: Read) -> bytes:
    """The rows, numbers and sightings; only for a process of the same Python."""
    return marshal.dumps(
        (
            [_plain(row) for row in read.spans],
            list(map(_numbers, read.numbers)),
            list(map(_sighting, read.sightings)),
            read.unreadable,
        ),
        _FORMAT,
    )


def from_bytes(data: bytes) -> Read:
    """What `to_bytes` was given."""
    spans, numbers, sightings, unreadable = marshal.loads(data)
    return Read(
        spans=list(map(_whole, spans)),
        numbers=[Numbers(**dict(zip(_NUMBERS, values, strict=True))) for values in numbers],
        sightings=[Sighting(**dict(zip(_SIGHTING, values, strict=True))) for values in sightings],
        unreadable=unreadable,
    )


def _plain(row: SpanRow) -> tuple[Any, ...]:
    usage = _usage(row.usage)
    state, cost = row.cost_state, row.cost
    return (
        *_row(row),
        None if usage == _NO_USAGE else usage,
        None if state is None else str.__str__(state),
        None if cost is None else str(cost),
        # Much of the work of storing a span, and it needs no store.
        searchable(row.input, row.output),
    )


def _whole(values: tuple[Any, ...]) -> SpanRow:
    usage, state, cost, words = values[-4:]
    return _make_row(
        (
            *values[:-4],
            _NOTHING if usage is None else _make_usage(usage),
            None if state is None else _STATES[state],
            None if cost is None else Decimal(cost),
            words,
        )
    )
