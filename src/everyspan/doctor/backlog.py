"""What waits in the spool, and whether somebody will deliver it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from everyspan.doctor.finding import Finding, note, ok, problem, warning
from everyspan.spool import Waiting, waiting

_MIB = 1 << 20


def examine_waiting(spool_dir: Path, *, known: Collection[str], cap_bytes: int | None) -> Iterator[Finding]:
    """What waits in the spool, for whom, and whether somebody will deliver it.

    Args:
        known: ids of the destinations of the settings: what waits for others is delivered by nobody.
    """
    try:
        found = waiting(spool_dir)
    except OSError as error:
        yield problem("waiting.unreadable", f"what waits can not be read: {error}", "correct the permissions")
        return
    spans = sum(each.spans for each in found)
    if not spans:
        yield ok("waiting.nothing", f"nothing waits in {spool_dir}")
    for destination in sorted({each.destination for each in found}):
        yield from _for_one([each for each in found if each.destination == destination], known, cap_bytes)


def _for_one(found: list[Waiting], known: Collection[str], cap_bytes: int | None) -> Iterator[Finding]:
    url = next((each.url for each in found if each.url), found[0].destination)
    alive = sum(each.spans for each in found if each.alive)
    dead = sum(each.spans for each in found if not each.alive)
    if alive:
        yield note("waiting.alive", f"{alive:,} spans of running processes wait for {url}")
    if dead and found[0].destination in known:
        yield note(
            "waiting.dead",
            f"{dead:,} spans of ended processes wait for {url}: the next everyspan process delivers them",
            "`everyspan drain` delivers them now",
        )
    elif dead:
        yield warning(
            "waiting.nobody",
            f"{dead:,} spans of ended processes wait for {url}, which is not among the destinations of these settings",
            "run `everyspan drain` with the settings they were made with, or send them elsewhere with --endpoint and "
            "--everything",
        )
    yield from _lost(found, url)
    size = sum(each.size_bytes for each in found)
    if cap_bytes and size * 5 >= cap_bytes * 4:
        yield problem(
            "waiting.cap",
            f"{size / _MIB:,.0f} MiB wait for {url}, of {cap_bytes / _MIB:,.0f} that may; then spans are dropped",
            "let it be delivered, or raise EVERYSPAN_SPOOL_BYTES",
        )


def _lost(found: list[Waiting], url: str) -> Iterator[Finding]:
    refused, damaged = sum(each.refused for each in found), sum(each.damaged for each in found)
    dropped = sum(each.dropped for each in found)
    where = next((each for each in found if each.refused or each.damaged), found[0])
    if refused:
        yield problem(
            "waiting.refused",
            f"{refused:,} spans were refused by {url} as malformed and are kept aside",
            f"its words stand beside them, in `refused` below {where.destination}/{where.writer}",
        )
    if dropped:
        yield problem(
            "waiting.dropped",
            f"{dropped:,} spans for {url} could not be kept; it is told which as soon as it answers",
            "give the spool more room, or let it be delivered",
        )
    if damaged:
        yield problem(
            "waiting.damaged",
            f"{damaged:,} pieces of the spool for {url} were damaged and are kept aside",
            f"look at the disk; they are in `quarantine` below {where.destination}/{where.writer}",
        )
