"""A cost as span attributes: ours, the one that others read, and Langfuse's."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from everyspan.model.money import Cost
from everyspan.record import names


def cost_attributes(bill: Cost, *, unbilled: bool = False) -> dict[str, AttributeValue]:
    """The exact amounts as decimal strings, and how we know them.

    Args:
        unbilled: another span has the bill of this call: who adds up `gen_ai.usage.cost` must not find it here.
    """
    paid_in, paid_out, paid = bill.parts
    lines: list[str] = []
    told: dict[int, str] = {}  # of most calls each side has one line, whose amount is the side's
    for line in paid:
        told[id(line.amount)] = amount = f"{line.amount:f}"
        # The kinds and numbers are ours: nothing in them needs escaping.
        lines.append(f'["{line.kind}",{line.tokens},"{line.rate:f}","{amount}"]')
    found: dict[str, AttributeValue] = {names.COST_STATE: bill.state._value_}
    if bill.total is not None:
        found[names.COST_TOTAL] = f"{bill.total:f}"
        if not unbilled:
            # A float, because that is what others expect under this name; the exact amount stands beside it.
            found[names.USAGE_COST] = float(bill.total)
    if paid_in is not None:
        found[names.COST_INPUT] = told.get(id(paid_in)) or f"{paid_in:f}"
    if paid_out is not None:
        found[names.COST_OUTPUT] = told.get(id(paid_out)) or f"{paid_out:f}"
    if bill.table:
        found[names.COST_TABLE] = bill.table
    if bill.model:
        found[names.COST_MODEL] = bill.model
    if bill.unpriced:
        found[names.COST_UNPRICED] = tuple(bill.unpriced)
    if lines:
        found[names.COST_LINES] = f"[{','.join(lines)}]"
    return found


def langfuse_cost_details(bill: Cost, *, unbilled: bool = False) -> str:
    """`cost_details` as JSON numbers; empty when there is no amount, and Langfuse is left to its own.

    Its `total` is what a Langfuse server adds up, in place of what it would compute: so it is 0 for a call whose
    bill is on another span.
    """
    if unbilled:
        return '{"total":0}'
    if bill.total is None:
        return ""
    paid_in, paid_out, _ = bill.parts
    details = {"input": paid_in, "output": paid_out, "total": bill.total}
    known = [f'"{kind}":{amount:f}' for kind, amount in details.items() if amount is not None]
    return f"{{{','.join(known)}}}"
