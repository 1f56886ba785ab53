"""Conditions of Langfuse's JSON filters: what they ask, and a look at each thing where the store cannot tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from everyspan.store.conditions import Is
from everyspan.web.langfuse.exchange import RequestError, ns_of

Shown = Mapping[str, Any]
"""An observation, a trace or a score, by the names of its columns; times in nanoseconds since 1970."""
Look = Callable[[Shown], bool]

_MOST_CONDITIONS = 30
_MOST_VALUES = 1000
_TEXT_WAYS = {
    "=": Is.ANY_OF,
    "contains": Is.CONTAINING,
    "does not contain": Is.NOT_CONTAINING,
    "starts with": Is.BEGINNING,
    "ends with": Is.ENDING,
    "any of": Is.ANY_OF,
    "none of": Is.NONE_OF,
    "all of": Is.ALL_OF,
    "matches": Is.CONTAINING,
}
_OF_LISTS = (Is.ANY_OF, Is.NONE_OF, Is.ALL_OF)
_NUMBER_WAYS = {"=": Is.EQUAL, "<": Is.LESS, "<=": Is.AT_MOST, ">": Is.MORE, ">=": Is.AT_LEAST}
_WAYS = {
    "string": {name: _TEXT_WAYS[name] for name in _TEXT_WAYS if not name.endswith(" of")},
    "stringOptions": {name: _TEXT_WAYS[name] for name in ("any of", "none of")},
    "categoryOptions": {name: _TEXT_WAYS[name] for name in ("any of", "none of")},
    "arrayOptions": {name: _TEXT_WAYS[name] for name in ("any of", "none of", "all of")},
    "stringObject": {
        **{name: _TEXT_WAYS[name] for name in _TEXT_WAYS if not name.endswith(" of")},
        "is set": Is.PRESENT,
        "is not set": Is.MISSING,
    },
    "number": _NUMBER_WAYS,
    "numberObject": _NUMBER_WAYS,
    "datetime": {name: _NUMBER_WAYS[name] for name in ("<", "<=", ">", ">=")},
    "boolean": {"=": Is.ANY_OF, "<>": Is.NONE_OF},
    "booleanObject": {"=": Is.ANY_OF, "<>": Is.NONE_OF},
    "null": {"is null": Is.MISSING, "is not null": Is.PRESENT},
}
_COMPARED: dict[Is, Callable[[Decimal, Decimal], bool]] = {
    Is.EQUAL: lambda found, number: found == number,
    Is.LESS: lambda found, number: found < number,
    Is.AT_MOST: lambda found, number: found <= number,
    Is.MORE: lambda found, number: found > number,
    Is.AT_LEAST: lambda found, number: found >= number,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What a filter on one kind of thing may name; what is in none of the sets is text."""

    names: tuple[str, ...]
    numbers: frozenset[str] = frozenset()
    times: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    keyed: frozenset[str] = frozenset({"metadata"})
    """Those that hold values by name; a condition says which one it means."""


class Said(NamedTuple):
    """One condition, as far as it is the same for everything that can be filtered."""

    column: str
    kind: str
    how: Is
    each: Mapping[str, Any]
    """As it came, for its value and its key."""

    @property
    def value(self) -> Any:
        """What to compare with, unchecked."""
        return self.each.get("value")


def any_of(column: str, values: Iterable[str]) -> dict[str, Any]:
    """The condition that a column has one of these texts."""
    return {"type": "stringOptions", "column": column, "operator": "any of", "value": list(values)}


def read_conditions(said: str) -> list[Any]:
    """The conditions in the JSON text of a filter, unchecked.

    Raises:
        RequestError: it is no list, or too long.
    """
    try:
        listed = json.loads(said)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or len(listed) > _MOST_CONDITIONS:
        raise RequestError(f"filter takes a JSON array of at most {_MOST_CONDITIONS} conditions")
    return listed


def condition_of(each: Any, columns: Columns) -> Said:
    """What one condition asks.

    Raises:
        RequestError: it names a column, a type or an operator that cannot be asked.
    """
    if not isinstance(each, dict):
        raise RequestError("a condition of a filter is an object with type, column, operator and value")
    column, kind, operator = (str(each.get(name)) for name in ("column", "type", "operator"))
    if column not in columns.names:
        raise RequestError(f"column is {column[:40]!r}; a filter takes {', '.join(columns.names)}")
    if each.get("type") is None:
        kind = _kind_of(column, each.get("value"), columns)
    ways = _WAYS.get(kind)
    if ways is None:
        raise RequestError(f"type is {kind[:40]!r}; a filter takes {', '.join(_WAYS)}")
    if operator not in ways:
        raise RequestError(f"operator is {operator[:40]!r}; {kind} takes {', '.join(ways)}")
    how = ways[operator]
    if column in columns.lists and kind != "null" and how not in _OF_LISTS:
        raise RequestError(f"{column} takes any of, none of, all of")
    if how is Is.ALL_OF and column not in columns.lists:
        raise RequestError("all of is for tags")
    return Said(column, kind, how, each)


def _kind_of(column: str, value: Any, columns: Columns) -> str:
    """Of a condition that does not say its type, as scripts for the metrics often leave it out."""
    if isinstance(value, list):
        return "arrayOptions" if column in columns.lists else "stringOptions"
    if column in columns.times:
        return "datetime"
    return "number" if column in columns.numbers else "string"


def look_of(said: Said, columns: Columns) -> Look:
    """A condition as a look at each thing.

    Raises:
        RequestError: its value is nothing to compare with.
    """
    column, key = said.column, said.each.get("key")
    keyed = column in columns.keyed
    if keyed != isinstance(key, str):
        raise RequestError(f"a filter on {' or '.join(sorted(columns.keyed))}, and no other, takes a key")

    def value_of(shown: Shown) -> Any:
        found = shown.get(column)
        return found if not keyed else found.get(key) if isinstance(found, Mapping) else None

    if said.kind == "null" or said.how in (Is.MISSING, Is.PRESENT):
        return lambda shown: (value_of(shown) in (None, [])) == (said.how is Is.MISSING)
    if (column in columns.times) != (said.kind == "datetime"):
        raise RequestError(f"{column} {'takes a date' if column in columns.times else 'is no time'}")
    if said.kind == "datetime":
        return _number_look(value_of, said.how, Decimal(ns_of(said.value, "value")))
    if said.kind in ("number", "numberObject"):
        return _number_look(value_of, said.how, number_of(said.value))
    if column in columns.numbers:
        raise RequestError(f"{column} takes a filter of type number, not {said.kind}")
    if said.kind in ("boolean", "booleanObject"):
        return _truth_look(value_of, said.how, said.value)
    wanted = list(texts_of(said.value))
    if column in columns.lists:
        return _list_look(value_of, said.how, frozenset(wanted))
    # Langfuse's own: the texts of a call match whatever their case, metadata do not.
    folded = said.each.get("operator") == "matches" and not keyed
    return _text_look(value_of, said.how, wanted, folded=folded)


def number_of(value: Any) -> Decimal:
    """What a number is compared with."""
    try:
        number = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > Decimal(10) ** 18:
        raise RequestError(f"value is {str(value)[:40]!r}; it takes a number")
    return number


def texts_of(value: Any) -> tuple[str, ...]:
    """What a text is compared with: one, or one of several."""
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= _MOST_VALUES or not all(isinstance(each, str) for each in values):
        raise RequestError(f"value takes a text, or a list of 1 to {_MOST_VALUES} texts")
    return tuple(each.encode("utf-8", "replace").decode() for each in values)


def _text_look(value_of: Callable[[Shown], Any], how: Is, wanted: list[str], *, folded: bool) -> Look:
    wanted = [text.casefold() for text in wanted] if folded else wanted
    ways: dict[Is, Callable[[str], bool]] = {
        Is.ANY_OF: lambda text: text in wanted,
        Is.NONE_OF: lambda text: text not in wanted,
        Is.CONTAINING: lambda text: wanted[0] in text,
        Is.NOT_CONTAINING: lambda text: wanted[0] not in text,
        Is.BEGINNING: lambda text: text.startswith(wanted[0]),
        Is.ENDING: lambda text: text.endswith(wanted[0]),
    }
    way = ways[how]

    def look(shown: Shown) -> bool:
        value = value_of(shown)
        if value is None:
            return how in (Is.NONE_OF, Is.NOT_CONTAINING)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return way(text.casefold() if folded else text)

    return look


def _truth_look(value_of: Callable[[Shown], Any], how: Is, yes: Any) -> Look:
    if not isinstance(yes, bool):
        raise RequestError("value takes true or false")

    def look(shown: Shown) -> bool:
        found = value_of(shown)
        return (yes in found if isinstance(found, list) else found is yes) == (how is Is.ANY_OF)

    return look


def _list_look(value_of: Callable[[Shown], Any], how: Is, wanted: frozenset[str]) -> Look:
    if how is Is.ALL_OF:
        return lambda shown: wanted <= frozenset(value_of(shown) or ())
    return lambda shown: wanted.isdisjoint(value_of(shown) or ()) == (how is Is.NONE_OF)


def _number_look(value_of: Callable[[Shown], Any], how: Is, number: Decimal) -> Look:
    compared = _COMPARED[how]

    def look(shown: Shown) -> bool:
        found = value_of(shown)
        try:
            return found is not None and compared(Decimal(str(found)), number)
        except InvalidOperation:
            return False  # no number, so none that fits

    return look
