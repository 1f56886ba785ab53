"""`everyspan export`: traces into files that other tools read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from everyspan.cli.ask import Collector, Parameter
from everyspan.cli.questions import asking, at_prices, narrowing_traces
from everyspan.errors import CommandError
from everyspan.query.otlp import otlp_request
from everyspan.reading.chrome import chrome_events, named_process
from everyspan.reading.client import Client, TraceView
from everyspan.reading.table import Table, installed, record
from everyspan.store.rows import SpanRow

_FORMATS = ("jsonl", "otlp", "chrome", "parquet")
_BATCH_ROWS = 5000


@click.command("export")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="jsonl", show_default=True, help="What to write."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to. Default: standard output.",
)
@click.option(
    "--trace", "trace_ids", multiple=True, metavar="ID", help="Only this trace; may be given again."
)
@at_prices
@narrowing_traces
@asking
def export(
    *,
    form: str,
    output: Path | None,
    trace_ids: tuple[str, ...],
    wanted: dict[str, Parameter],
    collector: Collector,
    as_json: bool,
) -> None:
    """Write traces to a file: JSON lines, OTLP, a Chrome trace or Parquet.

    `jsonl` is one span on each line, `otlp` one request of a whole trace on each line (what `everyspan import` and any
    OpenTelemetry collector read), `chrome` one document for Perfetto. Parquet needs pyarrow and a file.
    """
    if form == "parquet" and output is None:
        raise CommandError("Parquet is not written to a terminal or pipe; name a file with --output")
    if form == "parquet":
        installed("pyarrow")
    client = Client(collector.url, api_key=collector.api_key)
    found = _read(client, trace_ids, wanted)
    if form == "parquet":
        assert output is not None
        traces, spans = _write_parquet(found, output)
    else:
        with _opened(output) as file:
            traces, spans = _WRITERS[form](found, file)
    said = {"traces": traces, "spans": spans, "format": form, "output": str(output) if output else "-"}
    if as_json:
        click.echo(json.dumps(said), err=output is None)
    elif output:
        click.echo(f"{traces:,} traces, {spans:,} spans in {output}", err=True)


def _read(client: Client, trace_ids: tuple[str, ...], wanted: dict[str, Parameter]) -> Iterator[TraceView]:
    """The traces, one after the other; on a terminal a bar shows how far it is."""
    project, prices = wanted.get("project"), str(wanted.get("prices") or "")
    if trace_ids:
        for trace_id in trace_ids:
            yield client.trace(trace_id, project=str(project) if project else None, prices=prices)
        return
    total = client.totals(**wanted).traces
    with click.progressbar(
        client.each_trace(**wanted),
        length=total,
        label="traces",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as summaries:
        for summary in summaries:
            yield client.trace(summary.trace_id, project=summary.project, prices=prices)


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """The file, which appears under its name only when it is whole."""
    if output is None:
        yield sys.stdout
        return
    made = output.with_name(f".{output.name}.new")
    try:
        # A lone surrogate, should one be stored, must not end the export.
        with made.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        made.replace(output)
    except OSError as unusable:
        raise CommandError(f"{output} cannot be written: {unusable.strerror}") from None
    finally:
        made.unlink(missing_ok=True)


def _write_jsonl(found: Iterator[TraceView], file: IO[str]) -> tuple[int, int]:
    traces = spans = 0
    for view in found:
        traces += 1
        for place in view.tree:
            spans += 1
            file.write(json.dumps({**record(place.row), "depth": place.depth}, default=_plain) + "\n")
    return traces, spans


def _write_otlp(found: Iterator[TraceView], file: IO[str]) -> tuple[int, int]:
    traces = spans = 0
    for view in found:
        traces, spans = traces + 1, spans + len(view.tree)
        file.write(json.dumps(otlp_request([place.row for place in view.tree])) + "\n")
    return traces, spans


def _write_chrome(found: Iterator[TraceView], file: IO[str]) -> tuple[int, int]:
    traces = spans = 0
    file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
    for view in found:
        traces, spans = traces + 1, spans + len(view.tree)
        events = chrome_events([place.row for place in view.tree], process=traces)
        name = named_process(f"{view.summary.name} {view.summary.trace_id[:8]}", traces)
        lines = ",\n".join(json.dumps(event) for event in (name, *events))
        file.write((",\n" if traces > 1 else "") + lines)
    file.write("\n]}\n")
    return traces, spans


_WRITERS = {"jsonl": _write_jsonl, "otlp": _write_otlp, "chrome": _write_chrome}


def _write_parquet(found: Iterator[TraceView], output: Path) -> tuple[int, int]:
    """All spans as one table; money is text, which holds every digit whatever the other rows have."""
    arrow, parquet = installed("pyarrow"), installed("pyarrow.parquet")
    traces = spans = 0
    rows: list[SpanRow] = []
    tables = []
    for view in found:
        traces, spans = traces + 1, spans + len(view.tree)
        rows += [place.row for place in view.tree]
        if len(rows) >= _BATCH_ROWS:
            tables.append(_arrow(arrow, rows))
            rows = []
    tables += [_arrow(arrow, rows)] if rows or not tables else []
    made = output.with_name(f".{output.name}.new")
    try:
        parquet.write_table(arrow.concat_tables(tables, promote_options="permissive"), made)
        made.replace(output)
    except OSError as unusable:
        raise CommandError(f"{output} cannot be written: {unusable}") from None
    finally:
        made.unlink(missing_ok=True)
    return traces, spans


def _arrow(arrow: Any, rows: list[SpanRow]) -> Any:
    records = [
        {
            name: None if value is None else format(value, "f") if name == "cost" else value
            for name, value in each.items()
        }
        for each in Table(rows).records()
    ]
    return arrow.Table.from_pylist(records)


def _plain(value: object) -> str:
    return format(value, "f")  # money: the only value that JSON has no form for
