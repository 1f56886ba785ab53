"""What was recorded beside what was billed: joined by day and model, with the likely reason of each difference."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal

from everyspan.cost.names import with_dashed_date
from everyspan.cost.statement import Item

TOKENS, MONEY = "tokens", "money"

EVERY_MODEL = "(all models)"
"""Where a bill is not divided by models, the days are compared as a whole."""

_DATE = re.compile(r"-(?:20\d\d-\d\d-\d\d|latest)$|@(?:\d{8}|default)$")
_EXACT = Context(prec=80)


@dataclass(slots=True)
class Side:
    """One side of a comparison; None where nobody told."""

    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    states: dict[str, int] = field(default_factory=dict)
    """Recorded calls by the state of their cost."""

    def add(self, calls: int | None, tokens: tuple[int | None, int | None], cost: Decimal | None) -> None:
        """Add counts; what is None adds nothing."""
        self.calls = _plus(self.calls, calls)
        self.input_tokens, self.output_tokens = (
            _plus(self.input_tokens, tokens[0]),
            _plus(self.output_tokens, tokens[1]),
        )
        if cost is not None:
            self.cost = cost if self.cost is None else _EXACT.add(self.cost, cost)


@dataclass(slots=True)
class Row:
    """One day and model on both sides."""

    day: str
    model: str
    recorded: Side = field(default_factory=Side)
    billed: Side = field(default_factory=Side)
    tiers: set[str] = field(default_factory=set)
    """The tiers other than the standard one that are on the bill."""
    account: str = ""
    """The project, workspace or key on the bill, when the sides were joined by it."""
    tier: str = ""
    """The tier, when they were joined by it."""
    compared: set[str] = field(default_factory=lambda: {TOKENS, MONEY})
    """What of the two sides is beside each other here."""

    @property
    def difference(self) -> Decimal | None:
        """Billed minus recorded, in US dollars; None when the bill says no money."""
        if self.billed.cost is None:
            return None
        return _EXACT.subtract(self.billed.cost, self.recorded.cost or Decimal(0))

    def reason(self) -> str:
        """The likely reason why the sides differ; empty when they do not."""
        recorded, billed = self.recorded, self.billed
        if recorded.calls and billed.cost is None and billed.input_tokens is None:
            return "nothing was billed: another account, a credit, or a bill that is not complete yet"
        same_tokens = _same_tokens(recorded, billed)
        if (self.difference is None or not self.difference) and same_tokens is not False:
            return ""
        if not recorded.calls:
            return "nothing was recorded: calls outside everyspan, or of another key or project"
        unsure = ", ".join(
            f"{recorded.states[state]:,} calls {state}"
            for state in ("unpriced", "partial", "estimated")
            if recorded.states.get(state)
        )
        if same_tokens:
            priced = (
                f"the same tokens at another price: {', '.join(sorted(self.tiers))}" if self.tiers else ""
            )
            return (
                unsure
                or priced
                or "the same tokens at another price: a discount, a tier or an old price list"
            )
        if same_tokens is None:
            return (
                unsure or "the bill names no tokens for this: a price, a tool or calls that were not recorded"
            )
        if (billed.input_tokens or 0) + (billed.output_tokens or 0) > (recorded.input_tokens or 0) + (
            recorded.output_tokens or 0
        ):
            more = (billed.calls or 0) - recorded.calls
            requests = f" in {more:,} more requests" if more > 0 else ""
            missed = (
                f"more was billed than recorded{requests}: calls outside everyspan, attempts that a client repeated,"
                " or calls of another key"
            )
            return f"{missed}; {unsure}" if unsure else missed
        return "more was recorded than billed: another account or key, a credit, or a bill that is not complete yet"


def reconcile(
    recorded: Iterable[Mapping[str, object]],
    billed: Iterable[Item],
    *,
    sides: Collection[str] = (),
) -> list[Row]:
    """Both sides by day and model, days ascending.

    Where no item of a kind names a model (money that is not grouped by line item, say), that kind is compared for the
    whole day. Models are joined without the date in their name: a bill names the snapshot, a program its alias.

    Args:
        recorded: groups by model as the API divides them by day: `value`, `period`, `calls`, `input_tokens`,
            `output_tokens`, `cost`, `states`.
        sides: what the bill is known to say, also where it has no line here; else its lines tell.
    """
    items = list(billed)
    with_money = [item for item in items if item.cost is not None]
    with_tokens = [item for item in items if item.input_tokens is not None or item.output_tokens is not None]
    money_by_model = any(item.model for item in with_money)
    tokens_by_model = any(item.model for item in with_tokens)
    rows: dict[tuple[str, str], Row] = {}

    def row(day: str, model: str) -> Row:
        return rows.setdefault((day, model), Row(day, model))

    for item in with_tokens:
        at = row(item.day, undated(item.model) if tokens_by_model else EVERY_MODEL)
        at.billed.add(item.requests, (item.input_tokens, item.output_tokens), None)
        at.tiers |= {item.tier} - {""}
    for item in with_money:
        # Beside models, a bill has tools and storage: those have a row of their own.
        name = undated(item.model) or item.what or "(no model)"
        row(item.day, name if money_by_model else EVERY_MODEL).billed.add(None, (None, None), item.cost)
    for group in recorded:
        day, model = str(group["period"]), undated(str(group["value"]))
        divided = [tokens_by_model] if with_tokens else [True] if TOKENS in sides else []
        divided += [money_by_model] if with_money else [True] if MONEY in sides else []
        for name in {model if by_model else EVERY_MODEL for by_model in divided}:
            _add_recorded(row(day, name).recorded, group)
    return [rows[key] for key in sorted(rows)]


def undated(model: str) -> str:
    """A model's name without provider, date or `latest`: `gpt-4o` for `openai/gpt-4o-2024-08-06`."""
    return _DATE.sub("", with_dashed_date(model.strip().lower().rpartition("/")[2]))


def _add_recorded(side: Side, group: Mapping[str, object]) -> None:
    cost = group.get("cost")
    side.add(
        _int(group["calls"]),
        (_int(group["input_tokens"]), _int(group["output_tokens"])),
        None if cost is None else Decimal(str(cost)),
    )
    states = group.get("states")
    for state, calls in states.items() if isinstance(states, Mapping) else ():
        side.states[state] = side.states.get(state, 0) + calls


def _same_tokens(recorded: Side, billed: Side) -> bool | None:
    """None when the bill names none."""
    if billed.input_tokens is None and billed.output_tokens is None:
        return None
    return (recorded.input_tokens or 0, recorded.output_tokens or 0) == (
        billed.input_tokens or 0,
        billed.output_tokens or 0,
    )


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _plus(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
