"""Reading numbers and words out of usage objects, whatever made them: JSON, a pydantic model, a plain object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def get(value: object, name: str) -> object:
    """A key of a mapping or an attribute of an object; None when there is none."""
    if type(value) is dict:  # nearly always, and much cheaper to ask than `isinstance` of an abstract class
        return value.get(name)
    if value is None:
        return None
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def whole(value: object) -> int | None:
    """A whole number, also out of `12.0` or `"12"`, which gateways make of 12; None for everything else."""
    if isinstance(value, int):
        return None if isinstance(value, bool) else int(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdigit():
        return int(value)
    return None


def first(*values: object) -> int | None:
    """The first whole number."""
    for value in values:
        count = whole(value)
        if count is not None:
            return count
    return None


def tier_of(raw: object) -> str | None:
    """The billed tier in lower case. Anthropic calls fast inference a speed, and batch, which is none, a tier."""
    if get(raw, "speed") == "fast":
        return "fast"
    tier = get(raw, "service_tier")
    tier = tier.strip().lower() if isinstance(tier, str) else ""
    return tier if tier and tier != "batch" else None


def region_of(raw: object) -> str | None:
    """Where the work had to be done, when that was paid for. Anthropic's `global` is the standard price."""
    region = get(raw, "inference_geo")
    region = region.strip().lower() if isinstance(region, str) else ""
    return region if region not in ("", "global", "not_available") else None


def is_batch(raw: object) -> bool:
    """Whether the usage says that it was billed as a batch: Anthropic's `service_tier` does."""
    tier = get(raw, "service_tier")
    return isinstance(tier, str) and tier.strip().lower() == "batch"


def by_key(details: object, *, key: str, count: str) -> dict[str, int]:
    """Counts out of a list of `{key: ..., count: ...}`, by lower-case key; what repeats is added."""
    found: dict[str, int] = {}
    for each in details if isinstance(details, Sequence) and not isinstance(details, str) else ():
        name, number = get(each, key), whole(get(each, count))
        # Google's SDK has an enum here, whose value is the word.
        name = getattr(name, "value", name)
        if isinstance(name, str) and number is not None:
            found[name.lower()] = found.get(name.lower(), 0) + number
    return found
