"""`everyspan doctor`: what would lose spans or double them here, and what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from everyspan.cli.spooled import spool_directory
from everyspan.cli.terminal import printable
from everyspan.doctor.examine import examine
from everyspan.doctor.finding import Finding, Level, problem
from everyspan.errors import CommandError
from everyspan.settings import from_environment, surroundings

NOT_FINE = 1
"""Exit code: something would lose spans, double them or keep them from arriving."""

_MARKS = {Level.OK: "ok", Level.NOTE: "--", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}
_WIDTH = max(map(len, _MARKS.values()))
_LEAST_WIDTH = 60


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--endpoint", help="Try this destination. Default: those of the settings.")
@click.option("--api-key", help="The key for --endpoint. Default: EVERYSPAN_API_KEY.")
@spool_directory
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("script", nargs=-1, type=click.UNPROCESSED)
def doctor(
    *,
    endpoint: str | None,
    api_key: str | None,
    directory: Path | None,
    as_json: bool,
    script: tuple[str, ...],
) -> int:
    """Say what would lose spans or double them here, and what to do about it.

    With `-- script.py [args]` (or `-- -m module`) it runs that program first, as `everyspan run` does, and looks at it
    from inside. Ends with 1 when something has to be done.
    """
    if script and directory:
        raise CommandError("--spool-dir goes without a script; set EVERYSPAN_SPOOL_DIR for one")
    if script:
        asked = (
            *(("--endpoint", endpoint) if endpoint else ()),
            *(("--api-key", api_key) if api_key else ()),
        )
        findings = _inside([*asked, *script], script_may_print=not as_json)
    else:
        settings = from_environment(endpoint=endpoint, api_key=api_key)
        findings = list(examine(replace(settings, spool_dir=directory or settings.spool_dir), surroundings()))
    levels = Counter(finding.level for finding in findings)
    if as_json:
        said = {
            "fine": not levels[Level.PROBLEM],
            "problems": levels[Level.PROBLEM],
            "warnings": levels[Level.WARNING],
            "findings": [finding.as_json() for finding in findings],
        }
        click.echo(json.dumps(said, indent=2))
    else:
        for line in _lines(findings):
            click.echo(line)
        click.echo(_summary(levels))
    return NOT_FINE if levels[Level.PROBLEM] else 0


def _inside(words: list[str], *, script_may_print: bool) -> list[Finding]:
    """Run a program in a process of its own that writes its findings into a pipe.

    Raises:
        CommandError: it could not be run.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "everyspan.doctor.inside", str(writing), *words]
    with open(reading, encoding="utf-8") as report:
        try:
            # What the script prints must not end up between the findings' JSON.
            out = None if script_may_print else sys.stderr.fileno()
            process = subprocess.Popen(command, pass_fds=[writing], stdout=out)
        finally:
            os.close(writing)
        lines = report.read().splitlines()
    code = process.wait()
    if code == 2 and not lines:
        raise CommandError("the script was not run; see above")
    return [*_ending(code, was_seen=bool(lines)), *(Finding.from_json(json.loads(line)) for line in lines)]


def _ending(code: int, *, was_seen: bool) -> Iterator[Finding]:
    if not was_seen:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with os._exit({code}) or the like"
        yield problem(
            "program.unseen",
            f"the program {how} before it could be looked at",
            "see `everyspan spool` for what it left, and look at a program that ends in order",
        )


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Each topic with its findings, in the order in which topics first come up."""
    for topic in dict.fromkeys(finding.topic for finding in findings):
        yield topic
        for finding in findings:
            if finding.topic == topic:
                yield from _wrapped(f"  {_MARKS[finding.level]:<{_WIDTH}}  ", finding.says)
                if finding.do:
                    yield from _wrapped(f"  {'':<{_WIDTH}}  -> ", finding.do)


def _wrapped(lead: str, text: str) -> list[str]:
    """`text` behind `lead`, in lines as wide as the terminal; one line for a file or a pipe."""
    line = " ".join(printable(text).split())
    if not sys.stdout.isatty():
        return [lead + line]
    width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
    return textwrap.wrap(
        line, width, initial_indent=lead, subsequent_indent=" " * len(lead), break_on_hyphens=False
    )


def _summary(levels: Counter[Level]) -> str:
    problems, warnings = levels[Level.PROBLEM], levels[Level.WARNING]
    if not problems and not warnings:
        return "fine: nothing here loses spans or doubles them"
    parts = [
        f"{count} {word}{'s' * (count > 1)}" for count, word in ((problems, "problem"), (warnings, "warning"))
    ]
    return " and ".join(part for part, count in zip(parts, (problems, warnings), strict=True) if count)
