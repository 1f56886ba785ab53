"""What one model call consumed, in the one shape that pricing, storage and UI share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter

from everyspan.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Whole tokens by kind. Totals are inclusive, as OpenTelemetry's GenAI conventions define them.

    `input_tokens` counts everything the model read: fresh, cached, written to a cache, audio and image tokens.
    `output_tokens` counts everything it wrote: text, reasoning, audio and image tokens. The other token fields
    are parts of those totals. None means "not reported", 0 means "reported as none".

    Source: OpenTelemetry semantic conventions for generative AI, `gen_ai.usage.*`.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    """All tokens written to a cache, whatever their lifetime."""
    cache_write_1h_tokens: int | None = None
    """The part of `cache_write_tokens` kept for one hour (Anthropic), which costs more than five minutes."""
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    cache_read_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    cache_read_image_tokens: int | None = None
    input_video_tokens: int | None = None
    output_video_tokens: int | None = None
    requests: int | None = None
    web_searches: int | None = None
    service_tier: str | None = None
    """The tier that was billed, in lower case: `default`, `flex`, `priority`, `fast`, ..."""
    batch: bool = False
    """True for calls through a provider's batch API."""
    region: str | None = None
    """Where the provider had to do the work, in lower case, when that is part of what was bought: `us`, `eu`."""

    def is_possible(self) -> bool:
        """Whether `problems` would find none; quicker, because every call is asked."""
        (
            inputs, outputs, read, written, hour, reasoning, heard, said, heard_again, seen, drawn, seen_again,
            watched, filmed, *_,
        ) = counts = _counts(self)  # fmt: skip
        for count in counts:
            if count and count < 0:
                return False
        if inputs is not None and (
            (read or 0) + (written or 0) > inputs or (heard or 0) + (seen or 0) + (watched or 0) > inputs
        ):
            return False
        if outputs is not None and (reasoning or 0) + (said or 0) + (drawn or 0) + (filmed or 0) > outputs:
            return False
        if hour and written is not None and hour > written:
            return False
        again = (heard_again or 0) + (seen_again or 0)
        return not again or read is None or again <= read

    def problems(self) -> tuple[str, ...]:
        """What is impossible in these counts, in words; empty when they can be true."""
        counts = {name: count for name, count in zip(COUNTS, _counts(self), strict=True) if count}
        found = []
        if min(counts.values(), default=0) < 0:
            found = [f"{name} is negative ({count})" for name, count in counts.items() if count < 0]
        for whole, parts in _PARTS:
            total = getattr(self, whole)
            if total is not None and not counts.keys().isdisjoint(parts):
                share = sum([counts.get(part, 0) for part in parts])
                if share > total:
                    found.append(f"{' + '.join(parts)} ({share}) is more than {whole} ({total})")
        return tuple(found)

    def check(self) -> None:
        """Raise UsageError when the counts contradict each other."""
        found = self.problems()
        if found:
            raise UsageError("impossible usage: " + "; ".join(found))


_set_inputs, _set_outputs, *_set_others = (getattr(Usage, each.name).__set__ for each in fields(Usage))
_NOTHING_ELSE = tuple((put, each.default) for put, each in zip(_set_others, fields(Usage)[2:], strict=True))


def usage_of_totals(input_tokens: int | None, output_tokens: int | None) -> Usage:
    """`Usage(input_tokens=…, output_tokens=…)`, which is what most calls report, in a fifth of the time.

    The constructor of a frozen dataclass asks the class for each of its nineteen fields before it sets it.
    """
    made = object.__new__(Usage)
    _set_inputs(made, input_tokens)
    _set_outputs(made, output_tokens)
    for put, default in _NOTHING_ELSE:
        put(made, default)
    return made


# Pricing asks for the problems of every call, so the names are looked up once.
COUNTS = tuple(field.name for field in fields(Usage) if field.name not in ("service_tier", "batch", "region"))
"""The fields of `Usage` that are numbers."""

_counts = attrgetter(*COUNTS)
_PARTS = (
    ("input_tokens", ("cache_read_tokens", "cache_write_tokens")),
    ("cache_write_tokens", ("cache_write_1h_tokens",)),
    ("input_tokens", ("input_audio_tokens", "input_image_tokens", "input_video_tokens")),
    (
        "output_tokens",
        ("reasoning_tokens", "output_audio_tokens", "output_image_tokens", "output_video_tokens"),
    ),
    ("cache_read_tokens", ("cache_read_audio_tokens", "cache_read_image_tokens")),
)
