"""The destinations of this process, each with the log that its spans are written to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue

from everyspan.model.destination import Destination, Dialect
from everyspan.record.tally import TALLY
from everyspan.spool.log import Log
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind

_OPEN_SPANS = 10_000
"""Most open spans remembered: those that never end must not pile up."""


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
        self._open: OrderedDict[int, None] = OrderedDict()
        """Ids of the spans that began in this process and have not ended."""
        self._parents: frozenset[int] = frozenset()
        """Ids of the spans that were open in the parent process when it forked."""

    def forked(self) -> None:
        """In a forked child: spans that are open belong to the parent, which records how they end."""
        self._lock = threading.Lock()  # somebody may have held it, and is not here to give it back
        self._parents |= frozenset(self._open)
        self._open.clear()

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
            self._open[_id_of(span)] = None
            if len(self._open) > _OPEN_SPANS:
                self._open.popitem(last=False)
            encoded = encode_started(span)
            outlet.log.append(Kind.START, encoded.payload, stamp_at=encoded.stamp_at)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record the start of a span", error)

    def write_span(
        self, outlet: Outlet, span: ReadableSpan, *, extra: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """Put a span that has ended on disk and wake the sender. Never raises.

        A `with` block that a forked child leaves ends its parent's span there too: that end is only counted.
        """
        try:
            if _id_of(span) in self._parents:
                TALLY.parents_spans += 1
                return
            self._open.pop(_id_of(span), None)
            encoded = encode_span(span, extra=extra)
            outlet.log.append(Kind.SPAN, encoded.payload, stamp_at=encoded.stamp_at)
            self._wake()
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record a span", error)


def _id_of(span: ReadableSpan) -> int:
    return span.context.span_id if span.context is not None else 0
