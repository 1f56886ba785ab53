"""What one batch brings of one writer, before it is added to what is known."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from everyspan.store.reads import Range
from everyspan.store.rows import INTERRUPTED, Numbers, Sighting, SpanRow


@dataclass(slots=True)
class News:
    """What one batch brings of one writer."""

    services: set[str] = field(default_factory=set)
    spans: int = 0
    interrupted: int = 0
    begun: list[Range] = field(default_factory=list)
    other: list[Range] = field(default_factory=list)
    """Numbers that arrived and begin nothing: ends of calls."""
    dropped: dict[str, list[Range]] = field(default_factory=lambda: defaultdict(list))
    spooled_to: int = 0
    closed: bool = False
    seen_ns: int = 0
    about: tuple[int, str] = (0, "{}")

    def add_span(self, row: SpanRow, seq: int) -> None:
        self.spans += 1
        self.seen_ns = max(self.seen_ns, row.received_ns)
        self.services.update((row.service,) if row.service else ())
        if row.end == INTERRUPTED:
            # It carries the number of its own begin, which may never have arrived on its own.
            self.interrupted += 1
            self.begun.append((seq, seq))
        else:
            self.other.append((seq, seq))

    def add_outdone(self, row: SpanRow, seq: int) -> None:
        """An interrupted span whose finished twin is there: its number arrived, and it is no span of its own."""
        self.seen_ns = max(self.seen_ns, row.received_ns)
        self.services.update((row.service,) if row.service else ())
        self.begun.append((seq, seq))

    def add_numbers(self, numbers: Numbers) -> None:
        there = (numbers.first, numbers.last)
        if numbers.dropped:
            self.dropped[numbers.reason].append(there)
        elif numbers.reason == "close":
            self.closed = True
            self.spooled_to = max(self.spooled_to, numbers.last)
        elif numbers.reason == "start":
            self.begun.append(there)
        elif numbers.reason != "header":
            self.other.append(there)

    def add_sighting(self, sighting: Sighting) -> None:
        self.spooled_to = max(self.spooled_to, sighting.spooled_to)
        self.closed = self.closed or sighting.closed
        self.seen_ns = max(self.seen_ns, sighting.seen_ns)
        if sighting.about != "{}":
            self.about = max(self.about, (sighting.seen_ns, sighting.about))
