"""`everyspan reconcile`: what was recorded beside what the provider billed, for a nightly job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from everyspan.cli.ask import Collector, Parameter
from everyspan.cli.looking import NOT_SO
from everyspan.cli.questions import asking
from everyspan.cli.reconciled import as_csv, by_account, is_of, pairs_of
from everyspan.cli.statements import fetch
from everyspan.cli.terminal import one_line, table
from everyspan.cost.reconcile import EVERY_MODEL, MONEY, TOKENS, Row
from everyspan.cost.statement import Biller, Item, read_statement
from everyspan.errors import CommandError
from everyspan.settings import admin_key

_DAY = click.DateTime(["%Y-%m-%d"])
_USUAL_DAYS = 7


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--provider", type=click.Choice([each.value for each in Biller]), required=True, help="Who billed."
)
@click.option(
    "--fetch",
    "fetched",
    is_flag=True,
    help="Ask the provider, with the key in OPENAI_ADMIN_KEY or ANTHROPIC_ADMIN_KEY.",
)
@click.option(
    "--since", type=_DAY, help="From this UTC day on. Default: the reports' first; with --fetch a week ago."
)
@click.option(
    "--until", type=_DAY, help="Before this UTC day. Default: after the reports' last; with --fetch today."
)
@click.option("--account", default="", help="Only what the bill has under this project, workspace or key id.")
@click.option("--project", help="Only calls recorded in this project.")
@click.option(
    "--map",
    "mapped",
    metavar="PROJECT=ACCOUNT",
    multiple=True,
    help="Join this project's calls with what is billed under this project, workspace or key id; may be repeated.",
)
@click.option("--by-tier", is_flag=True, help="Join by tier too: batch, the service tiers, standard.")
@click.option("--csv", "as_table", is_flag=True, help="Print a table for spreadsheets.")
@click.option(
    "--tolerance",
    default="1",
    show_default=True,
    help="Per cent that the sums may differ by before it ends with 1.",
)
@asking
def reconcile(
    *,
    files: tuple[Path, ...],
    provider: str,
    fetched: bool,
    since: datetime | None,
    until: datetime | None,
    account: str,
    project: str | None,
    mapped: tuple[str, ...],
    by_tier: bool,
    as_table: bool,
    tolerance: str,
    collector: Collector,
    as_json: bool,
) -> int:
    """Compare recorded calls with the provider's own usage and cost reports, by day and model.

    With --map also by project or key, with --by-tier also by tier.

    FILES are saved answers of its usage and cost API (JSON, JSON lines), or CSV with the same columns. Ends with 1 when
    tokens or money differ by more than the tolerance.
    """
    biller, allowed, pairs = Biller(provider), _per_cent(tolerance), pairs_of(mapped)
    if pairs and (account or project):
        raise CommandError("--map says which project is which account; leave --project and --account out")
    first, end = _date(since), _date(until)
    if fetched:
        today = datetime.now(UTC).date()
        first, end = first or today - timedelta(days=_USUAL_DAYS), end or today
        items = _fetch(biller, first, end)
    else:
        items = _read(biller, files)
    items = [
        item
        for item in items
        if is_of(item, account)
        and (first is None or item.day >= first.isoformat())
        and (end is None or item.day < end.isoformat())
    ]
    if not items:
        raise CommandError("the reports hold nothing for these days and this account")
    first = first or date.fromisoformat(min(item.day for item in items))
    end = end or date.fromisoformat(max(item.day for item in items)) + timedelta(days=1)
    period: dict[str, Parameter] = {"provider": provider, "since_ns": _ns(first), "until_ns": _ns(end)}

    def recorded(*, project: str, tier: str = "", by: str = "model") -> Sequence[dict[str, Any]]:
        asked = collector.ask("costs", by=by, each="day", project=project, tier=tier, **period)
        return list(asked.get("groups", ()))

    rows = by_account(recorded, items, pairs or [(project or "", account)], by_tier=by_tier)
    off = _off(rows)
    if as_table:
        click.echo(as_csv(rows), nl=False)
    elif as_json:
        click.echo(json.dumps(_as_json(rows, off, allowed), indent=2))
    else:
        _print(rows, off, allowed)
    return NOT_SO if any(share > allowed for share in off.values()) else 0


def _read(biller: Biller, files: Sequence[Path]) -> list[Item]:
    if not files:
        raise CommandError("give the provider's reports as files, or --fetch with an administrator's key")
    items: list[Item] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as unreadable:
            raise CommandError(f"{file} cannot be read: {unreadable}") from None
        items += read_statement(text, biller, called=str(file))
    return items


def _fetch(biller: Biller, first: date, end: date) -> list[Item]:
    key, base_url = admin_key(biller.value)
    if not key:
        raise CommandError(f"--fetch needs an administrator's key in {biller.value.upper()}_ADMIN_KEY")
    items: list[Item] = []
    for text in fetch(biller, admin_key=key, since=first, until=end, base_url=base_url):
        if any(bucket.get("results") for bucket in json.loads(text).get("data", ())):
            items += read_statement(text, biller, called=f"the answer of {biller.value}")
    return items


def _off(rows: Sequence[Row]) -> dict[str, Decimal]:
    """By how many per cent of the bill the sums differ, for each thing that the bill says."""
    found: dict[str, Decimal] = {}
    for name in ("input_tokens", "output_tokens", "cost"):
        told = [row for row in rows if getattr(row.billed, name) is not None]
        if not told:
            continue
        # Rows that the bill does not have count when it is divided as they are.
        kind = MONEY if name == "cost" else TOKENS
        rows_of = [
            row
            for row in rows
            if kind in row.compared and (getattr(row.billed, name) is not None or _alone(row, told))
        ]
        billed = sum((Decimal(getattr(row.billed, name) or 0) for row in rows_of), Decimal(0))
        recorded = sum((Decimal(getattr(row.recorded, name) or 0) for row in rows_of), Decimal(0))
        difference = abs(billed - recorded)
        found[name] = Decimal(0) if not difference else 100 * difference / billed if billed else Decimal(100)
    return found


def _alone(row: Row, told: Sequence[Row]) -> bool:
    """Whether a row was recorded and not billed, in the way that those that were billed are divided."""
    return row.billed.cost is None and row.billed.input_tokens is None and told[0].model != EVERY_MODEL


def _print(rows: Sequence[Row], off: dict[str, Decimal], allowed: Decimal) -> None:
    head = (
        "DAY",
        "MODEL",
        "ACCOUNT",
        "TIER",
        "CALLS",
        "BILLED",
        "TOKENS",
        "BILLED",
        "RECORDED",
        "BILLED",
        "DIFFERENCE",
        "LIKELY",
    )
    table(head, map(_cells, rows), right=frozenset(head[4:11]))
    for name, share in off.items():
        verdict = "within" if share <= allowed else "MORE THAN"
        click.echo(f"{name}: {share:.3f} per cent apart, {verdict} the {allowed} that are allowed")


def _cells(row: Row) -> tuple[str, ...]:
    def counted(number: int | None) -> str:
        return "-" if number is None else f"{number:,}"

    def tokens(inputs: int | None, outputs: int | None) -> str:
        return "-" if inputs is None and outputs is None else f"{inputs or 0:,} + {outputs or 0:,}"

    def money(amount: Decimal | None) -> str:
        return "-" if amount is None else f"${amount:f}"

    return (
        row.day,
        one_line(row.model or "-", width=40),
        one_line(row.account or "-", width=40),
        one_line(row.tier or "-", width=20),
        counted(row.recorded.calls),
        counted(row.billed.calls),
        tokens(row.recorded.input_tokens, row.recorded.output_tokens),
        tokens(row.billed.input_tokens, row.billed.output_tokens),
        money(row.recorded.cost),
        money(row.billed.cost),
        "-" if row.difference is None else f"{row.difference:+f}",
        one_line(row.reason(), width=120),
    )


def _as_json(rows: Sequence[Row], off: dict[str, Decimal], allowed: Decimal) -> dict[str, object]:
    def side(row: Row, name: str) -> dict[str, object]:
        found = getattr(row, name)
        cost = None if found.cost is None else f"{found.cost:f}"
        return {
            "calls": found.calls,
            "input_tokens": found.input_tokens,
            "output_tokens": found.output_tokens,
            "cost": cost,
        }

    listed = [
        {
            "day": row.day,
            "model": row.model,
            "account": row.account,
            "tier": row.tier,
            "recorded": {**side(row, "recorded"), "states": row.recorded.states},
            "billed": {**side(row, "billed"), "tiers": sorted(row.tiers)},
            "difference": None if row.difference is None else f"{row.difference:f}",
            "likely": row.reason(),
        }
        for row in rows
    ]
    return {
        "rows": listed,
        "per_cent_apart": {name: f"{share:.6f}" for name, share in off.items()},
        "tolerance": str(allowed),
    }


def _per_cent(said: str) -> Decimal:
    try:
        found = Decimal(said.strip().removesuffix("%"))
    except InvalidOperation:
        found = Decimal(-1)
    if not found.is_finite() or found < 0:
        raise CommandError(f"--tolerance is {one_line(said)}; it takes per cent, such as 0.5")
    return found


def _date(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _ns(day: date) -> int:
    return (day - date(1970, 1, 1)) // timedelta(microseconds=1) * 1000
