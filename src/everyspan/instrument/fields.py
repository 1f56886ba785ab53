"""Reading foreign objects: dicts, pydantic models of SDKs, and whatever else tells what a model answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any


def held(thing: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """What a mapping or a pydantic model holds, as one dict to read from; of any other object just `names`."""
    if type(thing) is dict:
        return thing
    if is_model(thing):
        extra = thing.__pydantic_extra__
        return {**thing.__dict__, **extra} if extra else thing.__dict__
    return {name: get(thing, name) for name in names}


def get(thing: Any, name: str) -> Any:
    """A key of a mapping or an attribute of an object; None when there is none.

    litellm's and OpenAI's answers are pydantic models, where asking for an attribute that is not there is slow.
    """
    if thing is None:
        return None
    if type(thing) is dict:
        return thing.get(name)
    fields = getattr(thing, "__dict__", None)
    if fields is not None:
        if name in fields:
            return fields[name]
        if is_model(thing):
            return (thing.__pydantic_extra__ or {}).get(name)
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def is_model(thing: Any) -> bool:
    """True for an object of a pydantic model (version 2)."""
    cls = type(thing)
    known = _models.get(cls)
    if known is None:
        if len(_models) >= _MOST_CLASSES:
            _models.clear()
        known = any("__pydantic_fields_set__" in getattr(each, "__slots__", ()) for each in cls.__mro__)
        _models[cls] = known
    return known


_MOST_CLASSES = 1_000
_models: dict[type, bool] = {}
"""Whether objects of a class are pydantic models (version 2)."""


_PLAIN = frozenset({NoneType, bool, int, float, str})
_dumps: dict[type, bool] = {}
"""Whether `model_dump` of a model gives its fields as they are."""


def plain(thing: Any) -> Any:
    """What `model_dump` makes of a pydantic model, and all else as it is.

    Read from the model itself where it holds numbers and texts, as a usage does: that takes a fifth of the time.
    """
    if not is_model(thing):
        dump = getattr(thing, "model_dump", None)
        return dump() if callable(dump) else thing
    known = _dumps.get(type(thing))
    if known is None:
        known = _dumps_fields(type(thing))
    if not known:
        return thing.model_dump()
    extra = thing.__pydantic_extra__
    found = {**thing.__dict__, **extra} if extra else dict(thing.__dict__)
    for name, value in found.items():
        if type(value) in _PLAIN:
            continue
        if not is_model(value):
            return thing.model_dump()
        found[name] = plain(value)
    return found


def _dumps_fields(cls: Any) -> bool:
    if len(_dumps) >= _MOST_CLASSES:
        _dumps.clear()
    rules = cls.__pydantic_decorators__
    _dumps[cls] = known = (
        cls.model_dump.__module__ == "pydantic.main"
        and not (rules.field_serializers or rules.model_serializers or rules.computed_fields)
        and not any(field.exclude for field in cls.__pydantic_fields__.values())
    )
    return known
