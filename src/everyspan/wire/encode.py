"""An OpenTelemetry span as OTLP bytes, in pure Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.util.types import AttributeValue


class Encoded(NamedTuple):
    """A frame's payload, and where in it the log writes the stamp."""

    payload: bytearray
    stamp_at: int


def encode_span(span: ReadableSpan, *, extra: Mapping[str, AttributeValue] | None = None) -> Encoded:
    """The payload of a SPAN frame."""
    raise NotImplementedError


def encode_started(span: ReadableSpan) -> Encoded:
    """The payload of a START frame."""
    raise NotImplementedError


def encode_interrupted(start_payload: bytes, *, end_ns: int) -> bytes:
    """The payload of the SPAN frame that stands for a call whose process died."""
    raise NotImplementedError
