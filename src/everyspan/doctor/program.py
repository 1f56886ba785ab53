"""A look at a program from inside, while its providers, hooks and counters exist."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import FunctionType
from typing import Any

from everyspan import client
from everyspan.doctor.finding import Finding, many, note, ok, problem, warning
from everyspan.doctor.providers import examine_providers
from everyspan.instrument import patch
from everyspan.settings import Settings

_ENTRIES = ("completion", "acompletion", "embedding", "aembedding")
"""litellm's functions that most programs call: when these lead to us, so do the others, by the same hook."""


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
    yield from _hooks()
    yield from examine_providers({destination.url for destination in settings().destinations})
    yield from _instrumentors()
    yield from _numbers(client.stats())


def _hooks() -> Iterator[Finding]:
    litellm = sys.modules.get("litellm")
    if litellm is None:
        yield note("instrumented.nothing", "the program did not import litellm")
        return
    replaced = {
        name: getattr(litellm, name, None)
        for name in _ENTRIES
        if not _is_hooked(getattr(litellm, name, None))
    }
    bare = [f"litellm.{name}" for name in replaced if not _is_hooked_somewhere(name)]
    if bare:
        yield problem(
            "instrumented.litellm",
            f"not instrumented, so that calls through it are not recorded: {', '.join(bare)}",
            "report it with the version of litellm; until then mark your function with @everyspan.observe",
        )
    elif replaced:
        by = ", ".join(
            sorted({getattr(function, "__module__", None) or "?" for function in replaced.values()})
        )
        yield note(
            "instrumented.replaced",
            f"litellm's functions are instrumented, others stand in front of them, from {by}: what these pass on is "
            "recorded",
        )
    else:
        yield ok("instrumented.litellm", "litellm's functions are instrumented")


def _is_hooked(function: Any) -> bool:
    # Other instrumentations put a function of theirs around ours, and most leave `__wrapped__`.
    while function is not None and not patch.is_exchanged(function):
        function = getattr(function, "__wrapped__", None)
    return isinstance(function, FunctionType)


def _is_hooked_somewhere(name: str) -> bool:
    """Whether litellm's own function of that name is ours, where something else stands in its public place."""
    modules = [module for path, module in list(sys.modules.items()) if path.startswith("litellm.")]
    return any(patch.is_exchanged(getattr(module, name, None)) for module in modules)


def _instrumentors() -> Iterator[Finding]:
    """Instrumentations built on OpenTelemetry's `BaseInstrumentor` that are switched on."""
    base = getattr(sys.modules.get("opentelemetry.instrumentation.instrumentor"), "BaseInstrumentor", None)
    for kind in _below(base) if base is not None else ():
        made = getattr(kind, "_instance", None)
        if made is not None and getattr(made, "is_instrumented_by_opentelemetry", False):
            yield note(
                "overlap.active",
                f"{kind.__module__}.{kind.__name__} is at work: its spans of a call that everyspan records are kept "
                "and marked unbilled",
            )


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    each: type[Any]
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


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
