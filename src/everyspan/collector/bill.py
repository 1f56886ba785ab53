"""What a span adds to the bill: what it states, else what its usage costs, and never a roll-up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from operator import attrgetter
from typing import Any

from everyspan.collector.attributes import Attributes, Value, compact_json, first_text
from everyspan.collector.kinds import MODEL_KINDS, is_roll_up
from everyspan.cost.price import Purchase, price
from everyspan.cost.usage import usage_from_attributes
from everyspan.model.money import Cost, CostState
from everyspan.model.usage import COUNTS, Usage
from everyspan.record import names
from everyspan.store import exact
from everyspan.store.limits import MOST_TOKENS

_counts = attrgetter(*COUNTS)
_ROLL_UP = "the sum of the spans below it"
_MOST_DIGITS = 60
_NOTHING = Usage()
_LEAST = Decimal(1).scaleb(-exact.DECIMALS)
_WIDE = Context(prec=_MOST_DIGITS)
_STATES = frozenset(state.value for state in CostState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Usage and money of one span, as its row keeps them."""

    usage: Usage = field(default_factory=Usage)
    state: CostState | None = None
    total: Decimal | None = None
    note: str = ""
    """JSON: where the amount comes from."""
    unbilled: str = ""
    roll_up: bool = False

    def without(self, why: str) -> Bill:
        """The same, kept but not counted; an earlier reason stays."""
        return replace(self, unbilled=self.unbilled or why)


def bill_of(attributes: Attributes, *, kind: str, model: str, provider: str, at_ns: int) -> Bill:
    """What one span adds.

    In this order: our recorder's own cost; what the sender states (`langfuse.observation.cost_details`,
    `gen_ai.usage.cost`, `llm.cost.total`); the price of its usage. Only model calls are priced, and only they may
    state a cost in the conventions in which a parent repeats its children's; a Langfuse cost is the user's own
    word and counts on any kind but an agent.
    """
    if is_roll_up(attributes):
        # The usage is dropped too: it stays among the attributes, and the children bring it again.
        return Bill(unbilled=_ROLL_UP, roll_up=True)
    unbilled = first_text(attributes, names.UNBILLED)
    is_call = kind in MODEL_KINDS
    usage = _possible(usage_from_attributes(attributes)) if is_call else None
    cost = _recorded(attributes)
    stated, stated_by = (None, "") if cost else _stated(attributes, kind=kind)
    if stated is not None:
        cost = Cost(state=CostState.STATED, total=stated)
    elif cost is None and is_call:
        cost = price(
            Purchase(
                usage=usage,
                model=model,
                provider=provider,
                server_address=first_text(attributes, names.SERVER_ADDRESS),
                at_ns=at_ns,
                cache_hit=attributes.get(names.CACHE_HIT) is True,
                estimated=attributes.get(names.USAGE_SOURCE) == "estimated",
            )
        )
    if cost is None:
        return Bill(usage=usage or _NOTHING, unbilled=unbilled)
    return Bill(
        usage=usage or _NOTHING,
        state=cost.state,
        total=cost.total,
        note=_note(cost, stated_by),
        unbilled=unbilled,
    )


def _possible(usage: Usage | None) -> Usage | None:
    """The usage without counts that are none: no store takes them, and the span must not be lost for a -1."""
    if usage is None:
        return None
    counts = [count for count in _counts(usage) if count]
    if not counts or (min(counts) >= 0 and max(counts) <= MOST_TOKENS):
        return usage
    absurd: dict[str, Any] = {
        name: None for name in COUNTS if not 0 <= (getattr(usage, name) or 0) <= MOST_TOKENS
    }
    return replace(usage, **absurd)


def _recorded(attributes: Attributes) -> Cost | None:
    """The cost that everyspan's recorder wrote, if it did."""
    said = attributes.get(names.COST_STATE)
    if not isinstance(said, str) or said not in _STATES:
        return None
    total = _amount(attributes.get(names.COST_TOTAL))
    state = CostState(said)
    if total is None:
        state = CostState.UNPRICED
    elif state is CostState.UNPRICED:
        total = None
    return Cost(
        state=state,
        total=total,
        table=first_text(attributes, names.COST_TABLE) or None,
        model=first_text(attributes, names.COST_MODEL) or None,
        unpriced=_listed(attributes.get(names.COST_UNPRICED)),
    )


def _stated(attributes: Attributes, *, kind: str) -> tuple[Decimal | None, str]:
    """The amount that the sender states, and the attribute it stands in."""
    if kind != "agent":
        total = _of_details(attributes.get(names.LANGFUSE_COST))
        if total is not None:
            return total, names.LANGFUSE_COST
    if kind in MODEL_KINDS:
        for name in ("gen_ai.usage.cost", "llm.cost.total", "operation.cost"):
            total = _amount(attributes.get(name))
            if total is not None:
                return total, name
    return None, ""


def _of_details(said: Value) -> Decimal | None:
    """The total of Langfuse's `cost_details`: its own, else the sum of its parts.

    Langfuse takes a missing total for 0 when there is a third part beside input and output.
    """
    try:
        # Straight to Decimal: a float would round what the sender wrote out in digits.
        details = json.loads(said, parse_float=Decimal) if isinstance(said, str) else said
    except (ValueError, RecursionError):
        return None
    if not isinstance(details, dict):
        return None
    amounts = {part: _amount(value) for part, value in details.items()}
    if amounts.get("total") is not None:
        return amounts["total"]
    known = [amount for amount in amounts.values() if amount is not None]
    return sum(known, Decimal(0)) if known else None


def _amount(value: object) -> Decimal | None:
    """An amount of dollars; None for what is none, negative or absurd. A double is read as it prints."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    text = str(value).strip()
    try:
        amount = Decimal(text) if len(text) <= _MOST_DIGITS else Decimal("NaN")
    except InvalidOperation:
        return None
    if not amount.is_finite() or amount < 0 or amount.adjusted() > 11:
        return None
    # Doubles that are almost zero print with more digits than a store keeps.
    return amount if exact.fits(amount) else amount.quantize(_LEAST, context=_WIDE)


def _listed(value: Value) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return (value,) if isinstance(value, str) and value else ()


def _note(cost: Cost, stated_by: str) -> str:
    if stated_by or cost.unpriced:
        said = {"table": cost.table, "model": cost.model, "unpriced": cost.unpriced, "stated_by": stated_by}
        note = compact_json({name: value for name, value in said.items() if value})
    else:
        note = _common_note(cost.table, cost.model)
    paid = cost.parts.lines
    if not paid:
        return note
    # The sum of what was priced here, as the recorder writes it on its spans. Nothing in it needs escaping.
    lines = ",".join([f'["{kind}",{count},"{rate:f}","{amount:f}"]' for kind, count, rate, amount in paid])
    return f'{note[:-1]},"lines":[{lines}]}}'


@lru_cache(1024)
def _common_note(table: str | None, model: str | None) -> str:
    known = {name: value for name, value in (("table", table), ("model", model)) if value}
    return compact_json(known) if known else ""
