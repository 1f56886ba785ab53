"""`everyspan drain`: what dead processes left behind, delivered now."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from everyspan.cli.progress import Progress
from everyspan.cli.spooled import spool_directory
from everyspan.cli.terminal import UNKNOWN, one_line
from everyspan.model.receipt import Receipt
from everyspan.settings import Settings, from_environment
from everyspan.spool import Waiting, waiting

Command = Callable[..., Any]

PENDING = 1
"""Exit code: done, and spans are still waiting."""


def _destined(command: Command) -> Command:
    """Give `command` the options that say where to deliver; it gets `settings` with those destinations."""

    @click.option("--endpoint", help="Deliver to this one only. Default: the destinations of the settings.")
    @click.option("--api-key", help="The key for --endpoint. Default: EVERYSPAN_API_KEY.")
    @functools.wraps(command)
    def destined(*, endpoint: str | None, api_key: str | None, **options: Any) -> Any:
        settings = from_environment(endpoint=endpoint, api_key=api_key)
        if endpoint:
            # What was typed is the only one meant, also where the environment configures Langfuse.
            settings = replace(settings, destinations=settings.destinations[:1])
        return command(settings=settings, **options)

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
@spool_directory
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as JSON.")
def drain(
    *,
    settings: Settings,
    everything: bool,
    timeout_s: float,
    directory: Path | None,
    as_json: bool,
) -> int:
    """Deliver what dead processes left in the spool, and say what became of it.

    Processes that live deliver their own. Ends with 0 only when nothing that can be delivered is left.
    """
    from everyspan.sender.drain import drain as deliver

    root = directory or settings.spool_dir
    sent_to = {destination.id for destination in settings.destinations}

    def is_ours(each: Waiting) -> bool:
        return everything or each.destination in sent_to

    with Progress(
        lambda: sum(each.spans for each in waiting(root) if is_ours(each) and not each.alive)
    ) as progress:
        _say_what_is_logged(progress)
        receipt = deliver(
            root,
            settings.destinations,
            timeout_s=timeout_s,
            everything=everything,
            allow_key_in_clear=settings.allow_key_in_clear,
            on_progress=progress.show,
        )
    elsewhere = [each for each in waiting(root) if not (each.alive or is_ours(each))]
    left = sum(each.spans for each in elsewhere)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(receipt), "pending_elsewhere": left}, indent=2))
    else:
        _print_receipt(receipt)
        _print_elsewhere(elsewhere)
    return PENDING if receipt.pending or left else 0


def _say_what_is_logged(progress: Progress) -> None:
    """Let the sender's words, which may hold a server's, reach stderr cleaned; each problem is said once."""

    class Say(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            progress.say(one_line(record.getMessage(), width=400))

    logger = logging.getLogger("everyspan")
    logger.addHandler(Say())
    logger.propagate = False


def _print_receipt(receipt: Receipt) -> None:
    if not receipt.recorded:
        click.echo("nothing to deliver")
    for part in receipt.parts if receipt.recorded else ():
        click.echo(f"{one_line(part.destination or UNKNOWN, width=100)}: {part.counts}")


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
