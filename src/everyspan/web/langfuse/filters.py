"""Langfuse's JSON filters: conditions for the store where it has a column, else a look at each observation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from everyspan.store.conditions import NUMBERS, Condition, Is, SpanField
from everyspan.web.langfuse.exchange import RequestError, ns_of
from everyspan.web.langfuse.ids import span_id_of, trace_id_of

Observation = Mapping[str, Any]
Look = Callable[[Observation], bool]

COLUMNS = {
    "id": SpanField.SPAN_ID,
    "traceId": SpanField.TRACE_ID,
    "parentObservationId": SpanField.PARENT_ID,
    "name": SpanField.NAME,
    "type": SpanField.KIND,
    "userId": SpanField.USER,
    "sessionId": SpanField.SESSION,
    "environment": SpanField.ENVIRONMENT,
    "model": SpanField.MODEL,
    "providedModelName": SpanField.MODEL,
    "traceName": SpanField.TRACE_NAME,
    "tags": SpanField.TAGS,
    "traceTags": SpanField.TAGS,
    "startTime": SpanField.START,
    "endTime": SpanField.END,
    "latency": SpanField.DURATION,
    "timeToFirstToken": SpanField.FIRST_TOKEN,
    "inputTokens": SpanField.INPUT_TOKENS,
    "outputTokens": SpanField.OUTPUT_TOKENS,
    "totalTokens": SpanField.TOTAL_TOKENS,
    "tokens": SpanField.TOTAL_TOKENS,
    "totalCost": SpanField.COST,
}
"""What the store can look for by itself."""

_LOOKED_AT = (
    *("level", "statusMessage", "version", "release", "promptName", "promptVersion", "input", "output"),
    *("isRootObservation", "metadata"),
)
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
    "null": {"is null": Is.MISSING, "is not null": Is.PRESENT},
}
_NANO = {SpanField.DURATION: 10**9, SpanField.FIRST_TOKEN: 10**9}


@dataclass(frozen=True, slots=True)
class Filter:
    """What a filter asks: of the store, and of each observation that the store finds."""

    conditions: tuple[Condition, ...] = ()
    looks: tuple[Look, ...] = ()

    def fits(self, shown: Observation) -> bool:
        """Whether an observation is wanted, as far as the store could not tell."""
        return all(look(shown) for look in self.looks)


def read_filter(said: str) -> Filter:
    """What the JSON text of a filter means.

    Raises:
        RequestError: it is no filter, or asks what cannot be asked.
    """
    try:
        listed = json.loads(said)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or len(listed) > _MOST_CONDITIONS:
        raise RequestError(f"filter takes a JSON array of at most {_MOST_CONDITIONS} conditions")
    return filter_of(listed)


def filter_of(listed: Sequence[Any]) -> Filter:
    """See `read_filter`; of what was JSON."""
    conditions, looks = [], []
    for each in listed:
        column, kind, how = _asked(each)
        if column in COLUMNS:
            conditions.append(_condition(COLUMNS[column], kind, how, each))
        else:
            looks.append(_look(column, kind, how, each))
    return Filter(tuple(conditions), tuple(looks))


def _asked(each: Any) -> tuple[str, str, Is]:
    if not isinstance(each, dict):
        raise RequestError("a condition of a filter is an object with type, column, operator and value")
    column, kind, operator = (str(each.get(name)) for name in ("column", "type", "operator"))
    if column not in COLUMNS and column not in _LOOKED_AT:
        raise RequestError(f"column is {column[:40]!r}; a filter takes {', '.join([*COLUMNS, *_LOOKED_AT])}")
    if each.get("type") is None:
        kind = _kind_of(column, each)
    ways = _WAYS.get(kind)
    if ways is None:
        raise RequestError(f"type is {kind[:40]!r}; a filter takes {', '.join(_WAYS)}")
    if operator not in ways:
        raise RequestError(f"operator is {operator[:40]!r}; {kind} takes {', '.join(ways)}")
    return column, kind, ways[operator]


def _kind_of(column: str, each: Mapping[str, Any]) -> str:
    """Of a condition that does not say its type, as scripts for the metrics often leave it out."""
    if isinstance(each.get("value"), list):
        return "arrayOptions" if column in ("tags", "traceTags") else "stringOptions"
    if column in ("startTime", "endTime"):
        return "datetime"
    return "number" if COLUMNS.get(column) in NUMBERS else "string"


def _condition(field: SpanField, kind: str, how: Is, each: Mapping[str, Any]) -> Condition:
    if kind == "null":
        return Condition(field=field, how=how)
    if field in NUMBERS:
        if kind not in ("number", "datetime"):
            raise RequestError(f"{each['column']} takes a filter of type number or datetime, not {kind}")
        return Condition(field=field, how=how, number=_number(field, kind, each.get("value")))
    if kind not in ("string", "stringOptions", "arrayOptions", "categoryOptions"):
        raise RequestError(f"{each['column']} takes a filter of type string or stringOptions, not {kind}")
    texts = _texts(each.get("value"))
    if how is Is.ALL_OF and field is not SpanField.TAGS:
        raise RequestError("all of is for tags")
    if field is SpanField.TAGS and how not in (Is.ANY_OF, Is.NONE_OF, Is.ALL_OF):
        raise RequestError("tags take any of, none of, all of")
    return Condition(field=field, how=how, texts=_as_stored(field, texts))


def _as_stored(field: SpanField, texts: tuple[str, ...]) -> tuple[str, ...]:
    if field is SpanField.KIND:
        return tuple(text.lower() for text in texts)
    if field is SpanField.TRACE_ID:
        return tuple(map(trace_id_of, texts))
    if field in (SpanField.SPAN_ID, SpanField.PARENT_ID):
        return tuple(map(span_id_of, texts))
    if field is SpanField.ENVIRONMENT and "default" in texts:
        return (*texts, "")  # as it is shown where none was said
    return texts


def _number(field: SpanField, kind: str, value: Any) -> int | Decimal:
    if kind == "datetime":
        if field not in (SpanField.START, SpanField.END):
            raise RequestError(f"{field.value} is no time")
        return ns_of(value, "value")
    if field in (SpanField.START, SpanField.END) or isinstance(value, bool):
        raise RequestError("value takes a date for a time, else a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > Decimal(10) ** 18:
        raise RequestError(f"value is {str(value)[:40]!r}; it takes a number")
    return number if field is SpanField.COST else int(number * _NANO.get(field, 1))


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= _MOST_VALUES or not all(isinstance(each, str) for each in values):
        raise RequestError(f"value takes a text, or a list of 1 to {_MOST_VALUES} texts")
    return tuple(each.encode("utf-8", "replace").decode() for each in values)


def _look(column: str, kind: str, how: Is, each: Mapping[str, Any]) -> Look:
    key = each.get("key")
    if (column == "metadata") != isinstance(key, str):
        raise RequestError("a filter on metadata, and no other, takes a key")

    def value_of(shown: Observation) -> Any:
        return (shown.get("metadata") or {}).get(key) if column == "metadata" else shown.get(column)

    if kind == "null" or how in (Is.MISSING, Is.PRESENT):
        return lambda shown: (value_of(shown) is None) == (how is Is.MISSING)
    if kind in ("number", "numberObject"):
        return _number_look(value_of, how, each.get("value"))
    if kind == "datetime":
        raise RequestError(f"{column} is no time")
    if kind == "boolean":
        yes = each.get("value")
        if not isinstance(yes, bool):
            raise RequestError("value takes true or false")
        return lambda shown: (value_of(shown) is yes) == (how is Is.ANY_OF)
    wanted = list(_texts(each.get("value")))
    # Langfuse's own: the texts of a call match whatever their case, metadata do not.
    folded = each.get("operator") == "matches" and column != "metadata"
    return _text_look(value_of, how, wanted, folded=folded)


def _text_look(value_of: Callable[[Observation], Any], how: Is, wanted: list[str], *, folded: bool) -> Look:
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

    def look(shown: Observation) -> bool:
        value = value_of(shown)
        if value is None:
            return how in (Is.NONE_OF, Is.NOT_CONTAINING)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return way(text.casefold() if folded else text)

    return look


def _number_look(value_of: Callable[[Observation], Any], how: Is, value: Any) -> Look:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise RequestError("value takes a number")
    ways: dict[Is, Callable[[float], bool]] = {
        Is.EQUAL: lambda number: number == value,
        Is.LESS: lambda number: number < value,
        Is.AT_MOST: lambda number: number <= value,
        Is.MORE: lambda number: number > value,
        Is.AT_LEAST: lambda number: number >= value,
    }
    way = ways[how]

    def look(shown: Observation) -> bool:
        found = value_of(shown)
        try:
            return found is not None and way(float(found))
        except (TypeError, ValueError):
            return False  # no number, so none that fits

    return look
