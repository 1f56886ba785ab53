"""`everyspan import`: spans from files into a collector."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from everyspan.cli.ask import Collector
from everyspan.cli.looking import NOT_SO
from everyspan.cli.questions import asking
from everyspan.cli.terminal import one_line
from everyspan.errors import CommandError

_JSON, _PROTOBUF = "application/json", "application/x-protobuf"


@dataclass(slots=True)
class _Sent:
    requests: int = 0
    rejected: int = 0
    why: str = ""


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True))
@asking
def import_(*, files: tuple[Path, ...], collector: Collector, as_json: bool) -> int:
    """Send spans from OTLP files to a collector.

    Takes what `everyspan export --format otlp` and OpenTelemetry's file exporter write: one OTLP/JSON request on each
    line, a single one over many lines, or one as protobuf (`.pb`, `.binpb`), each also with `.gz`; `-` is stdin.
    Importing twice changes nothing: spans that are known are recognised. Ends with 1 when spans were rejected.
    """
    sent = _Sent()
    total = sum(path.stat().st_size for path in files if path.is_file())
    with click.progressbar(
        length=max(1, total), label="bytes", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for path in files:
            for body, content_type in _requests(path):
                answer = collector.post("/v1/traces", body, content_type=content_type)
                _count(sent, answer if content_type == _JSON else {})
                bar.update(len(body))
    if as_json:
        click.echo(json.dumps({"requests": sent.requests, "rejected_spans": sent.rejected, "why": sent.why}))
    else:
        rejected = (
            f", {sent.rejected:,} spans rejected: {one_line(sent.why, width=200)}" if sent.rejected else ""
        )
        click.echo(f"{sent.requests:,} requests sent{rejected}")
    return NOT_SO if sent.rejected else 0


def _count(sent: _Sent, answer: dict[str, object]) -> None:
    sent.requests += 1
    partial = answer.get("partialSuccess")
    if isinstance(partial, dict):
        sent.rejected += int(partial.get("rejectedSpans") or 0)
        sent.why = str(partial.get("errorMessage") or sent.why)


def _requests(path: Path) -> Iterator[tuple[bytes, str]]:
    """The requests in a file, with their content type.

    Raises:
        CommandError: the file cannot be read, or holds no OTLP.
    """
    names = path.name.removesuffix(".gz")
    try:
        with _opened(path) as file:
            if names.endswith((".pb", ".binpb")):
                yield file.read(), _PROTOBUF
                return
            first = file.readline()
            if _is_request(first):
                yield first, _JSON
                for number, line in enumerate(file, start=2):
                    if line.strip():
                        if not _is_request(line):
                            raise CommandError(f"line {number} of {path} is no OTLP/JSON request")
                        yield line, _JSON
                return
            whole = first + file.read()
    except (OSError, EOFError) as unusable:
        raise CommandError(f"{path} cannot be read: {unusable}") from None
    if not _is_request(whole):
        raise CommandError(f"{path} is no OTLP/JSON: an object with resourceSpans, or one on each line")
    yield whole, _JSON


def _opened(path: Path) -> BinaryIO:
    if str(path) == "-":
        return sys.stdin.buffer
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _is_request(text: bytes) -> bool:
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and ("resourceSpans" in said or "resource_spans" in said)
