"""Many attributes on one span of ours, in one step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from everyspan.record.text import as_json

_CLEAN = frozenset({str, int, float, bool})


def attribute_of(value: Any) -> AttributeValue:
    """A user's argument as an attribute: what is plain stays as it is, the rest is JSON."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return as_json(value)


def are_plain(found: Mapping[str, AttributeValue]) -> bool:
    """True when the SDK would keep all these values as they are."""
    for value in found.values():
        if type(value) not in _CLEAN and (
            type(value) is not tuple or not _CLEAN.issuperset(map(type, value))
        ):
            return False
    return True


def set_attributes(span: Span, found: Mapping[str, AttributeValue]) -> None:
    """The same as `span.set_attributes(found)`, for names that are our own.

    The SDK looks at each name and value in two Python calls, which takes longer for the twenty attributes of an answer
    than writing the span to disk. Values that are plain need no such look while no limit is near. The names that this
    relies on are private to opentelemetry-sdk 1.33 to 1.45; without them it does what everybody does.
    """
    held = getattr(span, "_attributes", None)
    known, lock = getattr(held, "_dict", None), getattr(span, "_lock", None)
    if type(held) is not BoundedAttributes or type(known) is not dict or lock is None:
        span.set_attributes(found)
        return
    if held.max_value_len is not None or (held.maxlen is not None and len(known) + len(found) > held.maxlen):
        span.set_attributes(found)  # it cuts and counts what is too much
        return
    if not are_plain(found):
        span.set_attributes(found)
        return
    with lock:
        if getattr(span, "_end_time", 0) is None:
            with held._lock:
                known.update(found)
