"""The numbers of `everyspan.stats()` as OpenTelemetry metrics, for programs that have a MeterProvider.

Only OpenTelemetry's API is used. It hands out stand-ins until the program sets its MeterProvider, before `init()` or
after it, and turns them into real instruments then; without one, nothing is ever computed. All instruments are
observable: a reader asks when it collects, and recording a span costs nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from everyspan.model.receipt import Receipt
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY
from everyspan.sender.ship import Sender
from everyspan.version import __version__

SCOPE = "everyspan"
DESTINATION = "everyspan.destination"
"""Attribute: the URL that the spans go to, without user and password."""
PLACE = "everyspan.place"
"""Attribute: where in everyspan something failed."""
ERROR_TYPE = "error.type"

_Observe = Callable[[CallbackOptions], Iterable[Observation]]


class _Kind(NamedTuple):
    name: str
    count: Callable[[Receipt], int]
    only_grows: bool
    says: str


_KINDS = (
    _Kind(
        "recorded", lambda receipt: receipt.recorded, True, "Spans that ended and were handed to the spool."
    ),
    _Kind("delivered", lambda receipt: receipt.delivered, True, "Spans that the destination acknowledged."),
    _Kind("pending", lambda receipt: receipt.pending, False, "Spans that wait for the destination."),
    _Kind("set_aside", lambda receipt: receipt.set_aside, True, "Spans refused as malformed, kept on disk."),
    _Kind("dropped", lambda receipt: receipt.dropped, False, "Spans that could not be kept."),
)
# `dropped` is no counter: a span that was counted because its file was deleted can turn out to have been delivered.


def install(sender: Sender, registry: Registry, *, provider: MeterProvider | None = None) -> None:
    """Offer this process's numbers as metrics; call it once for each provider. Starts nothing and loads no SDK.

    `everyspan.spans.{recorded,delivered,pending,set_aside,dropped}` by destination, `everyspan.spans.shed`, and
    `everyspan.faults` by place.
    A forked child begins at 0 again.

    Args:
        provider: None for the global one, also when the program sets it later.
    """
    meter = metrics.get_meter(SCOPE, __version__, meter_provider=provider)
    for kind in _KINDS:
        make = meter.create_observable_counter if kind.only_grows else meter.create_observable_up_down_counter
        make(f"everyspan.spans.{kind.name}", [_spans(sender, kind)], unit="{span}", description=kind.says)
    meter.create_observable_counter(
        "everyspan.spans.shed",
        [lambda _: [Observation(TALLY.shed)]],
        unit="{span}",
        description="Spans whose texts were left out because the spool was nearly full.",
    )
    meter.create_observable_counter(
        "everyspan.faults",
        [lambda _: _faults(sender, registry)],
        unit="{fault}",
        description="Failures inside everyspan; the program's own call went on in each.",
    )


def _spans(sender: Sender, kind: _Kind) -> _Observe:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        # Two accounts at one address are one series: a key, even its digest, has no place in a metric.
        by_destination: Counter[str] = Counter()
        for part in sender.receipt().parts:
            by_destination[part.destination] += kind.count(part)
        for destination, count in by_destination.items():
            yield Observation(count, {DESTINATION: destination})

    return observe


def _faults(sender: Sender, registry: Registry) -> Iterator[Observation]:
    found: Counter[tuple[str, str]] = Counter()
    for name, count in TALLY.faults.copy().items():
        place, _, error = name.rpartition(": ")
        found[place, error] += count
    for error, count in sender.errors.copy().items():
        found["send spans", error] += count
    for outlet in registry.outlets:
        for error, count in outlet.log.counts().errors.items():
            found["write to the spool", error] += count
    for (place, error), count in found.items():
        yield Observation(count, {PLACE: place, ERROR_TYPE: error})
