"""`everyspan store`: what an operator does to a store, without a collector."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from everyspan.cli.progress import new_bar
from everyspan.cli.terminal import one_line
from everyspan.clock import now_ns
from everyspan.doctor.finding import many
from everyspan.errors import CommandError
from everyspan.settings import data_dir, store_address
from everyspan.store.copying import Copied, copy
from everyspan.store.reads import TraceFilter
from everyspan.store.store import Store, open_store
from everyspan.store.upkeep import Deletion
from everyspan.web.as_json import as_json

DIFFERENT = 1
"""Exit code: copied, and the two stores are not the same."""

_DAY_NS = 86_400 * 10**9
_MOST_SHOWN = 5

which: Callable[..., Any] = click.option(
    "--store",
    "address",
    help="A path, sqlite:///, chdb:/// or clickhouse:// address. Default: EVERYSPAN_STORE, else the collector's.",
)
whose: Callable[..., Any] = click.option("--project", required=True, help="The project; one at a time.")
sure: Callable[..., Any] = click.option(
    "--yes", is_flag=True, help="Do not ask; needed where nobody can answer."
)


@click.group()
def store() -> None:
    """Copy, export, back up and delete what a store holds."""


@store.command("copy")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
def copy_(*, source: str, target: str) -> int:
    """Copy everything FROM one store TO another, of whatever kind, and prove that both hold the same.

    Run again, it adds what came meanwhile. The proof wants both to be at rest: ends with 1 when anything differs.
    """
    with closing(open_store(source, read_only=True)) as one, closing(open_store(target)) as other:
        total = one.trace_totals(TraceFilter()).spans
        with _bar(total, "copying") as moved:
            done = copy(one, other, progress=lambda copied: moved(copied.spans))
    click.echo(f"{many(done.spans, 'span')} read, {done.new:,} new in {one_line(target)}{_scores(done)}")
    for line in done.refused[:_MOST_SHOWN]:
        click.echo(f"not kept: {one_line(line, width=300)}", err=True)
    for line in done.differences[:_MOST_SHOWN]:
        click.echo(f"not the same: {one_line(line, width=600)}", err=True)
    if done.differences or done.refused:
        click.echo("the two stores are not the same; was one of them written to meanwhile?", err=True)
        return DIFFERENT
    click.echo("proven: counts, tokens, costs by model and day, and the audit are the same in both")
    return 0


@store.command()
@which
@click.option("--project", default="", help="Only this project's spans.")
def export(*, address: str | None, project: str) -> None:
    """Print every span with its texts, one JSON object on each line, in the order of the store."""
    with closing(_opened(address, read_only=True)) as opened:
        after = ""
        while True:
            page = opened.read_spans(after, project=project)
            for row in page.rows:
                text = json.dumps(as_json(row), ensure_ascii=False, separators=(",", ":"))
                sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
            after = page.next
            if not after:
                break
        sys.stdout.buffer.flush()


@store.command()
@which
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
def backup(*, address: str | None, target: Path) -> None:
    """Write a SQLite store as it is at this moment into a new FILE; the collector may go on writing.

    The file is a store: give it to `everyspan store copy`, or put it in the place of the old one, to restore it.
    """
    from everyspan.store.sqlite import SqliteStore

    with closing(_opened(address, read_only=True)) as opened:
        if not isinstance(opened, SqliteStore):
            raise CommandError(
                f"only SQLite stores are backed up so; use `everyspan store copy {address} sqlite:///FILE`"
            )
        opened.back_up(target)
    click.echo(f"backed up to {target} ({target.stat().st_size:,} bytes), and checked")


@store.command()
@which
@whose
@click.option("--trace", "trace_id", default="", help="The trace with this id.")
@click.option("--user", default="", help="Traces in which a span names this user.")
@click.option("--all", "all_of_it", is_flag=True, help="All of the project.")
@sure
def delete(
    *, address: str | None, project: str, trace_id: str, user: str, all_of_it: bool, yes: bool
) -> None:
    """Delete traces with every span, text, sum and score, so that no file holds them any more."""
    wanted = Deletion(project=project, trace_id=trace_id, user=user, all_of_it=all_of_it)
    _delete(address, wanted, yes=yes, what=_said(wanted))


@store.command()
@which
@whose
@click.option("--keep", required=True, metavar="DAYS", help="How long traces stay after their end, as 30d.")
@sure
def retain(*, address: str | None, project: str, keep: str, yes: bool) -> None:
    """Delete a project's traces that are older than it keeps them. For a daily timer, with --yes."""
    days = re.fullmatch(r"([0-9]{1,5})d?", keep)
    if not days:
        raise CommandError(f"--keep is {one_line(keep)!r}; it takes a number of days, such as 30d")
    before_ns = now_ns() - int(days[1]) * _DAY_NS
    date = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=before_ns // 1000)).isoformat(
        " ", "minutes"
    )
    wanted = Deletion(project=project, before_ns=max(before_ns, 0))
    _delete(address, wanted, yes=yes, what=f"traces of project {project} that ended before {date}")


def _delete(address: str | None, wanted: Deletion, *, yes: bool, what: str) -> None:
    with closing(_opened(address, read_only=False)) as opened:
        if not yes:
            click.confirm(f"Delete {one_line(what)}? There is no way back.", abort=True, err=True)
        done = opened.delete(wanted)
    click.echo(f"deleted {many(done.traces, 'trace')} with {many(done.spans, 'span')}")
    click.echo("what still waits in an inbox or a spool comes back when it is delivered", err=True)


def _said(wanted: Deletion) -> str:
    if wanted.all_of_it:
        return f"all of project {wanted.project}"
    named = f"trace {wanted.trace_id}" if wanted.trace_id else f"traces of user {wanted.user}"
    return f"{named} in project {wanted.project}"


def _opened(address: str | None, *, read_only: bool) -> Store:
    where = address or store_address() or data_dir() / "spans.db"
    if isinstance(where, Path) and not where.is_file():
        # Never made by looking for it: a new, empty store would answer that nothing was there.
        raise CommandError(f"there is no store at {where}; name yours with --store")
    return open_store(where, read_only=read_only)


def _scores(done: Copied) -> str:
    said = f", {many(done.scores, 'score')}" if done.scores else ""
    return said + (f", {many(done.media, 'file')}" if done.media else "")


@contextmanager
def _bar(total: int, doing: str) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    bar = new_bar(total, doing=doing) if sys.stderr.isatty() else None
    try:
        yield lambda done: bar.update(bar.task_ids[0], completed=done) if bar else None
    finally:
        if bar:
            bar.stop()
