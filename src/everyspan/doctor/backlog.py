"""What waits in the spool, and whether somebody will deliver it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from everyspan.doctor.finding import Finding, many, note, ok, problem, warning
from everyspan.spool import Waiting, waiting
from everyspan.spool.room import default_cap_bytes

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
        here = [each for each in found if each.destination == destination]
        size_bytes = sum(each.size_bytes for each in here)
        yield from _for_one(here, is_known=destination in known)
        yield from _cap(here, cap_bytes or default_cap_bytes(spool_dir, kept_bytes=size_bytes), size_bytes)


def _for_one(found: list[Waiting], *, is_known: bool) -> Iterator[Finding]:
    url = _name(found)
    alive = sum(each.spans for each in found if each.alive)
    dead = sum(each.spans for each in found if not each.alive)
    if alive:
        yield note("waiting.alive", f"for {url}: {many(alive, 'span')} of running processes, on the way")
    if dead and is_known:
        yield note(
            "waiting.dead",
            f"for {url}: {many(dead, 'span')} of ended processes, delivered by the next everyspan process",
            "`everyspan drain` delivers now",
        )
    elif dead:
        yield warning(
            "waiting.nobody",
            f"for {url}, which these settings do not name: {many(dead, 'span')} of ended processes",
            "run `everyspan drain` with the settings they were made with, or send them elsewhere with --endpoint "
            "and --everything",
        )
    yield from _lost(found, url)


def _cap(found: list[Waiting], cap_bytes: int, size_bytes: int) -> Iterator[Finding]:
    if size_bytes * 5 >= cap_bytes * 4:
        yield problem(
            "waiting.cap",
            f"{size_bytes / _MIB:,.0f} MiB wait for {_name(found)}, of {cap_bytes / _MIB:,.0f} MiB that may: then "
            "spans are dropped",
            "let it be delivered, or raise EVERYSPAN_SPOOL_BYTES",
        )


def _name(found: list[Waiting]) -> str:
    return next((each.url for each in found if each.url), found[0].destination)


def _lost(found: list[Waiting], url: str) -> Iterator[Finding]:
    refused, damaged = sum(each.refused for each in found), sum(each.damaged for each in found)
    dropped = sum(each.dropped for each in found)
    where = next((each for each in found if each.refused or each.damaged), found[0])
    if refused:
        yield problem(
            "waiting.refused",
            f"kept aside, because {url} called it malformed: {many(refused, 'span')}",
            f"its words stand beside them, in `refused` below {where.destination}/{where.writer}",
        )
    if dropped:
        yield problem(
            "waiting.dropped",
            f"could not be kept for {url}, which is told as soon as it answers: {many(dropped, 'span')}",
            "give the spool more room, or let it be delivered",
        )
    if damaged:
        yield problem(
            "waiting.damaged",
            f"{damaged:,} pieces of the spool for {url} were damaged and are kept aside",
            f"look at the disk; they are in `quarantine` below {where.destination}/{where.writer}",
        )
