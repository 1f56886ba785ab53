"""Text for a terminal: nothing a model, a span or a server said may steer it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import click

UNKNOWN = "-"

# Escape sequences as ECMA-48 spells them: CSI, the string sequences (OSC, DCS, SOS, PM, APC) up to their end, and
# the short ones; in their 7-bit and 8-bit forms. A string that never ends loses only its beginning: it must not
# hide the text behind it. No part can match what begins another, so the time stays linear in the text.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# What is left of the control characters, the marks that reorder a line (they make one text look like another), and
# lone surrogates, which no terminal's encoding can write.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: object) -> str:
    """`text` without escape sequences, control characters and reordering marks; newlines and tabs stay."""
    return _CONTROL.sub("", _SEQUENCE.sub("", str(text)))


def one_line(text: object, *, width: int = 60) -> str:
    """`printable` text on one line, cut to `width` characters with an ellipsis."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """Print columns as wide as their widest cell; those named in `right` are set flush right.

    Cells have to be `one_line` or our own words.
    """
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for cell, width, name in zip(line, widths, head, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def at(ns: int) -> str:
    """A moment, in UTC to the second."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def lasting(ns: int) -> str:
    """A duration with three digits that matter."""
    if ns < 1_000_000_000:
        return f"{ns / 1e6:.3g} ms" if ns < 999_500_000 else "1.00 s"
    return f"{ns / 1e9:.3g} s" if ns < 100_000_000_000 else f"{ns // 1_000_000_000:,} s"


def money(amount: str | None, *, states: Mapping[str, int] | None = None) -> str:
    """US dollars as the server wrote them, exact; what has no price is said, never taken as 0.

    Args:
        states: how many of the calls are in which cost state.
    """
    counts = {name: int(number) for name, number in (states or {}).items() if number}
    known = f"${printable(amount)}" if amount is not None else ""
    unknown = f"{counts['unpriced']:,} unpriced" if "unpriced" in counts else ""
    doubts = ", ".join(f"{counts[name]:,} {name}" for name in ("partial", "estimated") if name in counts)
    whole = " + ".join(filter(None, (known, unknown))) or UNKNOWN
    return f"{whole} ({doubts})" if doubts else whole
