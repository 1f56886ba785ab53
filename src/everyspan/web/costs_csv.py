"""Costs for spreadsheets."""

from __future__ import annotations

import csv
import io

from starlette.responses import Response

from everyspan.model.money import CostState
from everyspan.query.costs import CostReport
from everyspan.store.reads import CostGroup
from everyspan.web.guard import NO_STORE

_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
# A cell that begins so is a formula to a spreadsheet, and names of users and models come from anywhere.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def costs_csv(report: CostReport) -> Response:
    """A row for each group, and no row for the total: spreadsheets add up themselves."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    states = [f"{state.value}_calls" for state in CostState]
    table.writerow([report.by.value, "period", "cost_usd", "calls", "unbilled_calls", *_TOKENS, *states])
    table.writerows(_cells(group) for group in report.groups)
    return Response(
        written.getvalue().encode("utf-8", "replace"),
        media_type="text/csv",
        headers={
            "cache-control": NO_STORE,
            "content-disposition": f'attachment; filename="everyspan-costs-by-{report.by.value}.csv"',
        },
    )


def _cells(group: CostGroup) -> list[object]:
    return [
        f"'{group.value}" if group.value.startswith(_FORMULA) else group.value,
        group.period,
        "" if group.cost is None else format(group.cost, "f"),
        group.calls,
        group.unbilled,
        *(getattr(group, name) for name in _TOKENS),
        *(group.states.get(state, 0) for state in CostState),
    ]
