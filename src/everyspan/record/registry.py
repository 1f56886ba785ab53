"""The destinations of this process, each with the log that its spans are written to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from everyspan.model.destination import Destination, Dialect
from everyspan.record import names
from everyspan.record.shed import ShedSpan
from everyspan.record.tally import TALLY
from everyspan.spool.log import Log
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind
from everyspan.wire.part import encode_part

_OPEN_SPANS = 10_000
"""Most open spans remembered: those that never end must not pile up."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """One destination and its log."""

    destination: Destination
    log: Log


class Arrived(NamedTuple):
    """What came of an answer since the last time somebody looked."""

    attributes: Mapping[str, AttributeValue]
    """What is known now."""
    grows: list[tuple[str, str]]
    """Attribute and text: it continues the text that came before."""
    closes: dict[str, str]
    """What makes each of these texts whole when nothing follows."""


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
        self.masked: frozenset[str] = frozenset()
        """Ids of destinations before whose log a filter or mask of the user's stands, which sees whole spans only."""
        self._open: OrderedDict[int, None] = OrderedDict()
        """Ids of the spans that began in this process and have not ended."""
        self._disowned: frozenset[int] = frozenset()
        """Ids of the spans whose end is not ours to record any more."""

    def forked(self) -> None:
        """In a forked child: spans that are open belong to the parent, which records how they end."""
        self._lock = threading.Lock()  # somebody may have held it, and is not here to give it back
        self.disown_open_spans()

    def disown_open_spans(self) -> None:
        """Count the ends of the spans that are open now, and do not record them.

        Before the logs are closed at the end of the process: a closed log tells of each span that it saw begin and
        not end as interrupted, and an end that came after that, in the log's next writer, would make it two.
        """
        self._disowned |= frozenset(self._open)
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
            encoded = encode_started(ShedSpan(span) if outlet.log.crowded else span)
            outlet.log.append(Kind.START, encoded.payload, stamp_at=encoded.stamp_at)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record the start of a span", error)

    def write_part(self, span: Span, number: int, arrived: Arrived) -> None:
        """Put what came of an unfinished answer on disk; destinations with a mask in front of them get none of it.

        Args:
            number: from 1, counting the parts of this answer.
        """
        outlets = [each for each in self.outlets if each.destination.id not in self.masked]
        if not outlets or not span.is_recording():
            return
        context = span.get_span_context()
        ids = context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big")
        payload = encode_part(
            ids, number, attributes=arrived.attributes, grows=arrived.grows, closes=arrived.closes
        )
        for outlet in outlets:
            outlet.log.append(Kind.PART, payload)

    def write_span(
        self, outlet: Outlet, span: ReadableSpan, *, extra: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """Put a span that has ended on disk and wake the sender. Never raises.

        The end of a span that was disowned is only counted: a `with` block that a forked child leaves, too, ends
        its parent's span.
        """
        try:
            if _id_of(span) in self._disowned:
                TALLY.disowned += 1
                return
            self._open.pop(_id_of(span), None)
            if outlet.log.crowded:
                span = ShedSpan(span)
                TALLY.shed += names.SHED in (span.attributes or {})
            encoded = encode_span(span, extra=extra)
            outlet.log.append(Kind.SPAN, encoded.payload, stamp_at=encoded.stamp_at)
            self._wake()
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record a span", error)


def _id_of(span: ReadableSpan) -> int:
    return span.context.span_id if span.context is not None else 0
