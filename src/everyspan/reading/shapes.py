"""From the API's JSON back to the values it was written from."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar

Made = TypeVar("Made")

_HOLDS_JSON = frozenset({"attributes", "cost_note", "about"})
"""Fields that are texts with JSON inside; the API sends what is inside."""


def made_of(shape: type[Made], said: Mapping[str, Any]) -> Made:
    """A dataclass from a JSON object as `web.as_json` writes it. Unknown fields are left out, so that a newer
    collector can be read."""
    hints = _hints(shape)  # type: ignore[arg-type]  # a class is hashable; mypy thinks of its metaclass
    known = {
        name: _text(said[name]) if name in _HOLDS_JSON else _value(hint, said[name])
        for name, hint in hints
        if name in said
    }
    return shape(**known)


@lru_cache(maxsize=64)
def _hints(shape: type) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(shape)
    return tuple((field.name, hints[field.name]) for field in fields(shape))


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _value(hint: Any, said: Any) -> Any:
    if said is None or hint in (str, int, bool, float, Any):
        return said
    if hint is Decimal:
        return Decimal(said)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _value(next(each for each in arguments if each is not type(None)), said)
    if origin is tuple:
        each = arguments if arguments[-1] is not Ellipsis else (arguments[0],) * len(said)
        return tuple(_value(one, item) for one, item in zip(each, said, strict=False))
    if origin is not None and issubclass(origin, Mapping):
        return {_value(arguments[0], name): _value(arguments[1], item) for name, item in said.items()}
    if isinstance(hint, type) and is_dataclass(hint):
        return made_of(hint, said)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(said)
    return said  # a NewType of a plain value
