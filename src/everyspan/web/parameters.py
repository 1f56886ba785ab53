"""What a request may say in its query: declared once, checked from the declaration, documented from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

from everyspan.errors import SettingsError

_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})


class Kind(Enum):
    """How a value is written."""

    TEXT = "string"
    WHOLE = "integer"
    YES_OR_NO = "boolean"
    DOLLARS = "decimal"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query.

    Attributes:
        field: what the query layer calls it, when that is another name.
        choices: the values it takes; empty for any.
    """

    name: str
    about: str
    kind: Kind = Kind.TEXT
    field: str = ""
    choices: tuple[str, ...] = ()
    default: str = ""

    def read(self, value: str) -> Any:
        """The value as what it means.

        Raises:
            SettingsError: it is not written as such a value is.
        """
        if self.choices and value not in self.choices:
            raise SettingsError(f"{self.name} is {value[:40]!r}; it takes one of: {', '.join(self.choices)}")
        if self.kind is Kind.WHOLE:
            return self._whole_number(value)
        if self.kind is Kind.YES_OR_NO:
            return self._yes_or_no(value)
        return self._dollars(value) if self.kind is Kind.DOLLARS else value

    def _whole_number(self, value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise SettingsError(f"{self.name} is {value[:40]!r}; it takes a whole number")
        return int(value)

    def _yes_or_no(self, value: str) -> bool:
        if value.lower() not in _YES | _NO:
            raise SettingsError(f"{self.name} is {value[:40]!r}; it takes yes or no")
        return value.lower() in _YES

    def _dollars(self, value: str) -> Decimal:
        try:
            amount = Decimal(value) if len(value) <= 40 else Decimal("NaN")
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite():
            raise SettingsError(f"{self.name} is {value[:40]!r}; it takes US dollars, such as 0.05")
        return amount


def read_query(said: Mapping[str, str], allowed: Sequence[Parameter]) -> dict[str, Any]:
    """The query as the query layer's fields; what is empty is left out.

    Raises:
        SettingsError: a parameter is unknown (a typo must not widen a query), or its value is malformed.
    """
    known = {parameter.name: parameter for parameter in allowed}
    found: dict[str, Any] = {}
    for name, value in said.items():
        if name not in known:
            raise SettingsError(f"{name[:40]!r} is no parameter here; known: {', '.join(known) or 'none'}")
        if value != "":
            parameter = known[name]
            found[parameter.field or name] = parameter.read(value)
    return found


PROJECT = Parameter("project", "One project; a key opens only its own.")
SINCE = Parameter("since_ns", "Started at this time or later, in nanoseconds since 1970.", Kind.WHOLE)
UNTIL = Parameter("until_ns", "Started before this time, in nanoseconds since 1970.", Kind.WHOLE)
TIMES = (SINCE, UNTIL)
SERVICE = Parameter("service", "The service's name.")
ENVIRONMENT = Parameter("environment", "The environment, such as `production`.")
MODEL = Parameter("model", "The model that answered.")
PROVIDER = Parameter("provider", "The model's provider.")
USER = Parameter("user", "The user's id.")
SESSION = Parameter("session", "The session's id.")
TAG = Parameter("tag", "One of the tags.")
KEY_ID = Parameter("key_id", "The public part of the key that the call came with.")

TRACE_FILTERS = (
    PROJECT,
    *TIMES,
    Parameter("text", "Words that occur in the input or output of one span, all of them in the same one."),
    Parameter("name", "The trace's whole name."),
    *(MODEL, PROVIDER, USER, SESSION, TAG, ENVIRONMENT, SERVICE),
    Parameter("errors", "Only traces with an error.", Kind.YES_OR_NO, "with_errors"),
    Parameter("min_cost", "At least so many US dollars.", Kind.DOLLARS),
    Parameter("max_cost", "At most so many US dollars.", Kind.DOLLARS),
    Parameter("min_duration_ns", "At least so many nanoseconds long.", Kind.WHOLE),
    Parameter("max_duration_ns", "At most so many nanoseconds long.", Kind.WHOLE),
)
PAGING = (
    Parameter("limit", "How many on one page, 1 to 1000.", Kind.WHOLE, default="50"),
    Parameter("before", "The `next_cursor` of the page before."),
)
TIER = Parameter("tier", "`batch`, the service tier that was billed, or `standard`.")
CALL_FILTERS = (PROJECT, *TIMES, MODEL, PROVIDER, USER, SESSION, TAG, ENVIRONMENT, SERVICE, KEY_ID, TIER)
LATENCY_FILTERS = (PROJECT, *TIMES, MODEL, PROVIDER, ENVIRONMENT, SERVICE)
PRICES = Parameter(
    "prices",
    "Costs as they were `recorded`, or as they were `latest` repriced.",
    choices=("recorded", "latest"),
    default="recorded",
)
