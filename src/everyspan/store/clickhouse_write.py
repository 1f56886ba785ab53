"""The write side of the ClickHouse store: what is new is decided first, and then added without changing anything."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from everyspan.store import clickhouse_summaries, clickhouse_writers
from everyspan.store.clickhouse_columns import WRITTEN, Ask, columns_of, with_bodies, without_bodies
from everyspan.store.clickhouse_summaries import Put
from everyspan.store.clickhouse_twins import Do, settle
from everyspan.store.clickhouse_where import Bound
from everyspan.store.limits import Batch
from everyspan.store.news import News
from everyspan.store.periods import HOUR_NS
from everyspan.store.reads import Inserted
from everyspan.store.rows import INTERRUPTED, REVISED, SpanRow

Change = Callable[[str, str, dict[str, Any]], None]
"""Deletes the spans of a project that fit a condition, and waits until they are gone."""

_AT_ONCE = 2000


@dataclass
class _Sorted:
    """What a batch holds, seen beside what is stored."""

    fresh: list[SpanRow] = field(default_factory=list)
    known: list[SpanRow] = field(default_factory=list)
    outdone: list[SpanRow] = field(default_factory=list)
    """Interrupted spans whose finished twin is there or comes with them."""
    replaced: list[SpanRow] = field(default_factory=list)
    """Interrupted spans that are stored, and whose finished twin comes."""
    revised: list[SpanRow] = field(default_factory=list)
    """Stored rows that a later one with the same key replaces, with their bodies."""


def insert(ask: Ask, put: Put, do: Do, change: Change, batch: Batch) -> Inserted:
    """Write one batch; one at a time.

    First where the spans will be found, then the spans, then what they come to, at last the accounts of writers: dying
    in between leaves spans that the next attempt knows, and whose summaries and numbers it makes all the same.
    """
    found = _sort(ask, batch.spans)
    rows = [columns_of(row) for row in found.fresh]
    rows += [columns_of(row, gone=True) for row in found.replaced]
    news = _news(found, batch)
    clickhouse_summaries.note_places(put, found.fresh, uuid.uuid4().hex)
    for row in found.revised:
        # Its successor may start in another hour and so have another place. Dying before that one is written is mended
        # by the next attempt, which still has it.
        change(row.project, "key = {key:String}", {"key": row.key})
    if rows:
        put("spans", rows, WRITTEN, uuid.uuid4().hex)
    # Of all that came, new or not: a batch before this one may have died before its calls were judged.
    for project in {row.project for row in batch.spans}:
        came = [row for row in batch.spans if row.project == project]
        traces = {row.trace_id for row in came} | settle(ask, do, project, came)
        clickhouse_summaries.renew(ask, put, project, traces, uuid.uuid4().hex)
    accounts = clickhouse_writers.accounts(ask, news)
    changed = []
    for name, account in accounts.items():
        before = account.values()
        account.add(news[name])
        if account.values() != before or not account.version:
            changed.append(account.values())
    if changed:
        put("writers", changed, clickhouse_writers.COLUMNS, uuid.uuid4().hex)
    known = len(batch.spans) - len(found.fresh)
    return Inserted(new=len(found.fresh), known=known, refused=batch.refused)


def _sort(ask: Ask, rows: Sequence[SpanRow]) -> _Sorted:
    stored = _alike(ask, rows)
    found = _Sorted()
    new: dict[tuple[str, str], SpanRow] = {}
    revisions = {(row.project, row.key): row for row in rows if row.key.startswith(REVISED)}
    for row in _with_keys(ask, revisions):
        latest = revisions[row.project, row.key]
        if replace(row, unbilled=latest.unbilled) != latest:
            found.revised.append(row)
    outdated = {(row.project, row.key) for row in found.revised}
    stored = [row for row in stored if (row.project, row.key) not in outdated]
    keys = {(row.project, row.key) for row in stored}
    for row in rows:
        at = (row.project, row.key)
        row = revisions.get(at, row)
        if at in keys:
            found.known.append(row)
        else:
            new.setdefault(at, row)
    of_call: dict[tuple[str, str, str, int], list[SpanRow]] = defaultdict(list)
    for row in (*stored, *new.values()):
        of_call[_call(row)].append(row)
    for row in new.values():
        if row.end == INTERRUPTED and any(_ends(other, row) for other in of_call[_call(row)]):
            found.outdone.append(row)
        else:
            found.fresh.append(row)
    found.replaced = [
        row
        for row in stored
        if row.end == INTERRUPTED and any(_ends(other, row) for other in of_call[_call(row)])
    ]
    return found


def _call(row: SpanRow) -> tuple[str, str, str, int]:
    # The start is part of who is who: with it, ids that `random.seed()` repeats in another run are no twins.
    return row.project, row.trace_id, row.span_id, row.start_ns


def _ends(row: SpanRow, interrupted: SpanRow) -> bool:
    """Whether a row with the same ids and start is the end of the call that was told as interrupted."""
    if row.end == INTERRUPTED:
        return False
    if row.writer is None or interrupted.writer is None:
        return True
    return row.writer == interrupted.writer and (row.seq or 0) > (interrupted.seq or 0)


def _alike(ask: Ask, rows: Sequence[SpanRow]) -> list[SpanRow]:
    """Stored rows with a key or a span id of these, without their bodies."""
    found: list[SpanRow] = []
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        bound = Bound()
        projects = bound.put(sorted({row.project for row in some}))
        # The hour is part of the sorting key, and a span's start never changes.
        hours = bound.put(sorted({row.start_ns // HOUR_NS for row in some}))
        keys = bound.put(sorted({row.key for row in some}))
        ids = bound.put(sorted({row.span_id for row in some}))
        where = f"project IN {projects} AND hour IN {hours} AND (key IN {keys} OR span_id IN {ids})"
        found += without_bodies(ask, where, bound.values)
    return found


def _with_keys(ask: Ask, names: Iterable[tuple[str, str]]) -> list[SpanRow]:
    """Stored rows with these projects and keys, whenever they start, with their bodies."""
    wanted = set(names)
    if not wanted:
        return []
    bound = Bound()
    projects = bound.put(sorted({project for project, _ in wanted}))
    keys = bound.put(sorted({key for _, key in wanted}))
    rows = with_bodies(ask, f"project IN {projects} AND key IN {keys}", bound.values)
    return [row for row in rows if (row.project, row.key) in wanted]


def _news(found: _Sorted, batch: Batch) -> dict[tuple[str, str], News]:
    news: dict[tuple[str, str], News] = defaultdict(News)
    for row in _stamped(found.fresh):
        news[row.project, row.writer or ""].add_span(row, row.seq or 0)
    for row in _stamped(found.outdone):
        news[row.project, row.writer or ""].add_outdone(row, row.seq or 0)
    for row in _stamped(found.known):
        # Known, and yet its number may be missing: a batch before this one may have died half-way.
        ranges = news[row.project, row.writer or ""]
        (ranges.begun if row.end == INTERRUPTED else ranges.other).append((row.seq or 0, row.seq or 0))
    for numbers in batch.numbers:
        news[numbers.project, numbers.writer].add_numbers(numbers)
    for sighting in batch.sightings:
        news[sighting.project, sighting.writer].add_sighting(sighting)
    return news


def _stamped(rows: Iterable[SpanRow]) -> Iterable[SpanRow]:
    return (row for row in rows if row.writer is not None)
