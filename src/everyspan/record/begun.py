"""Spans that have begun and not ended: what their ends need to know of their START frames."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from operator import is_
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from everyspan.model.ids import WriterId
from everyspan.wire.values import Attributes

_MOST_SPANS = 10_000
"""Most of them remembered: those that never end must not pile up."""
_MOST_BYTES = 16 << 20
"""Most bytes of START frames that are kept to be used again; beyond that a span is written anew at its end."""

_NOTHING = memoryview(b"")

Key = tuple[int, int]
"""A log, by `id`, and a span id."""


class Begun(NamedTuple):
    """What is remembered of one START frame."""

    writer: WriterId
    """Who wrote it, and alone may tell the span's end."""
    name: str | None = None
    attributes: Attributes = ()
    """The span's name and attributes then."""
    encoded: memoryview = _NOTHING
    """How they were written, after the content policy's judgement; empty when that is not to be used again."""

    def is_start_of(self, span: ReadableSpan, attributes: Attributes) -> bool:
        """Whether a span with these attributes still begins as it did: with the very same objects."""
        own = self.attributes
        if not self.encoded or span.name is not self.name or len(attributes) < len(own):
            return False
        return all(map(is_, chain.from_iterable(own), chain.from_iterable(attributes)))


class BegunSpans:
    """Remembers `Begun` by log and span, within limits. Safe from any thread: each step is one of a dict's."""

    def __init__(self) -> None:
        self._held: OrderedDict[Key, Begun] = OrderedDict()
        self._size_bytes = 0

    def remember(self, key: Key, begun: Begun) -> None:
        """Keep `begun` until `take` asks for it."""
        if self._size_bytes + len(begun.encoded) > _MOST_BYTES:
            begun = Begun(begun.writer)
        size_bytes = len(begun.encoded)  # no call between reading the sum and writing it
        self._size_bytes += size_bytes
        self._held[key] = begun
        if len(self._held) > _MOST_SPANS:
            _, oldest = self._held.popitem(last=False)
            size_bytes = len(oldest.encoded)
            self._size_bytes -= size_bytes

    def take(self, key: Key) -> Begun | None:
        """What was remembered, once; None when nothing was."""
        begun = self._held.pop(key, None)
        if begun is not None:
            size_bytes = len(begun.encoded)
            self._size_bytes -= size_bytes
        return begun
