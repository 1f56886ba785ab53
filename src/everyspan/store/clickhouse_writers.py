"""What arrived from each writer, in ClickHouse: one row for each, replaced by its next version.

Everything in it is a union or a maximum, so that adding the same news again changes nothing; how many spans there are
is asked of the spans.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from everyspan.model.ids import Seq, WriterId
from everyspan.store.clickhouse_columns import Ask
from everyspan.store.clickhouse_where import Bound, Where
from everyspan.store.news import News
from everyspan.store.ranges import merge, size, subtract
from everyspan.store.reads import Dropped, Range, Unnumbered, WriterFilter, WriterState
from everyspan.store.rows import INTERRUPTED

COLUMNS = (
    *("project", "writer", "services", "received", "dropped", "begun", "spooled_to", "closed", "seen_ns"),
    *("about", "about_ns", "version", "gone"),
)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM writers"


@dataclass(slots=True, kw_only=True)
class Account:
    """What is known of one writer."""

    project: str
    writer: str
    services: set[str] = field(default_factory=set)
    received: list[Range] = field(default_factory=list)
    dropped: dict[str, list[Range]] = field(default_factory=dict)
    begun: int = 0
    spooled_to: int = 0
    closed: bool = False
    seen_ns: int = 0
    about: tuple[int, str] = (0, "{}")
    version: int = 0

    def add(self, news: News) -> None:
        """Bring it up to date."""
        self.begun += size(subtract(news.begun, self.received))
        self.received = merge([*self.received, *news.begun, *news.other])
        for reason, ranges in news.dropped.items():
            self.dropped[reason] = merge([*self.dropped.get(reason, []), *ranges])
        self.services |= news.services
        self.spooled_to = max(self.spooled_to, news.spooled_to)
        self.closed = self.closed or news.closed
        self.seen_ns = max(self.seen_ns, news.seen_ns)
        self.about = max(self.about, news.about)

    def values(self) -> list[Any]:
        """The row that replaces the one before."""
        dropped = [(reason, *each) for reason in sorted(self.dropped) for each in self.dropped[reason]]
        return [
            *(self.project, self.writer, sorted(self.services), self.received, dropped, self.begun),
            *(self.spooled_to, int(self.closed), self.seen_ns, self.about[1], self.about[0]),
            *(self.version + 1, 0),
        ]


def accounts(ask: Ask, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Account]:
    """The accounts of these writers; new ones where nothing was known."""
    wanted = sorted(names)
    found = {name: Account(project=name[0], writer=name[1]) for name in wanted}
    if wanted:
        bound = Bound()
        projects = bound.put(sorted({project for project, _ in wanted}))
        writers = bound.put(sorted({writer for _, writer in wanted}))
        for row in ask(f"{_SELECT} WHERE project IN {projects} AND writer IN {writers}", bound.values):
            if (row[0], row[1]) in found:
                found[row[0], row[1]] = _account(row)
    return found


def writers(ask: Ask, wanted: WriterFilter) -> list[WriterState]:
    """See `Store.writers`."""
    bound = Bound()
    where = Where(bound)
    where.equal(project=wanted.project, writer=wanted.writer)
    of_service = f"has(services, {bound.put(wanted.service)})" if wanted.service else "true"
    counted = ask(
        f"SELECT project, writer, count(), countIf(end = '{INTERRUPTED}') FROM spans"
        f" WHERE writer != '' AND {where} GROUP BY project, writer",
        bound.values,
    )
    counts = {(project, writer): (spans, interrupted) for project, writer, spans, interrupted in counted}
    rows = ask(f"{_SELECT} WHERE {where} AND {of_service} ORDER BY project, writer", bound.values)
    return [_state(_account(row), *counts.get((row[0], row[1]), (0, 0))) for row in rows]


def unnumbered(ask: Ask, wanted: WriterFilter) -> list[Unnumbered]:
    """See `Store.unnumbered`."""
    bound = Bound()
    where = Where(bound)
    where.equal(project=wanted.project, service=wanted.service)
    rows = ask(
        f"SELECT project, toString(service), count(), countIf(end = '{INTERRUPTED}') FROM spans"
        f" WHERE writer = '' AND {where} GROUP BY project, service ORDER BY project, service",
        bound.values,
    )
    return [Unnumbered(project=row[0], service=row[1], spans=row[2], interrupted=row[3]) for row in rows]


def _account(row: Sequence[Any]) -> Account:
    stored = dict(zip(COLUMNS, row, strict=True))
    dropped: dict[str, list[Range]] = defaultdict(list)
    for reason, first, last in stored["dropped"]:
        dropped[reason].append((first, last))
    return Account(
        project=stored["project"],
        writer=stored["writer"],
        services=set(stored["services"]),
        received=[(first, last) for first, last in stored["received"]],
        dropped=dict(dropped),
        begun=stored["begun"],
        spooled_to=stored["spooled_to"],
        closed=bool(stored["closed"]),
        seen_ns=stored["seen_ns"],
        about=(stored["about_ns"], stored["about"]),
        version=stored["version"],
    )


def _state(account: Account, spans: int, interrupted: int) -> WriterState:
    return WriterState(
        project=account.project,
        writer=WriterId(account.writer),
        services=tuple(sorted(account.services)),
        received=tuple(account.received),
        dropped=tuple(
            Dropped(reason=reason, first=Seq(first), last=Seq(last))
            for reason in sorted(account.dropped)
            for first, last in account.dropped[reason]
        ),
        begun=account.begun,
        spans=spans,
        interrupted=interrupted,
        spooled_to=account.spooled_to,
        closed=account.closed,
        seen_ns=account.seen_ns,
        about=account.about[1],
    )
