"""From an inbox entry to rows: spans for the store, numbers and sightings for the audit."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from everyspan.collector.accept import RESOURCE_SPANS_FIELD, Envelope
from everyspan.collector.attributes import attributes_of
from everyspan.collector.cut import Bad, Budget, Decoded, cut
from everyspan.collector.limits import Limits
from everyspan.collector.mapping import Identity, Origin, span_row
from everyspan.errors import WireError
from everyspan.model.ids import Seq, WriterId
from everyspan.store.limits import MOST_SEQ
from everyspan.store.rows import Numbers, Sighting, SpanRow
from everyspan.wire.decode import Piece, pieces
from everyspan.wire.frame import Kind
from everyspan.wire.stamp import STAMP, Stamp, parse_stamp

_CONTROL_FIELD, _START_FIELD = 1001, 1002
_MOST_RANGES = 100_000
_SET_ASIDE = "set aside"
_STAMP_BYTES = STAMP.encode()


@dataclass(slots=True)
class Read:
    """What a body turned into."""

    spans: list[SpanRow] = field(default_factory=list)
    numbers: list[Numbers] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    unreadable: int = 0
    """Control frames that say nothing we understand; spans never count here."""

    def add(self, other: Read) -> None:
        """Take in what another body turned into."""
        self.spans += other.spans
        self.numbers += other.numbers
        self.sightings += other.sightings
        self.unreadable += other.unreadable


def read(envelope: Envelope, body: bytes, limits: Limits) -> Read:
    """Everything in a body that `examine` let in. The same body gives the same rows, whenever it is read.

    Raises:
        WireError: the body is not what was let in.
        CollectorError: the same, or the limits were lowered in between.
    """
    result = Read()
    budget, origins = Budget(limits), _Origins(envelope)
    if envelope.writer is not None:
        result.sightings.append(
            _sighting(envelope, envelope.writer, envelope.spooled_to, closed=envelope.closed)
        )
        result.numbers += _set_aside(envelope, envelope.writer)
    for piece in pieces(body):
        if piece.field == RESOURCE_SPANS_FIELD:
            _read_spans(piece, envelope, budget, origins, result)
        elif piece.field == _START_FIELD:
            _read_start(piece, envelope, limits, result)
        elif piece.field == _CONTROL_FIELD:
            _read_control(piece, envelope, result)
    return result


def warm_up(limits: Limits) -> None:
    """Read a call that is made up, so that the first real one finds everything loaded, such as prices."""
    request = ExportTraceServiceRequest()
    call = (
        request.resource_spans.add()
        .scope_spans.add()
        .spans.add(trace_id=b"\1" * 16, span_id=b"\1" * 8, name="chat")
    )
    call.attributes.add(key="gen_ai.operation.name").value.string_value = "chat"
    call.attributes.add(key="gen_ai.request.model").value.string_value = "gpt-4o"
    call.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 1
    read(Envelope(project="", received_ns=1), request.SerializeToString(), limits)


class _Origins:
    """The origin of a span, made once for neighbours that share their resource and scope."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._of: tuple[Any, Any] = (None, None)
        self._made: Origin | None = None

    def of(self, found: Decoded) -> Origin:
        """Where this span comes from."""
        if self._made is None or self._of[0] is not found.resource or self._of[1] is not found.scope:
            self._of = (found.resource, found.scope)
            self._made = Origin(
                project=self._envelope.project,
                received_ns=self._envelope.received_ns,
                resource=attributes_of(found.resource.attributes),
                key_id=self._envelope.key_id,
                scope=found.scope.name,
                scope_version=found.scope.version,
                scope_attributes=attributes_of(found.scope.attributes),
            )
        return self._made


def _read_spans(piece: Piece, envelope: Envelope, budget: Budget, origins: _Origins, result: Read) -> None:
    for found in cut(piece.payload, budget):
        if isinstance(found, Bad):
            _note_refusal(piece, envelope, found, result)
        else:
            result.spans.append(span_row(found.span, _identity(found), origins.of(found)))


def _identity(found: Decoded) -> Identity:
    if _STAMP_BYTES not in found.raw:
        return Identity(found.raw)
    # The last one counts, as for every attribute.
    stamps = [pair.value.string_value for pair in found.span.attributes if pair.key == STAMP]
    if stamps:
        try:
            writer, seq = parse_stamp(stamps[-1])
        except WireError:
            return Identity(found.raw)  # somebody's attribute of that name: the span is known by its content
        if seq <= MOST_SEQ:
            return Identity(found.raw, writer, seq)
    return Identity(found.raw)


def _note_refusal(piece: Piece, envelope: Envelope, bad: Bad, result: Read) -> None:
    """The sender was told; the audit shall not call a number missing whose end is known."""
    header, writer = piece.header, envelope.writer
    if header is None or writer is None or not 0 < header.seq <= MOST_SEQ:
        return
    reason = f"refused by the collector: {bad.why}"[:200]
    result.numbers.append(
        Numbers(
            project=envelope.project,
            writer=writer,
            first=header.seq,
            last=header.seq,
            reason=reason,
            dropped=True,
        )
    )


def _read_start(piece: Piece, envelope: Envelope, limits: Limits, result: Read) -> None:
    stamp = _start_stamp(piece, envelope, limits)
    if stamp is None:
        result.unreadable += 1
        return
    result.numbers.append(
        Numbers(
            project=envelope.project, writer=stamp.writer, first=stamp.seq, last=stamp.seq, reason="start"
        )
    )


def _start_stamp(piece: Piece, envelope: Envelope, limits: Limits) -> Stamp | None:
    for found in cut(piece.payload, Budget(limits)):
        if isinstance(found, Decoded):
            identity = _identity(found)
            if identity.writer is not None and identity.seq is not None:
                return Stamp(identity.writer, identity.seq)
    header, writer = piece.header, envelope.writer
    if header is None or writer is None or not 0 < header.seq <= MOST_SEQ:
        return None
    return Stamp(writer, header.seq)


def _read_control(piece: Piece, envelope: Envelope, result: Read) -> None:
    kind = piece.header.kind if piece.header is not None else 0
    try:
        said = json.loads(piece.payload)
        writer = WriterId(parse_stamp(f"{said['writer']}:{1:016x}").writer)
        if kind == Kind.HEADER:
            about = json.dumps(said, ensure_ascii=False)
            result.sightings.append(_sighting(envelope, writer, Seq(0), closed=False, about=about))
        elif kind == Kind.CLOSE:
            last = Seq(_whole(said["last"]))
            result.sightings.append(_sighting(envelope, writer, last, closed=True))
        elif kind == Kind.DROP:
            result.numbers += _dropped(said, writer, envelope)
        else:
            result.unreadable += 1
    except (ValueError, TypeError, KeyError, RecursionError, WireError):
        result.unreadable += 1


def _dropped(said: dict[str, Any], writer: WriterId, envelope: Envelope) -> list[Numbers]:
    ranges = said["ranges"]
    if len(ranges) > _MOST_RANGES:
        raise ValueError(f"{len(ranges)} ranges in one DROP frame; at most {_MOST_RANGES}")
    return [
        Numbers(
            project=envelope.project,
            writer=writer,
            first=Seq(_whole(first)),
            last=Seq(_whole(last)),
            reason=str(said.get("reason", ""))[:200] or "not said",
            dropped=True,
        )
        for first, last in ranges
        if 0 < _whole(first) <= _whole(last)
    ]


def _set_aside(envelope: Envelope, writer: WriterId) -> list[Numbers]:
    return [
        Numbers(
            project=envelope.project,
            writer=writer,
            first=Seq(first),
            last=Seq(last),
            reason=_SET_ASIDE,
            dropped=True,
        )
        for first, last in envelope.set_aside
    ]


def _sighting(
    envelope: Envelope, writer: WriterId, spooled_to: Seq, *, closed: bool, about: str = "{}"
) -> Sighting:
    return Sighting(
        project=envelope.project,
        writer=writer,
        spooled_to=spooled_to,
        closed=closed,
        seen_ns=envelope.received_ns,
        about=about,
    )


def _whole(number: object) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST_SEQ:
        raise ValueError(f"{number!r} is no number of a frame")
    return number
