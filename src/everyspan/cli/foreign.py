"""The audit of a backend that is not ours, by the stamps that it kept."""

from __future__ import annotations

import click

from everyspan.cli.questions import print_json
from everyspan.cli.terminal import one_line, table
from everyspan.doctor.finding import many
from everyspan.query.stamped import ForeignAudit, WriterStamps, audit_stamps
from everyspan.reading.langfuse import LangfuseProject
from everyspan.settings import langfuse_project

INCOMPLETE = 1
"""Exit code: something is not there, is there twice, or carries no stamp at all."""


def audit_langfuse(*, as_json: bool) -> int:
    """Print what the stamps in the Langfuse project of the environment tell; the exit code."""
    url, public_key, secret_key = langfuse_project()
    project = LangfuseProject(url=url, public_key=public_key, secret_key=secret_key)
    found = audit_stamps(project.stamps())
    if as_json:
        print_json(
            {
                "verdict": found.verdict,
                "unstamped": found.unstamped,
                "writers": [_as_json(each) for each in found.writers],
            }
        )
    else:
        _print(found, url)
    return 0 if found.verdict == "complete" else INCOMPLETE


def _as_json(each: WriterStamps) -> dict[str, object]:
    return {
        "writer": each.writer,
        "complete": each.complete,
        "spans": each.spans,
        "copies": each.copies,
        "highest": each.highest,
        "absent_at_least": each.absent[0],
        "absent_at_most": each.absent[1],
    }


def _print(found: ForeignAudit, url: str) -> None:
    rows = [
        (
            one_line(each.writer),
            "complete" if each.complete else "doubled" if not each.unaccounted else "incomplete",
            f"{each.spans:,}",
            f"{each.copies:,}",
            f"{each.highest:,}",
            "0" if not each.unaccounted else f"{each.absent[0]:,} to {each.absent[1]:,}",
        )
        for each in found.writers
    ]
    if rows:
        head = ("WRITER", "VERDICT", "SPANS", "COPIES", "UP TO", "ABSENT")
        table(head, rows, right=frozenset(head[2:]))
    click.echo(_sentence(found, url))


def _sentence(found: ForeignAudit, url: str) -> str:
    spans = many(sum(each.spans for each in found.writers), "span")
    said = {
        "complete": f"complete: {spans} at {url}, and every call up to each writer's last number is one of them",
        "incomplete": f"incomplete: {spans} at {url}; calls without a span are still open, or were dropped or lost",
        "doubled": f"doubled: {spans} at {url}, nothing is missing, and some are there more than once",
        "unproven": f"unproven: nothing at {url} carries a stamp",
    }[found.verdict]
    return said + (
        f"; {many(found.unstamped, 'observation')} of others have no stamp" if found.unstamped else ""
    )
