"""Commands that ask a collector: traces, trace, cost, audit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from everyspan.cli.ask import Answer, Collector, Parameter
from everyspan.cli.foreign import audit_langfuse
from everyspan.cli.questions import asking, at_prices, narrowing_calls, narrowing_traces, print_json
from everyspan.cli.terminal import UNKNOWN, at, lasting, money, one_line, table
from everyspan.cli.tree import draw
from everyspan.errors import CommandError
from everyspan.store.reads import CostBy

NOT_SO = 1
"""Exit code: the question was answered, and the answer is no."""

_BAR_WIDTH = 24
_AUDIT = (
    *("WRITER", "VERDICT", "STATE", "LAST SEEN", "UP TO", "OF", "SPANS", "INTERRUPTED", "OPEN"),
    *("PENDING", "MISSING", "DROPPED"),
)


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--before", metavar="CURSOR", help="The page after the one that ended with this `next_cursor`.")
@at_prices
@narrowing_traces
@asking
def traces(
    *,
    limit: int,
    before: str | None,
    wanted: dict[str, Parameter],
    collector: Collector,
    as_json: bool,
) -> None:
    """List traces, newest first."""
    answer = collector.ask("traces", limit=limit, before=before, **wanted)
    if as_json:
        return print_json(answer)
    rows = [_trace_row(trace) for trace in answer.get("traces", ())]
    if not rows:
        return click.echo(_nothing(narrowed=any(value for name, value in wanted.items() if name != "prices")))
    head = ("TRACE", "STARTED (UTC)", "NAME", "SPANS", "CALLS", "ERRORS", "TOOK", "COST")
    table(head, rows, right=frozenset({"SPANS", "CALLS", "ERRORS", "TOOK"}))
    return None


def _nothing(*, narrowed: bool) -> str:
    if narrowed:
        return "no trace fits"
    return "no traces yet; `everyspan run script.py` or everyspan.init() makes some"


def _trace_row(trace: Answer) -> tuple[str, ...]:
    started_ns, ended_ns = int(trace["started_ns"]), int(trace["ended_ns"])
    return (
        one_line(trace["trace_id"]),
        at(started_ns),
        one_line(trace["name"], width=40),
        f"{trace['spans']:,}",
        f"{trace['calls']:,}",
        f"{trace['errors']:,}",
        lasting(ended_ns - started_ns),
        _cost(trace),
    )


def _cost(counted: Answer) -> str:
    return money(counted.get("cost"), states=counted.get("states"))


@click.command()
@click.argument("trace_id")
@click.option("--project", help="Needed when several projects have a trace of this id.")
@click.option("--text", is_flag=True, help="Show the first lines of what went in and came out.")
@at_prices
@asking
def trace(
    *, trace_id: str, project: str | None, text: bool, prices: str, collector: Collector, as_json: bool
) -> None:
    """Show one trace as a tree, with tokens, cost and how each call ended."""
    answer = collector.ask("traces", trace_id, project=project, prices=prices)
    if as_json:
        return print_json(answer)
    for line in draw(answer, text=text):
        click.echo(line)
    return None


class _Cost(click.Group):
    """Answers by itself, and has subcommands whose modules are only imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["explain"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "explain":
            return None
        from everyspan.cli.explaining import explain

        return explain


@click.group(cls=_Cost, invoke_without_command=True)
@click.pass_context
@click.option(
    "--by",
    type=click.Choice([each.value for each in CostBy]),
    default="model",
    show_default=True,
    help="What to group by.",
)
@at_prices
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for spreadsheets.")
@narrowing_calls
@asking
def cost(
    context: click.Context,
    *,
    by: str,
    as_csv: bool,
    wanted: dict[str, Parameter],
    collector: Collector,
    as_json: bool,
) -> None:
    """Add up what calls cost, by model, day, user, ...; `explain` redoes the sums of one trace.

    Exact: each call counts once, and what has no price is said. On a terminal a bar shows each group's share.
    """
    if context.invoked_subcommand:
        return None
    if as_csv:
        return click.echo(collector.text("costs.csv", by=by, **wanted), nl=False)
    answer = collector.ask("costs", by=by, **wanted)
    if as_json:
        return print_json(answer)
    groups = answer.get("groups", ())
    narrowed = any(value for name, value in wanted.items() if name != "prices")
    if not groups:
        return click.echo("no calls fit" if narrowed else "no calls yet")
    head: tuple[str, ...] = (by.upper(), "CALLS", "IN", "OUT", "COST")
    rows = [_cost_row(group) for group in (*groups, {**answer["total"], "value": "TOTAL"})]
    if sys.stdout.isatty():
        head, rows = (*head, ""), [(*row, bar) for row, bar in zip(rows, [*_bars(groups), ""], strict=True)]
    table(head, rows, right=frozenset({"CALLS", "IN", "OUT"}))
    return None


def _bars(groups: list[Answer]) -> list[str]:
    """A bar for each group, as long as its share of the dearest."""
    amounts = [float(group["cost"] or 0) for group in groups]  # for drawing only
    dearest = max(amounts, default=0)
    return ["█" * round(_BAR_WIDTH * amount / dearest) if dearest else "" for amount in amounts]


def _cost_row(group: Answer) -> tuple[str, ...]:
    return (
        one_line(group.get("value") or UNKNOWN, width=48),
        f"{group['calls']:,}",
        f"{group['input_tokens']:,}",
        f"{group['output_tokens']:,}",
        _cost(group),
    )


@click.command()
@click.option("--service", help="Only writers of this service.")
@click.option("--writer", help="Only this writer.")
@click.option(
    "--langfuse",
    is_flag=True,
    help="Of the Langfuse project that the LANGFUSE_* variables name, by the stamps on its observations.",
)
@asking
def audit(
    *, service: str | None, writer: str | None, langfuse: bool, collector: Collector, as_json: bool
) -> int:
    """Is every span here? Answered by writer and number. Ends with 0 only when the verdict is `complete`."""
    if langfuse:
        if service or writer:
            raise CommandError(
                "--langfuse looks at all writers of a project; leave out --service and --writer"
            )
        return audit_langfuse(as_json=as_json)
    answer = collector.ask("completeness", service=service, writer=writer)
    if as_json:
        print_json(answer)
    else:
        _print_audit(answer)
    return 0 if answer.get("verdict") == "complete" else NOT_SO


def _print_audit(answer: Answer) -> None:
    rows = [_writer_row(each) for each in answer.get("writers", ())]
    if rows:
        table(_AUDIT, rows, right=frozenset(_AUDIT[4:]))
    click.echo(one_line(answer.get("sentence") or answer["verdict"], width=500))


def _writer_row(each: Answer) -> tuple[str, ...]:
    state = each.get("state") or {}
    return (
        one_line(state.get("writer", UNKNOWN)),
        one_line(each["verdict"]),
        "closed" if state.get("closed") else "open",
        at(state["seen_ns"]) if state.get("seen_ns") else UNKNOWN,
        f"{_explained_to(each):,}",
        f"{_highest(each):,}",
        f"{state.get('spans', 0):,}",
        f"{state.get('interrupted', 0):,}",
        f"{each.get('open_calls', 0):,}",
        _ranges(each.get("pending")),
        _ranges(each.get("missing")),
        _dropped(each.get("dropped", ())),
    )


def _highest(each: Answer) -> int:
    """The highest number that the writer has given out, as far as anybody told."""
    state = each.get("state") or {}
    ends = [last for _, last in (*state.get("received", ()), *each.get("pending", ()))]
    dropped = [drop["last"] for drop in each.get("dropped", ())]
    highest: int = max(state.get("spooled_to") or 0, *ends, *dropped, 0)
    return highest


def _explained_to(each: Answer) -> int:
    """Up to which number each one arrived, or was told as dropped."""
    gaps = [first for first, _ in (*each.get("missing", ()), *each.get("pending", ()))]
    return int(min(gaps)) - 1 if gaps else _highest(each)


def _dropped(drops: Sequence[Answer]) -> str:
    """Numbers by the reason that the writer gave: `5-6 disk`."""
    reasons = dict.fromkeys(drop["reason"] for drop in drops)
    told = [(why, [(d["first"], d["last"]) for d in drops if d["reason"] == why]) for why in reasons]
    return "; ".join(f"{_ranges(ranges)} {one_line(why, width=48)}" for why, ranges in told) or "0"


def _ranges(ranges: list[Any] | None) -> str:
    """Numbers as `3` and `5-9`, the first few of them."""
    words = [f"{first}" if first == last else f"{first}-{last}" for first, last in ranges or ()]
    return ",".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "") or "0"
