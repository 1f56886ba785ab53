"""Traces found by looking at each of them, where a store cannot tell which ones fit or in which order they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from everyspan.store.reads import TraceFilter, TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter
from everyspan.store.store import Store
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.exchange import RequestError
from everyspan.web.langfuse.looks import Shown
from everyspan.web.langfuse.paid import cost_details, side
from everyspan.web.langfuse.trace_filters import Wanted, about, in_its_spans

MOST_ROWS = 1000
_MOST_LOOKED_AT = 10_000
"""Traces whose summaries one request looks at."""
_MOST_READ = 1000
"""Those of them whose spans it reads."""


class TraceSearch:
    """Over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def summaries(self, wanted: TraceFilter, *, at_once: int = MOST_ROWS) -> Iterator[TraceSummary]:
        """Every trace that the store finds, latest first, whatever the limit of the filter."""
        wanted = replace(wanted, limit=at_once)
        while True:
            found = self._store.list_traces(wanted)
            yield from found[:at_once]
            if len(found) <= at_once:
                return
            wanted = replace(wanted, before=found[at_once - 1].cursor)

    def fitting(self, wanted: Wanted) -> Iterator[tuple[TraceSummary, Shown]]:
        """Every trace that fits, latest first, with what was looked at.

        Raises:
            RequestError: there are too many to look at.
        """
        read = 0
        for number, summary in enumerate(self.summaries(wanted.filter), 1):
            if number > _MOST_LOOKED_AT:
                raise _too_many(_MOST_LOOKED_AT)
            seen: Shown = about(summary)
            if not all(look(seen) for look in wanted.looks):
                continue
            if wanted.deep:
                read += 1
                if read > _MOST_READ:
                    raise _too_many(_MOST_READ)
                seen = {**seen, **self._in_its_spans(summary)}
            if all(look(seen) for look in wanted.deep_looks):
                yield summary, seen

    def ordered(self, wanted: Wanted) -> list[TraceSummary]:
        """Every trace that fits, in the order asked for; those without a value in it come last."""
        found = list(self.fitting(wanted))
        field, largest_first = wanted.order
        told = [pair for pair in found if pair[1][field] is not None]
        told.sort(key=_by(field), reverse=largest_first)
        return [summary for summary, _ in (*told, *(pair for pair in found if pair[1][field] is None))]

    def read(self, summary: TraceSummary) -> tuple[TraceSummary, Sequence[SpanRow]]:
        """A trace with its spans, of which there are none where it was deleted since it was listed."""
        return self._store.read_trace(summary.trace_id, project=summary.project) or (summary, ())

    def scores(self, summary: TraceSummary) -> Sequence[Score]:
        """The scores of a trace."""
        wanted = ScoreFilter(project=summary.project, trace_ids=(summary.trace_id,), limit=MOST_ROWS)
        return self._store.list_scores(wanted)

    def _in_its_spans(self, summary: TraceSummary) -> Shown:
        _, rows = self.read(summary)
        levels = [shapes.level(row) for row in rows if not shapes.is_trace(row)]
        paid = [cost_details(row, shapes.own_attributes(row)) for row in rows]
        costs = {
            f"{name}Cost": sum(known, Decimal(0)) if (known := _known(paid, name)) else None
            for name in ("input", "output")
        }
        return {**in_its_spans(shapes.trace(summary, rows), levels, self.scores(summary)), **costs}


def _known(paid: Sequence[Mapping[str, Decimal]], name: str) -> list[Decimal]:
    return [amount for each in paid if (amount := side(each, name)) is not None]


def _too_many(most: int) -> RequestError:
    return RequestError(f"that is more than {most} traces to look at one by one; narrow their times")


def _by(field: str) -> Callable[[tuple[TraceSummary, Shown]], Any]:
    if field == "timestamp":
        return lambda pair: pair[1][field]
    return lambda pair: str(pair[1][field])  # an attribute may be anything
