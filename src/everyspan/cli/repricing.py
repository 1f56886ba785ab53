"""`everyspan reprice`: what recorded calls would cost by today's table, and keeping that beside what was recorded."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from everyspan.cli.terminal import one_line, table
from everyspan.clock import monotonic_s
from everyspan.cost.price import shipped_table
from everyspan.errors import CommandError
from everyspan.query.repricing import Difference, Outcome
from everyspan.query.repricing import reprice as run
from everyspan.settings import data_dir, store_address
from everyspan.store.reads import CostFilter
from everyspan.store.repricing import repricer
from everyspan.store.store import open_store

_DAY = click.DateTime(["%Y-%m-%d"])
_SAY_EVERY_S = 1.0


@click.command()
@click.option("--since", type=_DAY, help="Only calls from this UTC day on.")
@click.option("--until", type=_DAY, help="Only calls before this UTC day.")
@click.option("--model", default="", help="Only calls that this model answered.")
@click.option("--provider", default="", help="Only calls to this provider.")
@click.option("--project", default="", help="Only calls of this project.")
@click.option("--dry-run", is_flag=True, help="Show the difference and write nothing.")
@click.option(
    "--data-dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the store is. Default: as for `everyspan serve`, which may be running.",
)
@click.option(
    "--store",
    "address",
    help="Another store, as clickhouse://host/database. Default: EVERYSPAN_STORE, else in the data directory.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def reprice(
    *,
    since: datetime | None,
    until: datetime | None,
    directory: Path | None,
    address: str | None,
    dry_run: bool,
    as_json: bool,
    **narrowed: str,
) -> None:
    """Price recorded calls again; what differs stands beside the recorded costs.

    The price table in use decides, at the rates of the day each call was made. Shows the difference by day and model,
    and keeps the new costs as a version of their own. The recorded costs never change: `everyspan cost --prices latest`
    shows the new ones, without it the recorded ones are shown.
    """
    where = _where(directory, address)
    known = shipped_table()
    if known.contract.problems:
        raise CommandError(f"{known.contract.problems[0]}; nothing was repriced")
    wanted = CostFilter(since_ns=_ns(since), until_ns=_ns(until), **narrowed)  # type: ignore[arg-type]
    with closing(open_store(where, read_only=dry_run)) as store:
        calls = repricer(store)
        outcome = run(calls, known, wanted, write=not dry_run, progress=_Progress(calls.count(wanted)).show)
    if as_json:
        return click.echo(json.dumps(_as_json(outcome), indent=2))
    _print(outcome)
    return None


def _where(directory: Path | None, address: str | None) -> str | Path:
    elsewhere = address or ("" if directory else store_address())
    if elsewhere:
        return elsewhere
    path = (directory or data_dir()) / "spans.db"
    if not path.is_file():
        raise CommandError(
            f"there is no store at {one_line(path, width=200)}; name its directory with --data-dir, or it with --store"
        )
    return path


def _print(outcome: Outcome) -> None:
    if outcome.differences:
        head = ("DAY", "MODEL", "CALLS", "NEWLY PRICED", "RECORDED", "NOW", "DIFFERENCE")
        table(head, map(_row, outcome.differences), right=frozenset(head[2:]))
    click.echo(
        f"{outcome.looked_at:,} calls: {outcome.changed:,} cost something else, {outcome.unchanged:,} the same, "
        f"{outcome.without_price:,} keep their cost because the table has no price for them"
    )
    if outcome.version is not None:
        click.echo(
            f"written as version {outcome.version}; `everyspan cost --prices latest` shows it, the recorded costs stay"
        )


def _row(each: Difference) -> tuple[str, ...]:
    return (
        each.day,
        one_line(each.model or "-", width=48),
        f"{each.calls:,}",
        f"{each.newly_priced:,}",
        f"${each.before:f}",
        f"${each.after:f}",
        f"{each.difference:+f}",
    )


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "looked_at": outcome.looked_at,
        "changed": outcome.changed,
        "unchanged": outcome.unchanged,
        "without_price": outcome.without_price,
        "version": outcome.version,
        "differences": [
            {
                "day": each.day,
                "model": each.model,
                "calls": each.calls,
                "newly_priced": each.newly_priced,
                "recorded": f"{each.before:f}",
                "now": f"{each.after:f}",
                "difference": f"{each.difference:f}",
            }
            for each in outcome.differences
        ],
    }


def _ns(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp()) * 10**9


class _Progress:
    """A line on stderr once a second, rewritten on a terminal and left out elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_shown = sys.stderr.isatty()
        self._next_s = monotonic_s() + _SAY_EVERY_S

    def show(self, done: int) -> None:
        if self._is_shown and (monotonic_s() >= self._next_s or done >= self._total):
            self._next_s = monotonic_s() + _SAY_EVERY_S
            click.echo(f"\r{done:,} of {self._total:,} calls", nl=done >= self._total, err=True)
