"""A look at a program from inside, while its providers, hooks and counters exist."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from everyspan import client
from everyspan.doctor.finding import Finding, note, ok, problem, warning
from everyspan.doctor.providers import examine_providers
from everyspan.instrument import patch
from everyspan.model.destination import Destination

_NOT_EVERY_SPAN = "call the function through its module, or import it after everyspan.init()"


def destinations() -> tuple[Destination, ...]:
    """Where this program delivers: what the settings say, and what its own code has configured."""
    return tuple(outlet.destination for outlet in client._running().registry.outlets)


def look() -> Iterator[Finding]:
    """What can only be told from inside: hooks, providers, other instrumentations at work, and the numbers so far."""
    yield from _hooks()
    yield from examine_providers({destination.url for destination in destinations()})
    yield from _instrumentors()
    yield from _numbers(client.stats())


def _hooks() -> Iterator[Finding]:
    litellm = sys.modules.get("litellm")
    if litellm is None:
        yield note("instrumented.nothing", "the program did not import litellm")
        return
    bare = [
        name
        for name in ("completion", "acompletion", "embedding")
        if not _is_hooked(getattr(litellm, name, None))
    ]
    if bare:
        names = ", ".join(f"litellm.{name}" for name in bare)
        yield problem(
            "instrumented.litellm",
            f"{names} is not instrumented: its calls are not recorded",
            _NOT_EVERY_SPAN,
        )
    else:
        yield ok("instrumented.litellm", "litellm is instrumented")


def _is_hooked(function: Any) -> bool:
    # Other instrumentations put a function of theirs around ours and leave `__wrapped__`.
    while function is not None and not patch.is_exchanged(function):
        function = getattr(function, "__wrapped__", None)
    return isinstance(function, FunctionType)


def _instrumentors() -> Iterator[Finding]:
    """Instrumentations built on OpenTelemetry's `BaseInstrumentor` that are switched on."""
    base = getattr(sys.modules.get("opentelemetry.instrumentation.instrumentor"), "BaseInstrumentor", None)
    for kind in _below(base) if base is not None else ():
        made = getattr(kind, "_instance", None)
        if made is not None and getattr(made, "is_instrumented_by_opentelemetry", False):
            yield note(
                "overlap.active",
                f"{kind.__module__}.{kind.__name__} is at work: of a call that everyspan records, its spans are kept and "
                "marked unbilled",
            )


def _below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _numbers(stats: Mapping[str, Any]) -> Iterator[Finding]:
    calls = stats["calls"]
    yield note("calls.seen", f"{calls['opened']:,} calls to models, {calls['open']:,} of them still open")
    if calls["unsampled"]:
        yield problem(
            "calls.unsampled",
            f"{calls['unsampled']:,} calls were declined by a sampler and are lost",
            "give the program's TracerProvider no sampler",
        )
    for fault, count in stats["faults"].items():
        yield problem(
            "calls.fault",
            f"everyspan failed {count:,} times: {fault}; the program's calls went on, their spans may be wrong or missing",
            "report it, with the versions above",
        )
    for part in stats["delivery"]:
        yield from _delivery(part)


def _delivery(part: Mapping[str, Any]) -> Iterator[Finding]:
    where = part["destination"]
    counts = f"{part['delivered']:,} of {part['recorded']:,} spans delivered to {where}, {part['pending']:,} pending"
    because = f" ({part['problem']})" if part["problem"] else ""
    if part["dropped"] or part["set_aside"]:
        yield problem(
            "delivery.lost",
            f"{counts}, {part['set_aside']:,} set aside, {part['dropped']:,} dropped{because}",
            "see what is said of the spool and the destination",
        )
    elif part["pending"]:
        yield warning("delivery.pending", counts + because, "they stay in the spool; see the destination")
    else:
        yield ok("delivery.done", counts)
