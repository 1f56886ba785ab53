"""One provider of the price table: the rules that recognise it, and its models in the order they are tried."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Json = Any
"""A value out of the table's JSON."""

Clause = str | list[Json] | None
"""A match rule: a bare string for equality, else operator and operands; None matches nothing."""

Line = list[Json]
"""`[provider id, model id, match rule, dated prices, variants]`, and the list it comes from unless it is the first."""


def matches(clause: Clause, text: str) -> bool:
    """Whether a match rule of the table holds for lower-case text."""
    if clause is None or isinstance(clause, str):
        return clause == text
    operator, *operands = clause
    if operator == "|":
        return any(matches(each, text) for each in operands)
    if operator == "&":
        return all(matches(each, text) for each in operands)
    (operand,) = operands
    if operator == "^":
        return text.startswith(operand)
    if operator == "$":
        return text.endswith(operand)
    return operand in text if operator == "*" else re.search(operand, text) is not None


class Provider:
    """A provider as the table's head describes it; its models are parsed when they are first asked for.

    Attributes:
        id: the table's name for it.
        id_match: rule for the names other people give the provider.
        model_match: rule for models that are known to be this provider's when nobody named one.
        fallback: ids of providers whose models it resells at their price.
    """

    def __init__(self, about: Mapping[str, Json], lines: list[str]) -> None:
        self.id: str = about["id"]
        self._api: str = about["api"]
        self.id_match: Clause = about["id_match"]
        self.model_match: Clause = about["model_match"]
        self.fallback: list[str] = about["fallback"]
        first, count = about["models"]
        self._unparsed = lines[first : first + count]
        self._models: list[Line] | None = None

    @classmethod
    def private(cls, name: str) -> Provider:
        """A provider that only the user knows: no list, no address, no other name."""
        about = {
            "id": name,
            "api": "",
            "id_match": name,
            "model_match": None,
            "fallback": [],
            "models": [0, 0],
        }
        return cls(about, [])

    def answers_at(self, url: str) -> bool:
        """Whether a URL is of its API."""
        # Compiled when first needed, and then kept by `re`: most programs never see half of them.
        return bool(self._api) and re.match(self._api, url) is not None

    @property
    def models(self) -> list[Line]:
        """All lines of this provider, in the order they are tried."""
        # No lock, on purpose: two threads may parse the same lines once each, while a lock held by another thread
        # at the moment of a fork would stay held in the child for ever (`functools.cached_property` has one in 3.11).
        if self._models is None:
            self._models = json.loads(f"[{','.join(self._unparsed)}]")
        return self._models

    def find(self, model: str) -> Line | None:
        """The first line whose rule holds for a lower-case model name."""
        return next((line for line in self.models if matches(line[2], model)), None)
