"""Take the queue out of a BatchSpanProcessor, and put our log in the place of its exporter.

The stock queue drops spans when it is full, when the process is killed, and when the receiver is away for more than
ten seconds, without telling anyone. The processor itself stays, with whatever its owner built around the exporter:
filters, masking, media handling run as before, but at the end of the span, before anything reaches the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from everyspan.model.destination import Destination, Dialect
from everyspan.record.processor import CARRIES
from everyspan.record.registry import Outlet, Registry
from everyspan.record.shadows import Shadows
from everyspan.record.tally import TALLY

# They would claim that another SDK of another version sends this.
_NOT_OURS = (
    "x-langfuse-sdk-name",
    "x-langfuse-sdk-version",
    "content-type",
    "content-encoding",
    "user-agent",
)


class SpoolExporter(SpanExporter):
    """Stands at the end of a chain of exporters and writes to the log of one destination."""

    def __init__(self, outlet: Outlet, registry: Registry, shadows: Shadows) -> None:
        self._outlet = outlet
        self._registry = registry
        self._shadows = shadows

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans: a START frame for one that has not ended, else a SPAN frame."""
        for span in spans:
            if span.end_time is None:
                self._registry.write_start(self._outlet, span)
                continue
            mark = self._shadows.mark(span)
            if mark is None or not self._shadows.is_inside(span):
                self._registry.write_span(self._outlet, span, extra=mark)
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver everything that was recorded; True when all of it arrived in time."""
        return self._registry.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Nothing to do: what was written is kept."""


class DirectQueue:
    """Takes the place of the processor's queue: hands each span over at once, on the thread that ended it."""

    def __init__(self, exporter: Any, registry: Registry) -> None:
        self._exporter = exporter
        self._registry = registry

    def emit(self, span: ReadableSpan) -> None:
        """Pass one span to the exporters; never raises."""
        try:
            self._exporter.export((span,))
        except Exception as error:  # noqa: BLE001 - the owner's filter or mask failed: counted, the call goes on
            TALLY.fault("export a span", error)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Deliver everything that was recorded; True when all of it arrived in time."""
        return self._registry.flush((timeout_millis or 30_000) / 1_000)

    def shutdown(self, timeout_millis: int = 30_000) -> None:
        """Nothing to do: what was written is kept, and spans may still end after a shutdown."""

    # A BatchSpanProcessor of OpenTelemetry before 1.34 is its own queue, and speaks to it as to a deque.
    # Always empty, so that its worker thread sleeps on.
    appendleft = emit

    def __len__(self) -> int:
        return 0

    def clear(self) -> None:
        """Nothing to do: a forked child has nothing to forget."""


def take_over(
    processor: Any,
    registry: Registry,
    shadows: Shadows,
    *,
    dialect: Dialect,
    choose: Callable[[Destination], Destination] | None = None,
) -> DirectQueue | None:
    """Let a BatchSpanProcessor over OTLP/HTTP write to the log of its destination, through the queue returned.

    Spans that wait in its queue are moved. Returns None, and changes nothing, for any other exporter: it was the
    user's choice, and it goes where we can not.

    Raises:
        AttributeError: the OpenTelemetry SDK's private names have changed.
    """
    queue = getattr(processor, "_batch_processor", None)
    if isinstance(queue or processor.queue, DirectQueue):
        return None
    holder, name = (queue, "_exporter") if queue is not None else (processor, "span_exporter")
    outermost = getattr(holder, name)
    while hasattr(getattr(holder, name), "_exporter"):
        holder, name = getattr(holder, name), "_exporter"
    destination = _destination(getattr(holder, name), dialect)
    if destination is None:
        return None
    outlet = registry.add(choose(destination) if choose else destination)
    registry.masked |= {outlet.destination.id}
    ours = SpoolExporter(outlet, registry, shadows)
    direct = DirectQueue(ours if holder in (queue, processor) else outermost, registry)
    setattr(holder, name, ours)
    setattr(processor, CARRIES, outlet.destination.id)
    if queue is not None:
        processor._batch_processor = direct
        # Ends the worker thread, which empties the queue into the exporter that is ours now.
        queue._shutdown = True
        queue._worker_awaken.set()
    else:
        _replace_deque(processor, direct)
    return direct


def _replace_deque(processor: Any, direct: DirectQueue) -> None:
    """For OpenTelemetry before 1.34, whose processor must not be shut down: it would refuse spans from then on."""
    waiting, processor.queue = processor.queue, direct
    processor.force_flush = direct.force_flush
    processor.shutdown = direct.shutdown
    while waiting:
        direct.emit(waiting.pop())


def _destination(exporter: Any, dialect: Dialect) -> Destination | None:
    cls = type(exporter)
    if cls.__name__ != "OTLPSpanExporter" or "proto.http" not in cls.__module__:
        return None
    client = getattr(
        exporter, "_client", None
    )  # opentelemetry-exporter-otlp-proto-http >= 1.44 keeps them there
    headers: Mapping[str, str] = exporter._headers if hasattr(exporter, "_headers") else client._headers  # type: ignore[union-attr]
    kept = tuple((name, value) for name, value in headers.items() if name.lower() not in _NOT_OURS)
    return Destination(url=exporter._endpoint, headers=kept, dialect=dialect)
