"""What a call cost, in Langfuse's parts: by bucket of usage, and by side."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from everyspan.cost.buckets import BUCKET_OF
from everyspan.query.sum import sum_of
from everyspan.record import names
from everyspan.store.rows import SpanRow
from everyspan.web.as_json import parsed

TOTAL = "total"
_SIDES_OF_OPENINFERENCE = {"input": "llm.cost.prompt", "output": "llm.cost.completion"}
_MOST_DIGITS = 60


def cost_details(row: SpanRow, attributes: Mapping[str, Any]) -> dict[str, Decimal]:
    """The amounts of a span by bucket, and their total; empty where it is not billed, or nobody knows what it cost.

    What the sender stated stands as it was stated. What was priced by its usage has the factors of that sum.
    """
    if row.cost is None or row.unbilled:
        return {}
    found: dict[str, Decimal] = defaultdict(Decimal)
    for bucket, amount in _stated(row, attributes).items():
        found[bucket] = amount
    if not found:
        for line in sum_of(row):
            found[BUCKET_OF.get(line.kind, line.kind)] += line.amount
    return {**found, TOTAL: row.cost}


def side(details: Mapping[str, Decimal], name: str) -> Decimal | None:
    """What was paid for the `input` or the `output`: the parts that have it in their name, as Langfuse adds them up.

    None where the parts do not tell: there is only a total, or they come to less than it.
    """
    parts = {bucket: amount for bucket, amount in details.items() if bucket != TOTAL}
    found = [amount for bucket, amount in parts.items() if name in bucket.lower()]
    if not found and (not parts or sum(parts.values()) != details.get(TOTAL)):
        return None
    return sum(found, Decimal(0))


def exactly(shown: Mapping[str, float]) -> dict[str, Decimal]:
    """The amounts that were shown as JSON numbers."""
    return {bucket: Decimal(repr(amount)) for bucket, amount in shown.items()}


def _stated(row: SpanRow, attributes: Mapping[str, Any]) -> dict[str, Decimal]:
    note = parsed(row.cost_note)
    by = note.get("stated_by") if isinstance(note, dict) else None
    if by == names.LANGFUSE_COST:
        said = attributes.get(by)
        said = _exactly(said) if isinstance(said, str) else said
    elif by == "llm.cost.total":
        said = {part: attributes.get(name) for part, name in _SIDES_OF_OPENINFERENCE.items()}
    else:
        return {}
    amounts = {str(part): _amount(value) for part, value in said.items()} if isinstance(said, dict) else {}
    return {part: amount for part, amount in amounts.items() if amount is not None and part != TOTAL}


def _exactly(said: str) -> Any:
    try:
        # Straight to Decimal: a float would round what the sender wrote out in digits.
        return json.loads(said, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None  # the bill does not go by it either


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    text = str(value)
    try:
        amount = Decimal(text) if len(text) <= _MOST_DIGITS else Decimal("NaN")
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
