"""From usage to money: exact, with its provenance, and never a guess that looks like a price."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from everyspan.cost.contract import Contract, read_contract
from everyspan.cost.rates import EXACT, Quick, Rates, rate_at
from everyspan.cost.table import DAY_NS, Table
from everyspan.errors import PricesError
from everyspan.model.money import Cost, CostLine, CostState, Parts
from everyspan.model.usage import COUNTS, Usage
from everyspan.settings import price_table, prices_file

NO_USAGE = "no usage was reported"
NO_TOKENS = "the reported usage counts nothing"
UNKNOWN_MODEL = "the price table does not know this model"
NO_PRICE = "the price table lists no price for this model"

# What each kind is a part of. A part without a price of its own is paid at the rate of its whole.
_WHOLE = {
    "input_tokens": None,
    "output_tokens": None,
    "web_searches": None,
    "cache_read_tokens": "input_tokens",
    "cache_write_tokens": "input_tokens",
    "cache_write_1h_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_tokens",
    "input_image_tokens": "input_tokens",
    "input_video_tokens": "input_tokens",
    "cache_read_audio_tokens": "cache_read_tokens",
    "cache_read_image_tokens": "cache_read_tokens",
    "reasoning_tokens": "output_tokens",
    "output_audio_tokens": "output_tokens",
    "output_image_tokens": "output_tokens",
    "output_video_tokens": "output_tokens",
}
_KINDS = tuple(_WHOLE)
_reported = attrgetter(*_KINDS)
_COMMON = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_VARIANT = ("service_tier", "batch", "region")
_RARE = tuple(name for name in COUNTS if name not in _COMMON)
_common_counts, _rare, _variant = attrgetter(*_COMMON), attrgetter(*_RARE), attrgetter(*_VARIANT)
_NOTHING_RARE = (None,) * len(_RARE)
_TOTALS = frozenset({"input_tokens", "output_tokens"})
_fma, _multiply = EXACT.fma, EXACT.multiply
_MOST_QUICK = 4096
_MOST = 2**63 - 1  # what a store's integer column holds; no call comes near it
_ZERO = Decimal(0)
_new: Any = tuple.__new__  # a named tuple of ours, without its own constructor, which takes twice as long
# Names of this module: looking a member up in its enum takes longer than an addition.
_COMPUTED, _PARTIAL, _ESTIMATED = CostState.COMPUTED, CostState.PARTIAL, CostState.ESTIMATED


class Purchase(NamedTuple):
    """What is known of a call when its price is asked for."""

    usage: Usage | None
    """None when the provider reported none."""
    model: str
    """As the library or the provider wrote it, with or without a prefix such as `azure/`."""
    at_ns: int
    """When the call was made: prices have dates, some have hours."""
    provider: str = ""
    """As any library names it; empty when unknown."""
    server_address: str = ""
    """Host or URL that answered; it decides whose price list counts, when the table knows it."""
    stated: Decimal | None = None
    """What the provider itself says it charged. A library's own calculation is no such thing."""
    cache_hit: bool = False
    """The answer came out of a local cache and no provider was called: computed, 0, without lines, even
    when a stored answer still carries what the first call was charged."""
    estimated: bool = False
    """The usage was not counted by the provider."""


def price(purchase: Purchase, table: Table | None = None) -> Cost:
    """What a call cost. Never raises; takes microseconds once the model was looked up; any thread may call it.

    Where several states apply, the first of these counts: a cache hit, stated, unpriced, estimated, partial, computed.
    `Cost.unpriced` names what is missing in any of them.

    Args:
        table: another table than the one that ships with us and the user's contract laid over it.
    """
    try:
        table = table or shipped_table()
        quick = _quickly(purchase, table)
        if quick is not None:
            return quick
        usage, model, at_ns, provider, server_address, stated, cache_hit, estimated = purchase
        tier, batch, region = (
            ("", False, "") if usage is None else (usage.service_tier or "", usage.batch, usage.region or "")
        )
        rates = table.find(
            model=model,
            provider=provider,
            server_address=server_address,
            at_ns=at_ns,
            service_tier=tier,
            batch=batch,
            region=region,
        )
        if cache_hit:
            free = _cost(_COMPUTED, rates, total=_ZERO)
            return Cost(_COMPUTED, _ZERO, Parts(_ZERO, _ZERO), table=free.table, model=free.model)
        if isinstance(stated, Decimal) and stated.is_finite() and stated >= 0:
            return _cost(CostState.STATED, rates, total=stated)
        if usage is None:
            return _cost(CostState.UNPRICED, rates, unpriced=(NO_USAGE,))
        if not usage.is_possible():
            return _cost(CostState.UNPRICED, rates, unpriced=usage.problems())
        if rates is None:
            return _cost(CostState.UNPRICED, rates, unpriced=(UNKNOWN_MODEL,))
        return _charge(usage, rates, estimated=estimated)
    except Exception as error:  # noqa: BLE001 - the one guard of this entry: our failure must not reach the user's call
        return Cost(state=CostState.UNPRICED, unpriced=(f"pricing failed with {type(error).__name__}",))


@cache
def shipped_table() -> Table:
    """The table that ships with us, or a newer one, under the user's contract prices; loaded for the first call.

    A file that cannot be read makes every cost partial, with the reason: list prices are not what is paid.
    """
    problems: list[str] = []
    contract, path = Contract(), prices_file()
    if path is not None:
        try:
            contract = read_contract(path)
        except PricesError as unusable:
            problems.append(f"EVERYSPAN_PRICES: {unusable}")
    newer = price_table()
    if newer is not None:
        try:
            return Table.load(newer, replace(contract, problems=tuple(problems)))
        except (OSError, ValueError, KeyError, IndexError, TypeError) as unusable:
            problems.append(f"EVERYSPAN_PRICE_TABLE: {newer} is no price table ({unusable})")
    return Table.load(contract=replace(contract, problems=tuple(problems)))


def _quickly(purchase: Purchase, table: Table) -> Cost | None:
    """What `_charge` says of a call whose tokens are of the common kinds, as most are; None for others.

    The rates of a model, day and variant that were looked up before are there in one step, and the lines are left to
    whoever asks for them.
    """
    usage, model, at_ns, provider, server_address, stated, cache_hit, estimated = purchase
    if usage is None or stated is not None or cache_hit:
        return None
    inputs, outputs, read, written, reasoned = _common_counts(usage)
    rare = _rare(usage)
    if not inputs or not outputs or (rare != _NOTHING_RARE and any(rare)):
        return None
    asked = (model, provider, server_address, at_ns // DAY_NS, _variant(usage))
    quick = table.quick.get(asked) or _quick(table, asked)
    if quick is None:
        return None
    of_input, of_output, of_read, of_written, of_reasoned, most, state, table_name, model_name, missing = (
        quick
    )
    if not 0 < inputs <= most or not 0 < outputs <= _MOST:
        return None
    total, fresh, said = _ZERO, inputs, outputs
    if read or written:
        if (read or 0) + (written or 0) > inputs or (read or 0) < 0 or (written or 0) < 0:
            return None
        if read and of_read is not None:
            fresh -= read
            total = _fma(of_read, read, total)
        if written and of_written is not None:
            fresh -= written
            total = _fma(of_written, written, total)
    if reasoned:
        if not 0 < reasoned <= outputs:
            return None
        if of_reasoned is not None:
            said -= reasoned
            total = _fma(of_reasoned, reasoned, total)
    if fresh:
        total = _fma(of_input, fresh, total)
    if said:
        total = _fma(of_output, said, total)
    how = (_quick_parts, usage, quick)
    cost: Cost = _new(Cost, (_ESTIMATED if estimated else state, total, table_name, model_name, missing, how))
    return cost


def _quick(table: Table, asked: tuple[Any, ...]) -> Quick | None:
    """What the quick way needs to know, remembered by everything that decides the rates of a call but its tokens."""
    model, provider, server_address, day, (tier, batch, region) = asked
    rates = table.find(
        model=model,
        provider=provider,
        server_address=server_address,
        at_ns=day * DAY_NS,
        service_tier=tier or "",
        batch=batch,
        region=region or "",
    )
    by_kind = {} if rates is None else {rate.kind: rate for rate in rates.rates}
    found = None
    if rates is not None and not rates.by_minute and "requests" not in by_kind and by_kind.keys() >= _TOTALS:
        of = {kind: rate.base for kind, rate in by_kind.items()}
        found = Quick(
            input=of["input_tokens"],
            output=of["output_tokens"],
            cache_read=of.get("cache_read_tokens"),
            cache_write=of.get("cache_write_tokens"),
            reasoning=of.get("reasoning_tokens"),
            most=min((start for rate in rates.rates for start, _ in rate.tiers), default=_MOST),
            state=_PARTIAL if rates.missing else _COMPUTED,
            table=rates.table,
            model=rates.model,
            missing=rates.missing,
        )
    if found is not None:  # names that are none are not kept
        if len(table.quick) >= _MOST_QUICK:
            table.quick.clear()
        table.quick[asked] = found
    return found


def _quick_parts(usage: Usage, quick: Quick) -> Parts:
    """The lines of a cost that was charged the quick way, in the order in which `_charge` has them."""
    inputs, outputs, read, written, reasoned = _common_counts(usage)
    of_input, of_output, of_read, of_written, of_reasoned, *_ = quick
    paid_in = paid_out = _ZERO
    lines: list[CostLine] = []
    if read and of_read is not None:
        inputs -= read
        paid_in = _multiply(of_read, read)
        lines.append(_new(CostLine, ("cache_read_tokens", read, of_read, paid_in)))
    if written and of_written is not None:
        inputs -= written
        amount = _multiply(of_written, written)
        paid_in = EXACT.add(paid_in, amount)
        lines.append(_new(CostLine, ("cache_write_tokens", written, of_written, amount)))
    if reasoned and of_reasoned is not None:
        outputs -= reasoned
        paid_out = _multiply(of_reasoned, reasoned)
        lines.append(_new(CostLine, ("reasoning_tokens", reasoned, of_reasoned, paid_out)))
    if inputs:
        amount = _multiply(of_input, inputs)
        paid_in = EXACT.add(paid_in, amount) if lines else amount
        lines.append(_new(CostLine, ("input_tokens", inputs, of_input, amount)))
    if outputs:
        amount = _multiply(of_output, outputs)
        paid_out = EXACT.add(paid_out, amount) if paid_out else amount
        lines.append(_new(CostLine, ("output_tokens", outputs, of_output, amount)))
    parts: Parts = _new(Parts, (paid_in, paid_out, tuple(lines)))
    return parts


def _charge(usage: Usage, rates: Rates, *, estimated: bool) -> Cost:
    counts = {kind: count for kind, count in zip(_KINDS, _reported(usage)) if count}  # noqa: B905 - both are ours
    most = max(counts.values(), default=0)
    if not rates.rates or not most or most > _MOST:
        reason = (
            NO_PRICE
            if not rates.rates
            else f"{most} tokens of one kind are more than anyone counts"
            if most
            else NO_TOKENS
        )
        return _cost(CostState.UNPRICED, rates, unpriced=(reason,))
    assumed = _complete(counts, usage, rates)
    own: dict[str, int] = {}
    lines = []
    sums = {"": _ZERO, "input": _ZERO, "output": _ZERO}
    for kind, side, base, tiers, parts in rates.rates:
        count = counts.get(kind)
        if not count:
            continue
        # Its parts come first in `rates`, so what they took is known.
        for part in parts:
            count -= own.get(part, 0)
        if count < 0:
            return _cost(
                CostState.UNPRICED, rates, unpriced=(f"the parts of {kind} are more than its {counts[kind]}",)
            )
        own[kind] = count
        if count:
            each = rate_at(base, tiers, usage.input_tokens or 0) if tiers else base
            amount = EXACT.multiply(each, count)
            lines.append(_new(CostLine, (kind, count, each, amount)))
            sums[side] = EXACT.add(sums[side], amount)
    unpriced = (*_unpriced(counts, usage, rates), *assumed, *rates.missing)
    if not lines:
        return _cost(CostState.UNPRICED, rates, unpriced=unpriced or (NO_PRICE,))
    state = CostState.PARTIAL if unpriced else CostState.COMPUTED
    return Cost(
        state=CostState.ESTIMATED if estimated else state,
        total=EXACT.add(EXACT.add(sums["input"], sums["output"]), sums[""]),
        parts=Parts(sums["input"], sums["output"], tuple(lines)),
        table=rates.table,
        model=rates.model,
        unpriced=unpriced,
    )


def _complete(counts: dict[str, int], usage: Usage, rates: Rates) -> list[str]:
    """Fill in the counts that the table's kinds need and nobody reported; returns those that are a guess."""
    counts["requests"] = 1 if usage.requests is None else usage.requests
    if "cache_write_1h_tokens" in counts and "cache_write_tokens" not in counts:
        counts["cache_write_tokens"] = counts["cache_write_1h_tokens"]
    assumed = []
    for kind, one, other, whole in rates.overlaps:
        unknown = getattr(usage, kind, None) is None
        if unknown and one in counts and other in counts:
            # Cached audio, say: how much of the one is the other was not said. The least that is possible.
            counts[kind] = max(0, counts[one] + counts[other] - counts.get(whole, 0))
            assumed.append(kind)
    return assumed


def _unpriced(counts: dict[str, int], usage: Usage, rates: Rates) -> list[str]:
    """Totals that have a price and were not reported, and kinds that were used and have no price."""
    unpriced = [kind for kind in rates.totals if getattr(usage, kind) is None]
    for kind in counts:
        if kind in rates.kinds:
            continue
        whole = _WHOLE.get(kind)
        # A whole that is itself used and unpriced stands for its parts.
        while whole and whole not in rates.kinds and whole not in counts:
            whole = _WHOLE[whole]
        if not whole and kind in _WHOLE:
            unpriced.append(kind)
    return sorted(unpriced)


def _cost(
    state: CostState, rates: Rates | None, *, total: Decimal | None = None, unpriced: tuple[str, ...] = ()
) -> Cost:
    """A cost without lines."""
    table, model = (rates.table, rates.model) if rates else (None, None)
    return Cost(state=state, total=total, table=table, model=model, unpriced=unpriced)
