"""The destinations of this process, each with the log that its spans are written to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from everyspan.model.destination import Destination, Dialect
from everyspan.model.ids import WRITER_ID_LENGTH, WriterId
from everyspan.record import names
from everyspan.record.begun import Begun, BegunSpans
from everyspan.record.content import ContentPolicy
from everyspan.record.ledger import entry_of, is_entry
from everyspan.record.media import Media
from everyspan.record.shadows import unbilled_for_langfuse
from everyspan.record.shed import ShedSpan
from everyspan.record.tally import TALLY
from everyspan.settings import Content, SampledOut
from everyspan.spool.log import Kept, Log
from everyspan.wire.encode import Encoded, encode_ended, encode_span, encode_started
from everyspan.wire.frame import Kind
from everyspan.wire.part import encode_part
from everyspan.wire.stamp import PLACEHOLDER
from everyspan.wire.values import attributes_of

# A member of an enum takes longer to look up than many a line that uses it (Python 3.11).
_START, _SPAN, _DROPPED, _DISOWNED = Kind.START, Kind.SPAN, Kept.DROPPED, Kept.DISOWNED


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
        policy: what of a span's texts may reach the disk.
        sampled_out: what becomes of calls of which the user's sampler wants no span.
    """

    def __init__(
        self,
        *,
        open_log: Callable[[Destination], Log],
        wake: Callable[[], None],
        flush: Callable[[float], bool],
        policy: ContentPolicy | None = None,
        sampled_out: SampledOut = SampledOut.LEDGER,
    ) -> None:
        self._open_log = open_log
        self._policy = policy or ContentPolicy(content=Content.FULL, media=Media())
        self._wake = wake
        self.keeps_ledger = sampled_out is SampledOut.LEDGER
        self.flush = flush
        self._lock = threading.Lock()
        self.outlets: tuple[Outlet, ...] = ()
        self.for_otlp = False
        """Whether a receiver reads OpenTelemetry's GenAI attributes: decides what a call writes."""
        self.for_langfuse = False
        """Whether a receiver reads Langfuse's."""
        self.masked: frozenset[str] = frozenset()
        """Ids of destinations before whose log a filter or mask of the user's stands, which sees whole spans only."""
        self.reserved: frozenset[str] = frozenset()
        """Ids of Langfuse destinations that get those spans alone which name their project."""
        self._begun = BegunSpans()
        self.current_project: Callable[[], str | None] = _no_project
        """The public key of the Langfuse project that the code which runs now was said to belong to."""

    def forked(self) -> None:
        """In a forked child: another thread may have held the lock, and is not here to give it back."""
        self._lock = threading.Lock()

    def add(self, destination: Destination) -> Outlet:
        """The outlet of a destination; made when its id is new."""
        with self._lock:
            for outlet in self.outlets:
                if outlet.destination.id == destination.id:
                    return outlet
            outlet = Outlet(destination, self._open_log(destination))
            self.outlets = (*self.outlets, outlet)
            self.for_otlp = self.for_otlp or destination.dialect is Dialect.OTLP
            self.for_langfuse = self.for_langfuse or destination.dialect is Dialect.LANGFUSE
            return outlet

    def withholds(self, destination: Destination, span: object) -> bool:
        """Whether a destination is reserved for spans that name its project, and this one does not."""
        if destination.id not in self.reserved:
            return False
        return (getattr(span, "attributes", None) or {}).get(names.LANGFUSE_PROJECT) != destination.account

    def describe(self, more: Mapping[str, object]) -> None:
        """Tell every destination something about this process. Never raises."""
        for outlet in self.outlets:
            try:
                outlet.log.describe(more)
            except Exception as error:  # noqa: BLE001 - the guard of this entry point
                TALLY.fault("describe the process", error)
        self._wake()

    def write_start(self, outlet: Outlet, span: ReadableSpan) -> None:
        """Put a span that has just begun on disk, so that the death of the process cannot hide it. Never raises."""
        try:
            if _is_anothers(outlet.destination, span):
                return
            log = outlet.log
            if is_entry(span):
                span = entry_of(span)
            name, attributes = span.name, attributes_of(span)
            usable = not log.crowded
            if usable and self._policy.passes(span, attributes):
                encoded = encode_started(span, attributes=attributes)
            else:
                judged = self._policy.applied(span)
                encoded = encode_started(judged if usable else ShedSpan(judged))
                # A mask sees the whole at the end, too; and what replaces one attribute may depend on others.
                usable = usable and self._policy.takes_pieces
            kept = log.append(_START, encoded.payload, stamp_at=encoded.stamp_at)
            writer = encoded.payload[encoded.stamp_at : encoded.stamp_at + WRITER_ID_LENGTH]
            if kept is not _DROPPED and not PLACEHOLDER.startswith(writer):
                wrote = WriterId(writer.decode())
                begun = Begun(wrote, name, attributes, encoded.begun) if usable else Begun(wrote)
                self._begun.remember((id(log), encoded.span_id), begun)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record the start of a span", error)

    def write_part(self, span: Span, number: int, arrived: Arrived) -> None:
        """Put what came of an unfinished answer on disk; destinations with a mask in front of them get none of it.

        Args:
            number: from 1, counting the parts of this answer.
        """
        outlets = [
            each
            for each in self.outlets
            if each.destination.id not in self.masked
            and not _is_anothers(each.destination, span)
            and not self.withholds(each.destination, span)
        ]
        if not outlets or not span.is_recording():
            return
        context = span.get_span_context()
        ids = context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big")
        policy = self._policy
        takes_pieces = policy.takes_pieces and not is_entry(span)
        grows = [(name, policy.piece(text)) for name, text in arrived.grows] if takes_pieces else []
        closes = arrived.closes if takes_pieces else {}
        payload = encode_part(ids, number, attributes=arrived.attributes, grows=grows, closes=closes)
        for outlet in outlets:
            outlet.log.append(Kind.PART, payload)

    def write_span(
        self, outlet: Outlet, span: ReadableSpan, *, extra: Mapping[str, AttributeValue] | None = None
    ) -> None:
        """Put a span that has ended on disk and wake the sender. Never raises.

        Only the writer that has its START can tell the end of a span. It is another one in a forked child that leaves
        its parent's `with` block, and after the logs were closed at the end of the process; such ends are counted.
        """
        try:
            if _is_anothers(outlet.destination, span):
                return
            if extra is not None and outlet.destination.dialect is Dialect.LANGFUSE:
                span = unbilled_for_langfuse(span)
            if is_entry(span):
                span = entry_of(span)
            begun = self._begun.take((id(outlet.log), span.context.span_id)) if span.context else None
            encoded = self._encoded_end(outlet.log, span, begun, extra)
            begun_by = begun.writer if begun is not None else None
            kept = outlet.log.append(_SPAN, encoded.payload, stamp_at=encoded.stamp_at, only_by=begun_by)
            if kept is _DISOWNED:
                TALLY.disowned += 1
            self._wake()
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("record a span", error)

    def _encoded_end(
        self,
        log: Log,
        span: ReadableSpan,
        begun: Begun | None,
        extra: Mapping[str, AttributeValue] | None,
    ) -> Encoded:
        """The SPAN frame's payload. What stands in the START frame was judged and written there: it is used again."""
        attributes = attributes_of(span)
        if not log.crowded:
            if begun is not None and begun.is_start_of(span, attributes):
                since = attributes[len(begun.attributes) :]
                if self._policy.passes(span, since):
                    return encode_ended(span, begun.encoded, attributes=since, extra=extra)
            elif self._policy.passes(span, attributes):
                return encode_span(span, attributes=attributes, extra=extra)
        span = self._policy.applied(span)
        if log.crowded:
            span = ShedSpan(span)
            TALLY.shed += names.SHED in (span.attributes or {})
        return encode_span(span, extra=extra)


def _no_project() -> str | None:
    return None


def _is_anothers(destination: Destination, span: object) -> bool:
    """Whether a span belongs to another Langfuse project than this one. What is no Langfuse gets all."""
    if destination.dialect is not Dialect.LANGFUSE:
        return False
    project = (getattr(span, "attributes", None) or {}).get(names.LANGFUSE_PROJECT)
    return project is not None and project != destination.account
