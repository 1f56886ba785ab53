"""One trace as lines of text: every span under its parent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from everyspan.cli.ask import Answer
from everyspan.cli.terminal import at, lasting, money, one_line
from everyspan.record import names

NAME_WIDTH = 44
TEXT_WIDTH = 96


def draw(trace: Answer, *, text: bool = False) -> Iterator[str]:
    """The lines of the API's answer for one trace; with `text`, the start of what went in and came out too."""
    summary, spans = trace["summary"], trace["spans"]
    yield (
        f"{one_line(summary['name'])}  {one_line(summary['trace_id'])}  {at(int(summary['started_ns']))} UTC  "
        f"{_count(summary['spans'], 'span')}, {_count(summary['calls'], 'call')}, {_cost_of_all(summary)}"
    )
    prefixes = branches([int(span["depth"]) for span in spans])
    for (prefix, below), span in zip(prefixes, spans, strict=True):
        yield prefix + _line(span, room=NAME_WIDTH - len(prefix))
        for label, field in (("in ", "input"), ("out", "output")) if text else ():
            if span.get(field):
                yield f"{below}  {label} {one_line(span[field], width=TEXT_WIDTH)}"


def branches(depths: Sequence[int]) -> list[tuple[str, str]]:
    """For spans in tree order: what to print before each, and before the lines that belong to it.

    Roots hang from nothing; a child hangs from the last span above it that is one level up.
    """
    drawn: list[tuple[str, str]] = []
    open_below: set[int] = set()  # depths that have another span further down, under the same parent
    for depth in reversed(depths):
        rails = "".join("│  " if level in open_below else "   " for level in range(1, depth))
        knot = ("├─ " if depth in open_below else "└─ ") if depth else ""
        own = ("│  " if depth in open_below else "   ") if depth else ""
        children = "│" if depth + 1 in open_below else " "
        drawn.append((rails + knot, rails + own + children))
        open_below = {level for level in open_below if level < depth} | {depth}
    return drawn[::-1]


def _line(span: Answer, *, room: int) -> str:
    parts = [
        one_line(span["name"], width=max(room, 12)).ljust(room),
        lasting(int(span["end_ns"]) - int(span["start_ns"])).rjust(8),
        *_what_it_used(span),
    ]
    if span.get("status") == "error":
        parts.append(f"ERROR {one_line(span.get('status_message') or '', width=80)}".rstrip())
    # How a call ended is worth a word only when it did not simply end.
    if span.get("end") not in (None, "", "complete", "error"):
        parts.append(one_line(span["end"]))
    if span.get("unbilled"):
        parts.append(f"unbilled: {one_line(span['unbilled'])}")
    if span.get("scope") == names.LEDGER_SCOPE:
        parts.append("(sampled out: usage and cost only)")
    elif span.get("parent_missing"):
        parts.append("(its parent is not here)")
    return "  ".join(parts).rstrip()


def _what_it_used(span: Answer) -> list[str]:
    usage = span.get("usage") or {}
    tokens = (usage.get("input_tokens"), usage.get("output_tokens"))
    words = []
    if tokens != (None, None):
        words.append(" → ".join("?" if count is None else f"{count:,}" for count in tokens) + " tokens")
    state = span.get("cost_state")
    if state:
        # A cost that is less than exact says so; one without an amount is only its state.
        known = [money(span["cost"])] if span.get("cost") is not None else []
        words.append(" ".join(known if state in ("computed", "stated") else [*known, one_line(state)]))
    return words


def _cost_of_all(summary: Answer) -> str:
    return money(summary.get("cost"), states=summary.get("states"))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
