"""How was it judged? Scores of traces, spans and sessions."""

from __future__ import annotations

from dataclasses import dataclass

from everyspan.errors import SettingsError
from everyspan.query.traces import MOST_TRACES
from everyspan.store.scores import Score, ScoreFilter
from everyspan.store.store import Store

__all__ = ["Score", "ScoreFilter", "ScorePage", "list_scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorePage:
    """Scores, latest first."""

    scores: tuple[Score, ...]
    next_skip: int | None = None
    """Pass it as `ScoreFilter.skip` for the next page; None on the last one."""


def list_scores(store: Store, wanted: ScoreFilter) -> ScorePage:
    """One page of scores.

    Raises:
        SettingsError: the limit is not from 1 to 1000.
        StoreError: the store cannot be read.
    """
    if not 1 <= wanted.limit <= MOST_TRACES:
        raise SettingsError(f"limit is {wanted.limit}; it takes 1 to {MOST_TRACES}")
    found = store.list_scores(wanted)
    more = wanted.skip + len(found) < store.count_scores(wanted)
    return ScorePage(scores=tuple(found), next_skip=wanted.skip + len(found) if more and found else None)
