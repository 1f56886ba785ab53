"""What no store can hold. One impossible value must not block the batch it came with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from everyspan.model.ids import Seq
from everyspan.store import exact
from everyspan.store.reads import Refused
from everyspan.store.rows import Numbers, Sighting, SpanRow

LATEST_NS = (1 << 63) - 1
"""The latest time: what a signed 64-bit column holds, in the year 2262."""

MOST_SEQ = 1 << 62
"""The largest sequence number; its neighbours must fit into a column too."""

MOST_TOKENS = 10**10
"""Above this a token count is not a count; below it, 900 million spans can be summed in 64 bits."""

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_TEXTS = (
    *("name", "kind", "service", "scope", "status", "end", "provider", "model", "response_id"),
    *("user", "session", "environment", "trace_name", "unbilled"),
)
_token_counts, _texts = attrgetter(*_TOKENS), attrgetter(*_TEXTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What can be kept of one insert, and what can not."""

    spans: Sequence[SpanRow]
    numbers: Sequence[Numbers]
    """Those handed in, and the numbers of refused spans as dropped."""
    sightings: Sequence[Sighting]
    refused: tuple[Refused, ...]


def acceptable(spans: Sequence[SpanRow], numbers: Sequence[Numbers], sightings: Sequence[Sighting]) -> Batch:
    """Sort out what can not be kept, and repair text that is no text."""
    rows: list[SpanRow] = []
    ranges: list[Numbers] = []
    seen: list[Sighting] = []
    refused: list[Refused] = []
    for row in spans:
        why = refusal(row)
        if why:
            refused.append(Refused(project=repair(row.project), key=repair(row.key), why=why))
            ranges += _as_dropped(row, why)
        else:
            rows.append(clean(row))
    for range_ in numbers:
        why = _numbers_refusal(range_)
        if why:
            refused.append(Refused(project=repair(range_.project), key=repair(range_.writer), why=why))
        else:
            ranges.append(replace(range_, reason=repair(range_.reason)))
    for sighting in sightings:
        why = _sighting_refusal(sighting)
        if why:
            refused.append(Refused(project=repair(sighting.project), key=repair(sighting.writer), why=why))
        else:
            seen.append(replace(sighting, about=repair(sighting.about)))
    return Batch(spans=rows, numbers=ranges, sightings=seen, refused=tuple(refused))


def refusal(row: SpanRow) -> str:
    """Why this row can not be kept, in words; empty when it can."""
    times = (row.start_ns, row.end_ns, row.received_ns, row.first_token_ns or 0)
    if not 0 <= min(times) <= max(times) <= LATEST_NS:
        return f"a time is outside 1970 to 2262 ({min(times)} to {max(times)} ns)"
    if not is_unicode(
        (row.project, row.key, row.trace_id, row.span_id, row.parent_id or "", row.writer or "")
    ):
        return "its identity is not Unicode text"
    if (row.writer is None) != (row.seq is None):
        return "it has half a stamp"
    if row.seq is not None and not 1 <= row.seq <= MOST_SEQ:
        return f"its sequence number is {row.seq}"
    counts = [count for count in _token_counts(row.usage) if count is not None]
    if counts and not 0 <= min(counts) <= max(counts) <= MOST_TOKENS:
        return f"its token counts are impossible ({min(counts)} to {max(counts)})"
    if row.cost is not None and not exact.fits(row.cost):
        return f"its cost {str(row.cost)[:40]} has more than {exact.DECIMALS} decimals or is out of range"
    return ""


def clean(row: SpanRow) -> SpanRow:
    """The row with lone surrogates in its short texts replaced by U+FFFD: no database takes them as text.

    They come from JSON with escapes such as `\\ud800`. Bodies keep theirs.
    """
    texts: tuple[str, ...] = _texts(row)
    if is_unicode((*texts, *row.tags)):
        return row
    repaired = {name: repair(text) for name, text in zip(_TEXTS, texts, strict=True)}
    return replace(row, **repaired, tags=tuple(map(repair, row.tags)))  # type: ignore[arg-type]


def is_unicode(texts: Iterable[str]) -> bool:
    """Whether all of them can be encoded."""
    joined = "".join(texts)
    try:
        return joined.isascii() or bool(joined.encode())
    except UnicodeEncodeError:
        return False


def repair(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates."""
    return text if is_unicode((text,)) else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _numbers_refusal(numbers: Numbers) -> str:
    # `close` and `header` frames carry number 0.
    least = 0 if numbers.reason in ("close", "header") else 1
    if least <= numbers.first <= numbers.last <= MOST_SEQ and is_unicode((numbers.project, numbers.writer)):
        return ""
    return f"{repair(numbers.reason)}: numbers {numbers.first} to {numbers.last} are impossible"


def _sighting_refusal(sighting: Sighting) -> str:
    possible = 0 <= sighting.spooled_to <= MOST_SEQ and 0 <= sighting.seen_ns <= LATEST_NS
    if possible and is_unicode((sighting.project, sighting.writer)):
        return ""
    return f"spooled to {sighting.spooled_to} at {sighting.seen_ns} ns is impossible"


def _as_dropped(row: SpanRow, why: str) -> list[Numbers]:
    """What the audit learns of a refused row: its number with the reason, when it has a usable one."""
    if row.writer is None or row.seq is None or not 1 <= row.seq <= MOST_SEQ:
        return []
    if not is_unicode((row.project, row.writer)):
        return []
    reason, seq = f"refused by the store: {why}", Seq(row.seq)
    return [Numbers(project=row.project, writer=row.writer, first=seq, last=seq, reason=reason, dropped=True)]
