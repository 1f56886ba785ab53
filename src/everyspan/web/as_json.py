"""Values of the query layer as JSON: money as decimal strings, times as whole nanoseconds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

HOLDS_JSON = frozenset({"attributes", "cost_note", "about"})
"""Columns that hold JSON already; a reader wants the object, not a string with an object in it."""

_DEEPEST = 150


def as_json(value: object, *, without: frozenset[str] = frozenset()) -> Any:
    """What `json.dumps` takes; dataclasses become objects with their fields' names, except those in `without`."""
    if value is None or (isinstance(value, (str, bool, int)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        # Only other people's attributes hold one, never money. NaN and infinity have no form in JSON.
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        # Never `1E-7`: readers that keep the string must be able to compare and sort it.
        return format(value, "f")
    if is_dataclass(value):
        return {
            field.name: _field(field.name, getattr(value, field.name), without)
            for field in fields(value)
            if field.name not in without
        }
    if isinstance(value, Mapping):
        return {str(as_json(name)): as_json(item, without=without) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [as_json(item, without=without) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON here")


def parsed(text: str) -> Any:
    """What a text of JSON holds, None when it is empty; the text itself when it is none, or nested so deeply that
    programs which go through it level by level, as we do, end at their limit."""
    if not text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    may_be_deep = text.count("[") + text.count("{") > _DEEPEST
    return text if may_be_deep and is_deep(found, _DEEPEST) else found


def is_deep(value: object, most: int) -> bool:
    """Whether a value out of JSON has more levels than that."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def _field(name: str, value: object, without: frozenset[str]) -> Any:
    if name in HOLDS_JSON and isinstance(value, str):
        return parsed(value)
    return as_json(value, without=without)
