"""A look at a program from inside, while its providers, hooks and counters exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from everyspan import client
from everyspan.doctor.finding import Finding, many, note, ok, problem, warning
from everyspan.doctor.hooks import examine_hooks
from everyspan.doctor.overlaps import examine_overlaps
from everyspan.doctor.providers import examine_providers
from everyspan.settings import Settings


def is_recording() -> bool:
    """Whether everyspan runs in this process."""
    return client._runtime is not None


def settings() -> Settings:
    """What everyspan runs with here, with every destination: the settings' and those that the program's code added."""
    runtime = client._running()
    asked, used = runtime.settings, tuple(outlet.destination for outlet in runtime.registry.outlets)
    return replace(asked, destinations=used, explicit=asked.explicit or len(used) > len(asked.destinations))


def look() -> Iterator[Finding]:
    """What can only be told from inside: hooks, providers, other instrumentations at work, and the numbers so far."""
    yield from examine_hooks()
    yield from examine_providers({destination.url for destination in settings().destinations})
    yield from examine_overlaps()
    yield from _numbers(client.stats())


def _numbers(stats: Mapping[str, Any]) -> Iterator[Finding]:
    calls = stats["calls"]
    yield note(
        "calls.seen", f"{many(calls['opened'], 'call')} to models, {calls['open']:,} of them still open"
    )
    if calls["sampled_out"]:
        yield note(
            "calls.sampled_out",
            f"of {many(calls['sampled_out'], 'call')} that a sampler declined usage and cost are kept, nothing else",
        )
    if calls["unsampled"]:
        yield problem(
            "calls.unsampled",
            f"{calls['unsampled']:,} calls were declined by a sampler and are lost",
            "unset EVERYSPAN_SAMPLED_OUT to keep their usage and cost",
        )
    if calls["shed"]:
        yield warning(
            "calls.shed",
            f"{many(calls['shed'], 'span')} have no texts, because the spool was nearly full; money stayed",
            "let the spool be delivered, or raise EVERYSPAN_SPOOL_BYTES",
        )
    for host, count in stats["requests"]["without_span"].items():
        yield problem(
            "calls.unseen",
            f"{many(count, 'call')} to {host} had no span: what made them is not instrumented",
            "make them through a library of docs/clients.md, or mark your function with @everyspan.observe",
        )
    for fault, count in stats["faults"].items():
        yield problem(
            "calls.fault",
            f"everyspan failed to {fault}, {count:,} times; the program went on, spans may be wrong or missing",
            "report it, with the versions below",
        )
    for part in stats["delivery"]:
        yield from _delivery(part)


def _delivery(part: Mapping[str, Any]) -> Iterator[Finding]:
    counts = f"{part['delivered']:,} of {many(part['recorded'], 'span')} delivered to {part['destination']}"
    because = f" ({part['problem']})" if part["problem"] else ""
    if part["dropped"] or part["set_aside"]:
        lost = f"{part['set_aside']:,} set aside, {part['dropped']:,} dropped"
        yield problem(
            "delivery.lost", f"{counts}, {lost}{because}", "see what is said of the destination and the spool"
        )
    elif part["pending"]:
        yield warning(
            "delivery.pending",
            f"{counts}, {part['pending']:,} pending{because}",
            "they stay in the spool; see what is said of the destination",
        )
    else:
        yield ok("delivery.done", counts)
