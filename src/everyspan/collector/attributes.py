"""OTLP attribute values as plain Python values, and how to ask a set of them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import orjson

Value: TypeAlias = "str | bool | int | float | list[Value] | dict[str, Value] | None"
"""What an attribute can hold once it left protobuf; everything here can be written as JSON."""

Attributes = Mapping[str, Value]

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_DEEPEST = 32


def attributes_of(pairs: Iterable[Any]) -> dict[str, Value]:
    """The attributes of a protobuf `repeated KeyValue`; of two with one key the later wins."""
    # Nearly all are texts: asking for one is quicker than asking what it is.
    return {pair.key: (value := pair.value).string_value or value_of(value) for pair in pairs}


def value_of(value: Any) -> Value:
    """The Python value of a protobuf `AnyValue`; bytes become base64, numbers that JSON lacks become words."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text: str = value.string_value
        return text
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return dict(attributes_of(value.kvlist_value.values))
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        number: float = value.double_value
        return number if math.isfinite(number) else str(number)
    plain: bool | int = getattr(value, kind)
    return plain


def first_text(attributes: Attributes, *names: str) -> str:
    """The first of `names` that holds something, as text; empty when none does."""
    for name in names:
        found = attributes.get(name)
        if found is not None and found != "":
            return as_text(found)
    return ""


def as_text(value: Value) -> str:
    """A string as it is, everything else as compact JSON, None as nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else compact_json(value)


def compact_json(value: object) -> str:
    """JSON without spaces, in the characters that people wrote."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # Whole numbers of more than 64 bits and lone surrogates, which only JSON bodies can bring.
        return _COMPACT(value)


def from_json(value: Value) -> Value:
    """What a string of JSON says, or the value itself when it is no such string."""
    if not isinstance(value, str):
        return value
    try:
        parsed: Value = json.loads(value)
    # Deep nesting ends in RecursionError, numbers of thousands of digits in ValueError.
    except (ValueError, RecursionError):
        return value
    return parsed


def object_of(value: Value) -> dict[str, Value]:
    """The JSON object that `value` is or spells; empty when it is something else."""
    parsed = from_json(value)
    return parsed if isinstance(parsed, dict) else {}


def nested(attributes: Attributes, prefix: str) -> Value:
    """Undo flattening: `p.0.message.role = user` becomes `[{"message": {"role": "user"}}]`; None without such keys.

    Levels whose keys are all whole numbers become lists in the order of those numbers.
    """
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix + "."):
            continue
        *path, leaf = name[len(prefix) + 1 :].split(".", _DEEPEST)
        level = tree
        for step in path:
            below = level.setdefault(step, {})
            if not isinstance(below, dict):
                # A value and a subtree under one name: the value keeps a place of its own.
                below = level[step] = {"": below}
            level = below
        level[leaf] = value
    return _with_lists(tree) if tree else None


def _with_lists(tree: Any) -> Value:
    if not isinstance(tree, dict):
        plain: Value = tree
        return plain
    if tree and all(key.isascii() and key.isdigit() and len(key) < 10 for key in tree):
        return [_with_lists(tree[key]) for key in sorted(tree, key=int)]
    return {key: _with_lists(below) for key, below in tree.items()}
