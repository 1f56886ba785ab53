"""`everyspan spool`: what waits on this machine, for people, for scripts and for Prometheus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from everyspan.cli.terminal import UNKNOWN, one_line, printable, table
from everyspan.clock import now_ns
from everyspan.doctor.finding import many
from everyspan.errors import CommandError
from everyspan.settings import spool_dir
from everyspan.spool import Waiting, waiting

spool_directory: Callable[..., Any] = click.option(
    "--spool-dir",
    "directory",
    type=click.Path(path_type=Path),
    help="The spool. Default: EVERYSPAN_SPOOL_DIR, else the user's state directory.",
)


@click.command()
@spool_directory
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one object for each writer.")
@click.option("--prometheus", is_flag=True, help="Print metrics in Prometheus' text format.")
def spool(*, directory: Path | None, as_json: bool, prometheus: bool) -> None:
    """Show what waits on this machine, and for where. Takes no locks and changes nothing."""
    root = directory or spool_dir()
    try:
        found = waiting(root)
    except OSError as error:
        raise CommandError(
            f"the spool {root} can not be read: {error}; try as the user who owns it"
        ) from None
    now = now_ns()
    if as_json:
        return click.echo(json.dumps([_as_json(each, now) for each in found], indent=2))
    if prometheus:
        return click.echo("".join(_metrics(found)), nl=False)
    if not found:
        return click.echo(f"nothing waits in {root}")
    head = (
        "DESTINATION", "WRITER", "ALIVE", "SEGMENTS", "PENDING", "SET ASIDE", "DROPPED", "DAMAGED", "OLDEST", "BYTES",
    )  # fmt: skip
    table(head, (_row(each, now) for each in found), right=frozenset(head[3:]))
    spans, written = sum(each.spans for each in found), sum(each.size_bytes for each in found)
    return click.echo(f"{many(spans, 'span')} waiting in {root} ({written:,} bytes)")


def _age_ns(each: Waiting, now: int) -> int | None:
    return max(0, now - each.oldest_ns) if each.oldest_ns else None


def _row(each: Waiting, now: int) -> tuple[str, ...]:
    age_ns = _age_ns(each, now)
    return (
        one_line(each.url or each.destination),
        one_line(each.writer),
        "yes" if each.alive else "no",
        f"{each.segments:,}",
        f"{each.spans:,}",
        f"{each.refused:,}",
        f"{each.dropped:,}",
        f"{each.damaged:,}",
        _ago(age_ns) if age_ns is not None else UNKNOWN,
        f"{each.size_bytes:,}",
    )


def _ago(age_ns: int) -> str:
    """An age as people say it: in the largest unit of which there are at least two."""
    age_s = age_ns // 1_000_000_000
    for unit, size_s in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= 2 * size_s:
            return f"{age_s // size_s:,} {unit}"
    return f"{age_s} s"


def _as_json(each: Waiting, now: int) -> dict[str, object]:
    """The words of a receipt, and the rest of what is known."""
    age_ns = _age_ns(each, now)
    return {
        "destination": each.destination,
        "url": each.url,
        "writer": each.writer,
        "alive": each.alive,
        "segments": each.segments,
        "size_bytes": each.size_bytes,
        "pending": each.spans,
        "set_aside": each.refused,
        "dropped": each.dropped,
        "damaged": each.damaged,
        "oldest_ns": each.oldest_ns or None,
        "oldest_age_s": age_ns / 1e9 if age_ns is not None else None,
    }


class _Gauge(NamedTuple):
    name: str
    says: str
    value: Callable[[list[Waiting]], float | None]


_GAUGES = (
    _Gauge("segments", "Segments on disk.", lambda found: sum(each.segments for each in found)),
    _Gauge("bytes", "Bytes on disk.", lambda found: sum(each.size_bytes for each in found)),
    _Gauge("pending_spans", "Spans not yet acknowledged.", lambda found: sum(each.spans for each in found)),
    _Gauge(
        "set_aside_spans", "Spans refused as malformed.", lambda found: sum(each.refused for each in found)
    ),
    _Gauge("dropped_spans", "Spans lost, not yet told.", lambda found: sum(each.dropped for each in found)),
    _Gauge("damaged_ranges", "Damaged ranges kept aside.", lambda found: sum(each.damaged for each in found)),
    _Gauge(
        "oldest_span_timestamp_seconds",
        "When the span that has waited longest ended; absent when none waits.",
        lambda found: min((each.oldest_ns / 1e9 for each in found if each.oldest_ns), default=None),
    ),
)


def _metrics(found: list[Waiting]) -> Iterator[str]:
    """The text format 0.0.4: gauges, since each run looks anew and nothing only grows."""
    places = {each.destination: each.url for each in found}
    here = {place: [each for each in found if each.destination == place] for place in places}
    labels = {
        place: f'destination="{_escaped(place)}",url="{_escaped(next((e.url for e in here[place] if e.url), ""))}"'
        for place in places
    }
    yield from _gauge(
        "writers",
        "Writers with a directory, by whether their process lives.",
        (
            (f'{labels[place]},alive="{alive}"', sum(each.alive is (alive == "true") for each in here[place]))
            for place in places
            for alive in ("true", "false")
        ),
    )
    for gauge in _GAUGES:
        values = ((labels[place], gauge.value(here[place])) for place in places)
        yield from _gauge(gauge.name, gauge.says, values)


def _gauge(name: str, says: str, values: Iterable[tuple[str, float | None]]) -> Iterator[str]:
    yield f"# HELP everyspan_spool_{name} {says}\n# TYPE everyspan_spool_{name} gauge\n"
    for labels, value in values:
        if value is not None:
            yield f"everyspan_spool_{name}{{{labels}}} {value}\n"


def _escaped(text: str) -> str:
    """`text` as a label's value; what would steer a terminal is left out."""
    return printable(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
