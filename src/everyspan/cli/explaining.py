"""`everyspan cost explain`: the sum behind every amount of a trace, redone from what is stored with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import click

from everyspan.cli.ask import Answer, Collector
from everyspan.cli.looking import NOT_SO
from everyspan.cli.questions import asking, at_prices
from everyspan.cli.terminal import at, one_line, printable
from everyspan.errors import CommandError

_EXACT = Context(prec=80)
_WORDS = {
    "stated": "stated by the provider, or by who sent the span: there is nothing to add up",
    "unpriced": "no amount is known; that is not 0",
    "estimated": "the provider did not count all of this; what is missing is estimated",
    "partial": "less than what the call costs: something has no price",
    "computed": "",
}


@click.command()
@click.argument("trace_id")
@click.option("--span", "span_id", help="Only this span, by its id or key.")
@click.option("--project", help="Needed when several projects have a trace of this id.")
@at_prices
@asking
def explain(
    *,
    trace_id: str,
    span_id: str | None,
    project: str | None,
    prices: str,
    collector: Collector,
    as_json: bool,
) -> int:
    """Show how the cost of each call of a trace comes about: tokens, rates, amounts, and where they come from.

    Every sum is done again here. Ends with 1 when one does not give the amount that is stored.
    """
    answer = collector.ask("traces", trace_id, project=project, prices=prices)
    calls = [
        span
        for span in answer["spans"]
        if span.get("cost_state") and (span_id is None or span_id in (span["span_id"], span["key"]))
    ]
    if not calls:
        raise CommandError(
            f"no model call {'with this id ' if span_id else ''}is in trace {one_line(trace_id)}; "
            "`everyspan trace` shows its spans"
        )
    if as_json:
        click.echo(json.dumps([_as_json(call) for call in calls], indent=2, ensure_ascii=True))
    else:
        for call in calls:
            for line in _explained(call):
                click.echo(line)
            click.echo()
    return 0 if all(adds_up(call) for call in calls) else NOT_SO


def lines_of(call: Answer) -> list[tuple[str, int, Decimal, Decimal]]:
    """(kind, tokens, rate, amount) as they were written down with the cost; empty when nobody did."""
    attributes = (call.get("attributes") or {}).get("attributes") or {}
    said = attributes.get("everyspan.cost.lines") or _note(call).get("lines") or []
    try:
        listed = json.loads(said) if isinstance(said, str) else said
        return [(str(kind), int(count), Decimal(rate), Decimal(paid)) for kind, count, rate, paid in listed]
    except (TypeError, ValueError, InvalidOperation):
        return []


def adds_up(call: Answer) -> bool:
    """Whether the lines make the stored amount; true where there are none to add up."""
    lines = lines_of(call)
    if not lines or call.get("cost") is None or call["cost_state"] == "stated":
        return True
    each = all(_EXACT.multiply(rate, Decimal(count)) == paid for _, count, rate, paid in lines)
    return each and _sum(lines) == Decimal(call["cost"])


def _explained(call: Answer) -> Iterator[str]:
    note, lines = _note(call), lines_of(call)
    yield f"{one_line(call['name'])}  span {one_line(call['span_id'])}  {at(int(call['start_ns']))} UTC"
    model, provider = call["model"] or "no model named", call["provider"] or "a provider not named"
    yield f"  called: {one_line(model)} of {one_line(provider)}"
    yield f"  used:   {_used(call['usage'])}"
    if note.get("model") or note.get("table"):
        model, table = note.get("model") or "nothing", note.get("table") or "no table"
        yield f"  priced: as {one_line(model, width=80)}, from {one_line(table, width=120)}"
    if note.get("stated_by"):
        yield f"  stated: in {one_line(note['stated_by'])}"
    for kind, count, rate, paid in lines:
        yield f"    {count:>12,} {kind:<24} x ${rate:f} = ${paid:f}"
    yield f"  {_verdict(call, lines)}"
    for missing in note.get("unpriced", ()):
        yield f"  not priced: {one_line(missing, width=160)}"
    if call.get("unbilled"):
        yield f"  unbilled, so in no sum: {one_line(call['unbilled'], width=160)}"


def _verdict(call: Answer, lines: list[tuple[str, int, Decimal, Decimal]]) -> str:
    state, amount = str(call["cost_state"]), call.get("cost")
    about = f" ({_WORDS[state]})" if _WORDS.get(state) else ""
    total = f"${printable(amount)}" if amount is not None else "no amount"
    if state in ("computed", "partial", "estimated") and not lines and amount not in (None, "0"):
        about += ", of which nobody wrote the lines down"
    if not adds_up(call):
        return f"WRONG: the lines make ${_sum(lines):f}, and {total} is stored"
    return f"= {total}  {one_line(state)}{about}"


def _used(usage: Mapping[str, Any]) -> str:
    said = [
        f"{name} {value:,}"
        if isinstance(value, int) and not isinstance(value, bool)
        else f"{name} {one_line(value)}"
        for name, value in usage.items()
        if value not in (None, False)
    ]
    return ", ".join(said) or "nothing was reported"


def _sum(lines: list[tuple[str, int, Decimal, Decimal]]) -> Decimal:
    total = Decimal(0)
    for _, _, _, paid in lines:
        total = _EXACT.add(total, paid)
    return total


def _note(call: Answer) -> Mapping[str, Any]:
    note = call.get("cost_note")
    return note if isinstance(note, dict) else {}


def _as_json(call: Answer) -> dict[str, Any]:
    kept = (
        "span_id",
        "key",
        "name",
        "model",
        "provider",
        "start_ns",
        "usage",
        "cost",
        "cost_state",
        "unbilled",
    )
    lines = [
        {"kind": kind, "tokens": count, "rate": f"{rate:f}", "amount": f"{paid:f}"}
        for kind, count, rate, paid in lines_of(call)
    ]
    return {
        **{name: call.get(name) for name in kept},
        **_note(call),
        "lines": lines,
        "adds_up": adds_up(call),
    }
