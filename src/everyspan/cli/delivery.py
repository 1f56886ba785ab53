"""Commands about the spool on this machine: spool, drain."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from everyspan.cli.terminal import UNKNOWN, one_line, table
from everyspan.model.destination import Destination
from everyspan.model.receipt import Receipt
from everyspan.settings import from_environment, spool_dir
from everyspan.spool import Waiting, waiting

Command = Callable[..., Any]

PENDING = 1
"""Exit code: done, and spans are still waiting."""

_directory = click.option(
    "--spool-dir",
    "directory",
    type=click.Path(path_type=Path),
    help="The spool. Default: EVERYSPAN_SPOOL_DIR, else the user's state directory.",
)


@click.command()
@_directory
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one object for each writer.")
def spool(*, directory: Path | None, as_json: bool) -> None:
    """Show what waits on this machine, and for where. Takes no locks and changes nothing."""
    root = directory or spool_dir()
    found = waiting(root)
    if as_json:
        return click.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    if not found:
        return click.echo(f"nothing waits in {root}")
    head = ("DESTINATION", "WRITER", "ALIVE", "SPANS", "BYTES", "REFUSED", "DAMAGED")
    table(head, map(_row, found), right=frozenset(head[3:]))
    spans, written = sum(each.spans for each in found), sum(each.size_bytes for each in found)
    return click.echo(f"{spans:,} spans wait in {root} ({written:,} bytes)")


def _row(each: Waiting) -> tuple[str, ...]:
    return (
        one_line(each.url or each.destination),
        one_line(each.writer),
        "yes" if each.alive else "no",
        f"{each.spans:,}",
        f"{each.size_bytes:,}",
        f"{each.refused:,}",
        f"{each.damaged:,}",
    )


def _destined(command: Command) -> Command:
    """Give `command` the options that say where to deliver; it gets `destinations`."""

    @click.option("--endpoint", help="Deliver to this one only. Default: the destinations of the settings.")
    @click.option("--api-key", help="The key for --endpoint. Default: EVERYSPAN_API_KEY.")
    @functools.wraps(command)
    def destined(*, endpoint: str | None, api_key: str | None, **options: Any) -> Any:
        found = from_environment(endpoint=endpoint, api_key=api_key).destinations
        # An endpoint that was typed is the only one meant, also where the environment configures Langfuse.
        return command(destinations=found[:1] if endpoint else found, **options)

    return destined


@click.command()
@_destined
@click.option(
    "--everything", is_flag=True, help="Deliver what was made for other destinations too, to this one."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds to go on trying.",
)
@_directory
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
def drain(
    *,
    destinations: tuple[Destination, ...],
    everything: bool,
    timeout_s: float,
    directory: Path | None,
    as_json: bool,
) -> int:
    """Deliver what dead processes left in the spool, and say what became of it.

    Processes that live deliver their own. Ends with 0 only when nothing that can be delivered is left.
    """
    from everyspan.sender.drain import drain as deliver

    _say_what_is_logged()
    root = directory or spool_dir()
    receipt = deliver(
        root,
        destinations,
        timeout_s=timeout_s,
        everything=everything,
        on_progress=_show_progress if sys.stderr.isatty() else None,
    )
    sent_to = {destination.id for destination in destinations}
    elsewhere = [
        each for each in waiting(root) if not (each.alive or everything or each.destination in sent_to)
    ]
    left = sum(each.spans for each in elsewhere)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(receipt), "pending_elsewhere": left}, indent=2))
    else:
        _print_receipt(receipt)
        _print_elsewhere(elsewhere)
    return PENDING if receipt.pending or left else 0


def _say_what_is_logged() -> None:
    """Let the sender's words, which may hold a server's, reach stderr cleaned; each problem is said once."""

    class Say(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            click.echo(one_line(record.getMessage(), width=400), err=True)

    logger = logging.getLogger("everyspan")
    logger.addHandler(Say())
    logger.propagate = False


def _show_progress(receipt: Receipt) -> None:
    click.echo(f"\r{receipt.delivered:,} of {receipt.recorded:,} spans delivered", nl=False, err=True)
    if not receipt.pending:
        click.echo(err=True)


def _print_receipt(receipt: Receipt) -> None:
    if not receipt.recorded:
        click.echo("nothing to deliver")
    for part in receipt.parts if receipt.recorded else ():
        click.echo(
            f"{one_line(part.destination or UNKNOWN, width=100)}: "
            f"{part.delivered:,} of {part.recorded:,} spans delivered, "
            f"{part.pending:,} pending, {part.set_aside:,} set aside, {part.dropped:,} dropped"
        )


def _print_elsewhere(elsewhere: Iterable[Waiting]) -> None:
    waiting_for: dict[str, int] = {}
    for each in elsewhere:
        name = each.url or each.destination
        waiting_for[name] = waiting_for.get(name, 0) + each.spans
    for name, spans in waiting_for.items():
        if spans:
            click.echo(
                f"{spans:,} spans wait for {one_line(name, width=100)}; drain with its settings, or send them here "
                "with --endpoint and --everything",
                err=True,
            )
