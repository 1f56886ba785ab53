"""Scores and single spans, as SQL for ClickHouse."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from everyspan.store import clickhouse_measures
from everyspan.store.clickhouse_columns import Ask, with_bodies
from everyspan.store.clickhouse_where import Bound, Where, hour_of
from everyspan.store.conditions import SpanGroup, Sums
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Position, Score, ScoreFilter, SpanFilter

_FIELDS = tuple(field.name for field in fields(Score))
COLUMNS = (*_FIELDS, "version", "gone")
_READ = ", ".join(_FIELDS)
_values = attrgetter(*_FIELDS)
_PLACE = "project, hour, trace_id, key"
_AT_ONCE = 1000

Put = Callable[[str, Sequence[Sequence[Any]], Sequence[str]], None]
"""Adds rows to a table, and returns when they are written."""


def put(ask: Ask, add: Put, scores: Sequence[Score]) -> None:
    """See `SingleStore.put_scores`; the caller sees to it that one thread at a time is here."""
    latest = {(score.project, score.id): score for score in scores}
    rows = list(latest.values())
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        known = _known(ask, some)
        add("scores", [_row(score, known.get((score.project, score.id))) for score in some], COLUMNS)


def _known(ask: Ask, scores: Sequence[Score]) -> dict[tuple[str, str], tuple[int, int]]:
    """When each of these was first given, and its version, where it is there."""
    bound = Bound()
    projects = bound.put(sorted({score.project for score in scores}))
    ids = bound.put(sorted({score.id for score in scores}))
    sql = f"SELECT project, id, created_ns, version FROM scores WHERE project IN {projects} AND id IN {ids}"
    return {(row[0], row[1]): (row[2], row[3]) for row in ask(sql, bound.values)}


def _row(score: Score, known: tuple[int, int] | None) -> list[Any]:
    # Of the clock, so that a score that was deleted and is given again is newer than its deletion.
    version = max(time.time_ns(), known[1] + 1 if known else 0)
    values = dict(zip(_FIELDS, _values(score), strict=True))
    # When it was first given stays.
    values["created_ns"] = known[0] if known else score.created_ns
    return [*values.values(), version, 0]


def list_scores(ask: Ask, wanted: ScoreFilter) -> list[Score]:
    """See `SingleStore.list_scores`."""
    where = _score_conditions(wanted)
    _page(where, ("at_ns", "id"), wanted.before)
    limit, skip = where.bound.put(wanted.limit), where.bound.put(wanted.skip)
    sql = f"SELECT {_READ} FROM scores WHERE {where} ORDER BY at_ns DESC, id DESC LIMIT {limit} OFFSET {skip}"
    return [Score(**dict(zip(_FIELDS, row, strict=True))) for row in ask(sql, where.bound.values)]


def count_scores(ask: Ask, wanted: ScoreFilter) -> int:
    """See `SingleStore.count_scores`."""
    where = _score_conditions(wanted)
    return int(ask(f"SELECT count() FROM scores WHERE {where}", where.bound.values)[0][0])


def list_spans(ask: Ask, wanted: SpanFilter) -> list[SpanRow]:
    """See `SingleStore.list_spans`."""
    where = _span_conditions(wanted)
    _page(where, ("start_ns", "key"), wanted.before)
    bound = where.bound
    # The texts of a page are read once its rows are known: sorting would carry those of all that fit along.
    places = (
        f"SELECT {_PLACE} FROM spans WHERE {where} ORDER BY start_ns DESC, key DESC"
        f" LIMIT {bound.put(wanted.limit)} OFFSET {bound.put(wanted.skip)}"
    )
    found = with_bodies(
        ask, f"project = {bound.put(wanted.project)} AND ({_PLACE}) GLOBAL IN ({places})", bound.values
    )
    return sorted(found, key=lambda row: (row.start_ns, row.key), reverse=True)


def count_spans(ask: Ask, wanted: SpanFilter) -> int:
    """See `SingleStore.count_spans`."""
    where = _span_conditions(wanted)
    return int(ask(f"SELECT count() FROM spans WHERE {where}", where.bound.values)[0][0])


def span_groups(ask: Ask, wanted: SpanFilter, sums: Sums) -> list[SpanGroup]:
    """See `SingleStore.span_groups`."""
    return clickhouse_measures.span_groups(ask, _span_conditions(wanted), sums)


def _score_conditions(wanted: ScoreFilter) -> Where:
    where = Where(Bound())
    where.add(f"project = {where.bound.put(wanted.project)}")
    where.one_of(**wanted.one_of)
    where.between("at_ns", wanted.since_ns, wanted.until_ns)
    return where


def _span_conditions(wanted: SpanFilter) -> Where:
    where = Where(Bound())
    where.add(f"project = {where.bound.put(wanted.project)}")
    where.one_of(**wanted.one_of)
    if wanted.parent_id == "":
        where.add("parent_id IS NULL")
    elif wanted.parent_id is not None:
        where.add(f"parent_id = {where.bound.put(wanted.parent_id)}")
    where.between("start_ns", wanted.since_ns, wanted.until_ns)
    if wanted.only_observations:
        where.add(clickhouse_measures.OBSERVED)
    # The hour is what rows are sorted by.
    if wanted.since_ns is not None:
        where.add(f"hour >= {where.bound.put(hour_of(wanted.since_ns))}")
    if wanted.until_ns is not None:
        where.add(f"hour <= {where.bound.put(hour_of(wanted.until_ns))}")
    clickhouse_measures.add_conditions(where, wanted.conditions)
    return where


def _page(where: Where, columns: tuple[str, str], before: Position | None) -> None:
    if before is not None:
        at, last = (where.bound.put(value) for value in before)
        where.add(f"({columns[0]}, {columns[1]}) < ({at}, {last})")
