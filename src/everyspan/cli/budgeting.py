"""`everyspan budget check`: whether what was recorded has reached a limit, for cron, CI and deploy hooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click

from everyspan.cli.ask import Collector
from everyspan.cli.looking import NOT_SO
from everyspan.cli.questions import asking
from everyspan.cli.terminal import one_line, table
from everyspan.cost.budget import Budget, Verdict, read_budgets
from everyspan.errors import CommandError
from everyspan.settings import budgets_file

_UNSURE = ("unpriced", "partial")


@click.group()
def budget() -> None:
    """Compare what calls cost with limits of your own."""


@budget.command()
@click.option(
    "--budgets",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The limits. Default: the file that EVERYSPAN_BUDGETS names, else those of the collector.",
)
@asking
def check(*, path: Path | None, collector: Collector, as_json: bool) -> int:
    """Say how each budget stands. Ends with 1 when one is reached.

    What has no price is in no sum: such calls are counted beside it.
    """
    path = path or budgets_file()
    now = datetime.now(UTC)
    found = (
        _of_the_collector(collector)
        if path is None
        else [_stand(each, collector, now) for each in read_budgets(path)]
    )
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=True))
    else:
        head = ("BUDGET", "PER", "OF", "SPENT", "LIMIT", "STANDS", "WITHOUT A WHOLE PRICE")
        table(head, map(_cells, found), right=frozenset({"SPENT", "LIMIT", "WITHOUT A WHOLE PRICE"}))
    return NOT_SO if any(each["verdict"] == Verdict.REACHED for each in found) else 0


def _of_the_collector(collector: Collector) -> list[dict[str, object]]:
    answer = collector.ask("budgets")
    if answer["problem"]:
        raise CommandError(f"the collector's budgets: {answer['problem']}")
    if not answer["budgets"]:
        raise CommandError(
            "the collector has no budgets, and none are named here; give a file with --budgets or EVERYSPAN_BUDGETS "
            "(docs/cost.md has its format), or start the collector with EVERYSPAN_BUDGETS"
        )
    return list(answer["budgets"])


def _stand(limit: Budget, collector: Collector, now: datetime) -> dict[str, object]:
    answer = collector.ask("costs", by="state", since_ns=limit.since_ns(now), **limit.filters)
    spent = Decimal(answer["total"]["cost"] or 0)
    states = answer["total"].get("states") or {}
    return {
        "name": limit.name,
        "per": limit.per.value,
        "filters": limit.filters,
        "spent": f"{spent:f}",
        "limit": f"{limit.usd:f}",
        "verdict": limit.verdict(spent).value,
        "without_whole_price": sum(int(states.get(state, 0)) for state in _UNSURE),
    }


def _cells(found: dict[str, object]) -> tuple[str, ...]:
    filters = found["filters"]
    of = " ".join(f"{name}={value}" for name, value in filters.items()) if isinstance(filters, dict) else ""
    return (
        one_line(found["name"], width=40),
        one_line(found["per"]),
        one_line(of or "all calls"),
        f"${found['spent']}",
        f"${found['limit']}",
        one_line(found["verdict"]),
        f"{found['without_whole_price']:,} calls" if found["without_whole_price"] else "0",
    )
