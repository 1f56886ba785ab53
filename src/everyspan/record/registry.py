"""The destinations of this process, each with the log that its spans are written to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from everyspan.model.destination import Destination, Dialect
from everyspan.record.tally import TALLY
from everyspan.spool.log import Log
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind


@dataclass(frozen=True, slots=True)
class Outlet:
    """One destination and its log."""

    destination: Destination
    log: Log


class Registry:
    """Knows where spans go. Destinations may be added while spans are being recorded; none is ever removed.

    Args:
        open_log: makes the log of a destination.
        wake: told after each write that there is something to send; must be quick.
        flush: delivers what was written, within seconds; True when everything arrived.
    """

    def __init__(
        self,
        *,
        open_log: Callable[[Destination], Log],
        wake: Callable[[], None],
        flush: Callable[[float], bool],
    ) -> None:
        self._open_log = open_log
        self._wake = wake
        self.flush = flush
        self._lock = threading.Lock()
        self.outlets: tuple[Outlet, ...] = ()
        self.dialects: frozenset[Dialect] = frozenset()
        """What the receivers understand: decides which attributes a call writes."""

    def add(self, destination: Destination) -> Outlet:
        """The outlet of a destination; made when its id is new."""
        with self._lock:
            for outlet in self.outlets:
                if outlet.destination.id == destination.id:
                    return outlet
            outlet = Outlet(destination, self._open_log(destination))
            self.outlets = (*self.outlets, outlet)
            self.dialects |= {destination.dialect}
            return outlet

    def write_start(self, outlet: Outlet, span: ReadableSpan) -> None:
        """Put a span that has just begun on disk, so that the death of the process cannot hide it. Never raises."""
        try:
            encoded = encode_started(span)
            outlet.log.append(Kind.START, encoded.payload, stamp_at=encoded.stamp_at)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record the start of a span", error)

    def write_span(
        self, outlet: Outlet, span: ReadableSpan, *, extra: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """Put a span that has ended on disk and wake the sender. Never raises."""
        try:
            encoded = encode_span(span, extra=extra)
            outlet.log.append(Kind.SPAN, encoded.payload, stamp_at=encoded.stamp_at)
            self._wake()
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record a span", error)
