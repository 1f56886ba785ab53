"""A trace as HTML that stands alone: for notebooks, which show what `_repr_html_` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from everyspan.query.traces import TraceSpan
from everyspan.store.reads import TraceSummary

MOST_ROWS = 500

_COLOURS = {
    "generation": "#4759d6",
    "embedding": "#8a4fd3",
    "agent": "#0f7f78",
    "chain": "#3b7ea8",
    "tool": "#b06a00",
    "retriever": "#3f8537",
}
_OTHER, _ERROR = "#7b8494", "#b3261e"


def waterfall(summary: TraceSummary, spans: Sequence[TraceSpan], *, link: str = "") -> str:
    """The trace as a table with a timeline; all text is escaped, nothing is loaded and nothing runs.

    Args:
        link: the trace's address in the page, for the spans after the first 500.
    """
    length = max(1, summary.duration_ns)
    rows = "".join(_row(span, summary.started_ns, length) for span in spans[:MOST_ROWS])
    rest = len(spans) - MOST_ROWS
    more = f"<p>and {rest:,} more spans</p>" if rest > 0 else ""
    name = escape(summary.name or "(no name)")
    title = f'<a href="{escape(link)}" target="_blank" rel="noopener">{name}</a>' if link else name
    cost = "" if summary.cost is None else f" · ${summary.cost:f}"
    unpriced = summary.states.get("unpriced", 0)
    doubt = f" · {unpriced} unpriced" if unpriced else ""
    return (
        '<div style="font:12px/1.5 system-ui,sans-serif;max-width:960px">'
        f"<p><b>{title}</b> · {lasting(length)} · {summary.spans} spans · {summary.calls} calls{cost}{doubt}</p>"
        f'<table style="width:100%;border-collapse:collapse;table-layout:fixed">{rows}</table>{more}</div>'
    )


def _row(span: TraceSpan, began_ns: int, length: int) -> str:
    row = span.row
    left = 100 * (row.start_ns - began_ns) / length
    width = max(0.3, 100 * (row.end_ns - row.start_ns) / length)
    colour = _ERROR if row.status == "error" else _COLOURS.get(row.kind, _OTHER)
    marks = "".join(
        f' <small style="opacity:.7">{escape(mark)}</small>'
        for mark in (
            row.end if row.end not in ("", "complete") else "",
            "unbilled" if row.unbilled else "",
            "parent missing" if span.parent_missing else "",
        )
        if mark
    )
    cost = f"${row.cost:f}" if row.cost is not None else (row.cost_state.value if row.cost_state else "")
    cell = "padding:2px 6px;text-align:right;white-space:nowrap;width:90px"
    return (
        f'<tr><td style="padding:2px 6px 2px {6 + 14 * min(span.depth, 20)}px;text-align:left;width:38%;'
        f'overflow:hidden;text-overflow:ellipsis;white-space:nowrap">{escape(row.name)}{marks}</td>'
        f'<td style="{cell}">{lasting(row.end_ns - row.start_ns)}</td><td style="{cell}">{escape(cost)}</td>'
        f'<td style="padding:2px 6px"><div style="margin-left:{left:.2f}%;width:{min(width, 100 - left):.2f}%;'
        f'height:9px;border-radius:2px;background:{colour};min-width:2px"></div></td></tr>'
    )


def lasting(ns: int) -> str:
    """A duration with three digits that matter."""
    if ns < 1_000_000:
        return f"{ns / 1e3:.3g} µs"
    return f"{ns / 1e6:.3g} ms" if ns < 999_500_000 else f"{ns / 1e9:.4g} s"
