"""What became of every span that was handed to a log, as numbers."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from everyspan.model.ids import Seq, WriterId

_NO_SEQ = Seq(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Numbers of one log since this process began (a fork begins anew).

    spans = on_disk + in_memory + the sum of dropped. A BATCH frame counts as a span.
    """

    writer: WriterId | None = None
    """None before the first append."""
    last_seq: Seq = _NO_SEQ
    """The highest number given out; START frames take numbers too."""
    spans: int = 0
    """SPAN frames appended."""
    on_disk: int = 0
    """Of these, written to a segment, or delivered from memory; what was delivered since is included."""
    in_memory: int = 0
    """Of these, waiting in memory for the disk to come back."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Of these, not kept, by reason: `cap`, `gave way`, `disk`, `too large`, `deleted`, `interrupted`, `refused`."""
    acknowledged: int = 0
    """Of those on disk, acknowledged by the destination."""
    set_aside: int = 0
    """Of those on disk, refused by the destination and put into quarantine."""
    unacknowledged_bytes: int = 0
    """What waits on disk; `cap_bytes` limits it."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """System calls that failed, by errno's name, such as ENOSPC."""


class DropNote(NamedTuple):
    """Frames that could not be kept, as a DROP frame will name them."""

    reason: str
    ranges: list[list[int]]
    """First and last numbers, both included."""
    spans: int


class Tally:
    """The numbers behind `Counts`. Its log's lock guards it."""

    def __init__(self) -> None:
        self.on_disk = 0
        self.in_memory = 0
        self.acknowledged = 0
        self.set_aside = 0
        self.dropped: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.untold_notes: dict[str, DropNote] = {}
        """By reason, what no DROP frame names yet."""

    @property
    def spans(self) -> int:
        """All that were handed over."""
        return self.on_disk + self.in_memory + sum(self.dropped.values())

    def failed(self, error: OSError) -> None:
        """Count a system call that failed."""
        self.errors[errno.errorcode.get(error.errno or 0, type(error).__name__)] += 1

    def drop(self, reason: str, first: int, last: int, *, spans: int) -> None:
        """Count frames `first` to `last`, `spans` of them spans, as dropped, and remember to tell."""
        if spans:
            self.dropped[reason] += spans
        note = self.untold_notes.get(reason) or DropNote(reason, [], 0)
        if note.ranges and note.ranges[-1][1] == first - 1:
            note.ranges[-1][1] = last
        else:
            note.ranges.append([first, last])
        self.untold_notes[reason] = note._replace(spans=note.spans + spans)

    def untold(self) -> list[DropNote]:
        """What no DROP frame names yet."""
        return list(self.untold_notes.values())

    def told(self, note: DropNote) -> None:
        """A DROP frame names `note` now; what was dropped since is still to be told."""
        current = self.untold_notes.pop(note.reason, None)
        if current is None:
            return
        last = note.ranges[-1][1]
        rest = [[max(start, last + 1), end] for start, end in current.ranges if end > last]
        if rest:
            self.untold_notes[note.reason] = DropNote(note.reason, rest, current.spans - note.spans)

    def retell(self, note: DropNote) -> None:
        """The DROP frame that named `note` is gone, undelivered: it is counted already, and to be told again."""
        current = self.untold_notes.get(note.reason) or DropNote(note.reason, [], 0)
        ranges: list[list[int]] = []
        for first, last in sorted([*note.ranges, *current.ranges]):
            if ranges and ranges[-1][1] >= first - 1:
                ranges[-1][1] = max(last, ranges[-1][1])
            else:
                ranges.append([first, last])
        self.untold_notes[note.reason] = DropNote(note.reason, ranges, note.spans + current.spans)

    def forget_untold(self) -> None:
        """The writer ended without a disk to tell it to."""
        self.untold_notes.clear()
