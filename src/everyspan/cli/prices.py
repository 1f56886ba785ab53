"""`everyspan prices`: what a model costs here, and whether the table is right, old, or at odds with another."""

from __future__ import annotations

import json
import os
import tempfile
import urllib.error
import urllib.request
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import click

from everyspan.cli.terminal import one_line, printable, table
from everyspan.cost import compare
from everyspan.cost.contract import read_contract
from everyspan.cost.match import Line
from everyspan.cost.price import shipped_table
from everyspan.cost.rates import Rates
from everyspan.cost.table import PRICES
from everyspan.errors import CommandError, PricesError
from everyspan.settings import price_table, prices_file

NOT_SO = 1
"""Exit code: the question was answered, and the answer is no."""

_LIMIT_BYTES = 64 << 20
_TIMEOUT_S = 30.0


@click.group()
def prices() -> None:
    """Look into the price table: list, show, diff, check, update."""


@prices.command("list")
@click.option("--provider", help="Only this provider's, by any name it goes by.")
@click.option("--search", help="Only models whose name holds this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, with the whole history of each.")
def list_(*, provider: str | None, search: str | None, as_json: bool) -> None:
    """List every model that has a price, with the newest one. Dollars for a million tokens."""
    known = shipped_table()
    wanted = known.provider_id(provider) if provider else None
    if provider and wanted is None:
        raise CommandError(f"the price table has no provider {one_line(provider)}")
    found = [
        line
        for line in known.lines()
        if (wanted is None or line[0] == wanted) and (search or "").lower() in line[1].lower()
    ]
    if as_json:
        return click.echo(json.dumps(found, ensure_ascii=True))
    rows = [
        (one_line(f"{line[0]}/{line[1]}", width=64), known.source_of(line), compare.said(line))
        for line in found
    ]
    table(("MODEL", "LIST", "DOLLARS FOR A MILLION TOKENS"), rows)
    return click.echo(f"{len(rows):,} models; table {known.name}")


@prices.command()
@click.argument("model")
@click.option("--provider", default="", help="Who sends the bill.")
@click.option("--address", default="", help="The host that answers.")
@click.option("--tier", default="", help="flex, priority, fast, ...")
@click.option("--batch", is_flag=True, help="As part of a batch.")
@click.option("--region", default="", help="us, eu or regional, where that costs more.")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="On this UTC day; default: today.")
def show(
    *, model: str, provider: str, address: str, tier: str, batch: bool, region: str, day: datetime | None
) -> int:
    """Show what MODEL costs, where that comes from, and what it cost before."""
    known = shipped_table()
    moment = (day or datetime.now(UTC)).replace(tzinfo=UTC, hour=12)
    rates = known.find(
        model=model,
        provider=provider,
        server_address=address,
        at_ns=int(moment.timestamp()) * 10**9,
        service_tier=tier,
        batch=batch,
        region=region,
    )
    if rates is None:
        click.echo(f"{one_line(model)} has no price here: no list knows it for this provider")
        return NOT_SO
    click.echo(f"{printable(rates.model)} on {moment:%Y-%m-%d}, from {printable(rates.table)}")
    _print_rates(rates)
    for missing in rates.missing:
        click.echo(f"not priced: {printable(missing)}; such a call is partial, at these rates")
    line = known.line(model, provider=provider)
    if line is not None:
        _print_history(line)
    return 0


def _print_rates(rates: Rates) -> None:
    rows = [
        (
            rate.kind,
            _price(rate.kind, rate.base),
            ", ".join(f"{_price(rate.kind, each)} above {start:,}" for start, each in reversed(rate.tiers)),
        )
        for rate in sorted(rates.rates, key=lambda rate: (rate.side, rate.kind))
    ]
    table(("KIND", "DOLLARS", "WITH MORE INPUT"), rows, right=frozenset({"DOLLARS"}))


def _price(kind: str, rate: Decimal) -> str:
    """Tokens by the million, as every price list has them; anything else by the piece."""
    by = 1_000_000 if kind.endswith("_tokens") else 1
    return f"{(rate * by).normalize():f}" + (" a million" if by > 1 else " each")


def _print_history(line: Line) -> None:
    for when, prices_then, *source in line[3] if len(line[3]) > 1 else ():
        click.echo(f"  {_when(when)}: {compare.in_words(prices_then)}" + _source(source))
    for context, when, prices_then, *source in line[4]:
        asked = ", ".join(f"{name}={value}" for name, value in context.items())
        click.echo(f"  {asked} {_when(when)}: {compare.in_words(prices_then)}" + _source(source))


def _when(when: object) -> str:
    if isinstance(when, list):
        first, end = ((f"{minute // 60:02}:{minute % 60:02}") for minute in when)
        return f"from {first} to {end} UTC"
    since, _, until = str(when or "").partition("/")
    return " ".join(filter(None, (since and f"since {since}", until and f"until {until}"))) or "always"


def _source(source: list[str]) -> str:
    return f" ({', '.join(printable(each) for each in source)})" if source else ""


@prices.command()
@click.argument("other", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def diff(*, other: Path) -> int:
    """Show what changed from OTHER, a price table's file, to the table in use. Ends with 1 when anything did."""
    old = list(compare.read_table(other).lines())
    found = list(compare.changes(old, list(shipped_table().lines())))
    for sign, name, what in found:
        click.echo(f"{sign} {printable(name)}: {printable(what)}")
    click.echo(f"{len(found):,} models differ")
    return NOT_SO if found else 0


@prices.command()
def check() -> int:
    """Look over the table in use and your own prices. Ends with 1 when something is wrong."""
    path = price_table() or PRICES
    problems = []
    try:
        known = compare.read_table(path)
        age = compare.age_in_days(known, datetime.now(UTC).date())
        click.echo(f"table {known.name}: {sum(1 for _ in known.lines()):,} models, {age:,} days old")
        if age > compare.LONGEST_IN_DAYS:
            problems.append(
                f"the table is {age:,} days old; update everyspan, or the table alone with `everyspan prices update`"
            )
    except PricesError as unusable:
        problems.append(str(unusable))
    mine = prices_file()
    if mine is not None:
        problems += _look_at_contract(mine)
    for problem in problems:
        click.echo(f"wrong: {printable(problem)}")
    return NOT_SO if problems else 0


def _look_at_contract(path: Path) -> list[str]:
    try:
        contract = read_contract(path)
    except PricesError as unusable:
        return [str(unusable)]
    rows = sum(len(each) for each in contract.rows.values())
    click.echo(f"{contract.name}: {rows:,} models, {len(contract.addresses):,} addresses")
    known = shipped_table()
    unlisted = []
    for provider, listed in contract.rows.items():
        for row in listed:
            factor_only = all(each.prices is None for each in row.agreed)
            # A beginning may mean models of next year; a name that is on no list has nothing to multiply.
            if (
                factor_only
                and not row.model.endswith("*")
                and known.line(row.model, provider=provider) is None
            ):
                unlisted.append(f"{provider}/{row.model} has a factor, but no list price to multiply")
    return unlisted


@prices.command()
@click.argument("source")
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to keep it. Default: what EVERYSPAN_PRICE_TABLE names.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
def update(*, source: str, target: Path | None, dry_run: bool) -> None:
    """Take the price table from SOURCE, a file or an https URL: the prices.jsonl of a newer everyspan.

    It is checked, what changes is printed, and it is put in place in one step. Programs load it when they start.
    """
    target = target or price_table()
    if target is None and not dry_run:
        raise CommandError(
            "name a place for it with --to, and give programs the same in EVERYSPAN_PRICE_TABLE"
        )
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "prices.jsonl"
        fresh.write_bytes(_fetched(source))
        new = compare.read_table(fresh)
        known = shipped_table()
        if date.fromisoformat(new.built) < date.fromisoformat(known.built):
            raise CommandError(f"that table is of {new.built}, and the one in use of {known.built}")
        found = list(compare.changes(list(known.lines()), list(new.lines())))
        for sign, name, what in found:
            click.echo(f"{sign} {printable(name)}: {printable(what)}")
        click.echo(f"{len(found):,} models differ; {known.name} -> {new.name}")
        if target is not None and not dry_run:
            _put(fresh.read_bytes(), target)
            click.echo(f"kept as {target}")


def _fetched(source: str) -> bytes:
    if "://" not in source:
        try:
            return Path(source).read_bytes()
        except OSError as unreadable:
            raise CommandError(f"{one_line(source)} cannot be read: {unreadable.strerror}") from None
    if not source.startswith("https://"):
        raise CommandError(
            "a price table is only fetched over https: whoever can change it, changes your bill"
        )
    try:
        with urllib.request.urlopen(source, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read(_LIMIT_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as failed:
        raise CommandError(f"{one_line(source)} cannot be fetched: {one_line(failed, width=200)}") from None
    if len(body) > _LIMIT_BYTES:
        raise CommandError(
            f"{one_line(source)} is more than {_LIMIT_BYTES >> 20} MiB, which no price table is"
        )
    return body


def _put(body: bytes, target: Path) -> None:
    """Whole or not at all, also for a program that starts at this moment."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".prices-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
