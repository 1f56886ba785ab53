"""What became of every span that was handed to a log, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from everyspan.model.ids import Seq, WriterId


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Numbers of one log since this process began (a fork begins anew).

    spans = on_disk + in_memory + the sum of dropped. A BATCH frame counts as a span.
    """

    writer: WriterId | None = None
    """None before the first append."""
    last_seq: Seq = Seq(0)
    """The highest number given out; START frames take numbers too."""
    spans: int = 0
    """SPAN frames appended."""
    on_disk: int = 0
    """Of these, written to a segment; delivered ones included."""
    in_memory: int = 0
    """Of these, waiting in memory for the disk to come back."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Of these, not kept, by reason: `cap`, `disk`, `too large`, `deleted`, `interrupted`."""
    acknowledged: int = 0
    """Of those on disk, acknowledged by the destination."""
    set_aside: int = 0
    """Of those on disk, refused by the destination and put into quarantine."""
    unacknowledged_bytes: int = 0
    """What waits on disk; `cap_bytes` limits it."""
    errors: Mapping[str, int] = field(default_factory=dict)
    """System calls that failed, by errno's name, such as ENOSPC."""
