"""Scores and what they judge, brought together a portion at a time: the store has them in two places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, ScoreFilter, SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.exchange import RequestError
from everyspan.web.langfuse.metrics_views import OF_OBSERVATIONS, OF_SPANS_OF_TRACES
from everyspan.web.langfuse.observations import every_span
from everyspan.web.langfuse.score_lists import every_score

_AT_ONCE = 500
_MOST_SCORES = 50_000
_MOST_OBSERVATIONS = 10_000
_MOST_TRACES = 1000
_LESS = "narrow the times or the filters"
Thing = TypeVar("Thing")


def portions(things: Iterable[Thing]) -> Iterator[list[Thing]]:
    """As many as are asked for at once, and so on."""
    left = iter(things)
    while portion := list(islice(left, _AT_ONCE)):
        yield portion


def with_counts(store: Store, rows: Sequence[SpanRow]) -> Iterator[tuple[SpanRow, int]]:
    """Spans of one project, each with how many scores judge it."""
    traces = tuple({row.trace_id for row in rows})
    wanted = ScoreFilter(project=rows[0].project, trace_ids=traces) if rows else None
    kept = every_score(store, wanted, most=_MOST_SCORES, less=_LESS) if wanted else ()
    counts = Counter((each.trace_id, each.span_id) for each in kept if each.span_id)
    for row in rows:
        yield row, counts[row.trace_id, row.span_id]


class Observed:
    """What is told of the observations that scores judge."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read = 0

    def of(self, scores: Sequence[Score]) -> Iterator[dict[str, Any]]:
        """For each score of one project what `OF_OBSERVATIONS` names; None in it where it judges no observation.

        Raises:
            RequestError: there are more observations than one request looks at.
        """
        ids = tuple({each.span_id for each in scores if each.span_id})
        shown: dict[tuple[str, str], dict[str, Any]] = {}
        if ids:
            wanted = SpanFilter(project=scores[0].project, span_ids=ids)
            for row in every_span(self._store, wanted, most=_MOST_OBSERVATIONS, less=_LESS):
                shown[row.trace_id, row.span_id] = shapes.observation(row)
            self._read += len(shown)
            if self._read > _MOST_OBSERVATIONS:
                raise RequestError(
                    f"that is more than {_MOST_OBSERVATIONS} observations to look at one by one; {_LESS}"
                )
        for each in scores:
            judged = shown.get((each.trace_id, each.span_id), {})
            yield {name: judged.get(column) for name, column in OF_OBSERVATIONS.items()}


class Released:
    """Release and version of the traces that scores judge, each trace read once in a request."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, kept: Score) -> dict[str, Any]:
        """What `OF_SPANS_OF_TRACES` names; None in it where it judges no trace, or the trace did not say.

        Raises:
            RequestError: there are more traces than one request looks at.
        """
        place = (kept.project, kept.trace_id)
        if place not in self._known:
            if len(self._known) >= _MOST_TRACES:
                raise RequestError(
                    f"that is more than {_MOST_TRACES} traces of scores to look at one by one; narrow the times"
                )
            found = self._store.read_trace(kept.trace_id, project=kept.project) if kept.trace_id else None
            shown = shapes.trace(*found) if found else {}
            self._known[place] = {name: shown.get(column) for name, column in OF_SPANS_OF_TRACES.items()}
        return self._known[place]
