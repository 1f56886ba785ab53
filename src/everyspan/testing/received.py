"""OTLP request bodies as plain values, for assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from everyspan.wire.decode import pieces
from everyspan.wire.protobuf import DOUBLE, FIXED64, LENGTH, VARINT, fields, read_varint

Value = str | bool | int | float | bytes | list["Value"] | dict[str, "Value"] | None
"""What an OTLP attribute can hold."""

_STATUS = ("unset", "ok", "error")
_RESOURCE_SPANS = 1


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span as it came over the wire. Ids are hex; `parent_id` is empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]
    status: str = "unset"
    """`unset`, `ok` or `error`."""
    status_message: str = ""
    resource: Mapping[str, Value] = field(default_factory=dict)
    scope: str = ""
    """The name of the instrumentation scope."""

    @property
    def stamp(self) -> str:
        """`everyspan.stamp`: two spans with the same one are copies of each other. Empty when there is none."""
        return str(self.attributes.get("everyspan.stamp", ""))


def decode_spans(body: bytes) -> list[ReceivedSpan]:
    """The spans of an `ExportTraceServiceRequest`; whatever else is in it is passed over.

    Raises:
        everyspan.errors.WireError: `body` is not a protobuf message.
    """
    return [
        span
        for piece in pieces(body)
        if piece.field == _RESOURCE_SPANS
        for span in _resource_spans(piece.payload)
    ]


class _Message:
    """The fields of one message, by number."""

    def __init__(self, data: bytes) -> None:
        self._parts: dict[int, list[bytes]] = {}
        self._numbers: dict[int, int] = {}
        for part in fields(data, 0, len(data)):
            raw = data[part.value_start : part.end]
            if part.wire_type == VARINT:
                self._numbers[part.number] = read_varint(raw, 0, len(raw))[0]
            elif part.wire_type == FIXED64:
                self._numbers[part.number] = int.from_bytes(raw, "little")
            elif part.wire_type == LENGTH:
                self._parts.setdefault(part.number, []).append(raw)

    def has(self, number: int) -> bool:
        return number in self._parts or number in self._numbers

    def all(self, number: int) -> list[bytes]:
        return self._parts.get(number, [])

    def one(self, number: int) -> bytes:
        return self.all(number)[-1] if self.all(number) else b""

    def text(self, number: int) -> str:
        return self.one(number).decode("utf-8", "replace")

    def number(self, number: int) -> int:
        return self._numbers.get(number, 0)


def _resource_spans(payload: bytes) -> list[ReceivedSpan]:
    outer = _Message(payload)
    resource = _attributes(_Message(outer.one(1)).all(1))
    return [
        _span(_Message(span), resource, _Message(scope_spans.one(1)).text(1))
        for scope_spans in map(_Message, outer.all(2))
        for span in scope_spans.all(2)
    ]


def _span(message: _Message, resource: Mapping[str, Value], scope: str) -> ReceivedSpan:
    status = _Message(message.one(15))
    code = status.number(3)
    return ReceivedSpan(
        trace_id=message.one(1).hex(),
        span_id=message.one(2).hex(),
        parent_id=message.one(4).hex(),
        name=message.text(5),
        start_ns=message.number(7),
        end_ns=message.number(8),
        attributes=_attributes(message.all(9)),
        status=_STATUS[code] if code < len(_STATUS) else str(code),
        status_message=status.text(2),
        resource=resource,
        scope=scope,
    )


def _attributes(pairs: list[bytes]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in map(_Message, pairs):
        found[pair.text(1)] = _value(_Message(pair.one(2)))
    return found


def _value(value: _Message) -> Value:
    if value.has(1):
        return value.text(1)
    if value.has(2):
        return bool(value.number(2))
    if value.has(3):
        number = value.number(3)
        return number - (1 << 64) if number >> 63 else number
    if value.has(4):
        return float(DOUBLE.unpack(value.number(4).to_bytes(8, "little"))[0])
    if value.has(5):
        return [_value(_Message(item)) for item in _Message(value.one(5)).all(1)]
    if value.has(6):
        return _attributes(_Message(value.one(6)).all(1))
    return value.one(7) if value.has(7) else None
