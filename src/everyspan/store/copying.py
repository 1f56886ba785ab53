"""From one store into another, and the proof that the two hold the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest

from everyspan.model.ids import Seq
from everyspan.store.groups import Each
from everyspan.store.media import Media
from everyspan.store.ranges import merge, size, subtract
from everyspan.store.reads import CostBy, CostFilter, Prices, Range, TraceFilter, WriterFilter, WriterState
from everyspan.store.repricing import Repricing, repricer
from everyspan.store.rows import INTERRUPTED, Numbers, Sighting
from everyspan.store.scores import Score, ScoreFilter
from everyspan.store.store import Store

_AT_ONCE = 2000
"""Spans in one insert."""


@dataclass(slots=True)
class Copied:
    """How far a copy is."""

    spans: int = 0
    new: int = 0
    """Those that were not there before."""
    scores: int = 0
    media: int = 0
    repriced: int = 0
    """Calls that have another cost than the recorded one, once for each version of costs."""
    refused: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """What is not the same in both at the end, in words; empty when the copy is proven."""


@dataclass(slots=True)
class _Seqs:
    """Numbers of one writer that came as spans."""

    ended: list[Range] = field(default_factory=list)
    interrupted: list[Range] = field(default_factory=list)


def copy(source: Store, target: Store, *, progress: Callable[[Copied], None] = lambda copied: None) -> Copied:
    """Everything that one store holds into another, and what is then different between them.

    Doing it again adds what came meanwhile. Nothing should write into either of them while the two are compared, and a
    target that held something before is different for it.

    Raises:
        StoreError: one of them cannot be read or written.
    """
    copied = Copied()
    seqs: dict[tuple[str, str], _Seqs] = defaultdict(_Seqs)
    after = ""
    while True:
        page = source.read_spans(after, limit=_AT_ONCE)
        for row in page.rows:
            if row.writer is not None and row.seq is not None:
                of_writer = seqs[row.project, row.writer]
                kind = of_writer.interrupted if row.end == INTERRUPTED else of_writer.ended
                kind.append((row.seq, row.seq))
        done = target.insert(page.rows)
        copied.spans += len(page.rows)
        copied.new += done.new
        copied.refused += [f"{each.key} of {each.project}: {each.why}" for each in done.refused]
        progress(copied)
        after = page.next
        if not after:
            break
    for state in source.writers(WriterFilter()):
        numbers, sighting = _account(state, seqs[state.project, state.writer])
        target.insert([], numbers, [sighting])
    _copy_scores(source, target, copied)
    _copy_media(source, target, copied)
    _copy_repricings(source, target, copied)
    copied.differences = list(differences(source, target))
    return copied


def differences(one: Store, other: Store) -> Iterator[str]:
    """What is not the same in two stores: counts, sums to the last digit by project, model, day; scores; the audit."""
    projects = {*one.projects(), *other.projects()}
    for project in ("", *sorted(projects)):
        name = f"project {project}" if project else "all projects"
        totals = [store.trace_totals(TraceFilter(project=project)) for store in (one, other)]
        if totals[0] != totals[1]:
            yield f"{name}: {totals[0]} here and {totals[1]} there"
        costs = [
            store.cost_groups(CostBy.MODEL, CostFilter(project=project), each=Each.DAY)
            for store in (one, other)
        ]
        if costs[0] != costs[1]:
            yield f"{name}: the costs of a model on a day are not the same"
            continue  # then the newest ones are not either
        newest = [
            store.cost_groups(CostBy.MODEL, CostFilter(project=project, prices=Prices.LATEST), each=Each.DAY)
            for store in (one, other)
        ]
        if newest[0] != newest[1]:
            yield f"{name}: the repriced costs of a model on a day are not the same"
    for project in sorted(projects):
        yield from _score_differences(one, other, project)
        yield from _media_differences(one, other, project)
    versions = [[_without_number(each) for each in repricer(store).versions()] for store in (one, other)]
    if versions[0] != versions[1]:
        yield f"{len(versions[0])} versions of repriced costs here and {len(versions[1])} there, or not the same ones"
    writers = [list(map(_comparable, store.writers(WriterFilter()))) for store in (one, other)]
    if writers[0] != writers[1]:
        yield "the accounts of writers are not the same"
    if one.unnumbered(WriterFilter()) != other.unnumbered(WriterFilter()):
        yield "the counts of spans without a stamp are not the same"


def _comparable(state: WriterState) -> WriterState:
    # A service whose spans were all deleted is remembered here and unknown there.
    return replace(state, services=())


def _account(state: WriterState, seqs: _Seqs) -> tuple[list[Numbers], Sighting]:
    """What has to be told of a writer so that its account becomes the same."""
    # Received, and no span of it: begins of calls, as many as are known to have begun, and others.
    others = subtract(state.received, [*seqs.ended, *seqs.interrupted])
    begins = _first(others, state.begun - size(merge(seqs.interrupted)))
    told = [(range_, "start", False) for range_ in begins]
    told += [(range_, "arrived", False) for range_ in subtract(others, begins)]
    told += [((drop.first, drop.last), drop.reason, True) for drop in state.dropped]
    numbers = [
        Numbers(
            project=state.project,
            writer=state.writer,
            first=Seq(first),
            last=Seq(last),
            reason=reason,
            dropped=dropped,
        )
        for (first, last), reason, dropped in told
    ]
    sighting = Sighting(
        project=state.project,
        writer=state.writer,
        spooled_to=Seq(state.spooled_to),
        closed=state.closed,
        seen_ns=state.seen_ns,
        about=state.about,
    )
    return numbers, sighting


def _first(ranges: list[Range], count: int) -> list[Range]:
    """The lowest `count` numbers of these ranges."""
    taken: list[Range] = []
    for first, last in ranges:
        if count <= 0:
            break
        taken.append((first, min(last, first + count - 1)))
        count -= last - first + 1
    return taken


def _scores(store: Store, project: str) -> Iterator[Score]:
    """All scores of a project, in one order whatever the store."""
    wanted = ScoreFilter(project=project, limit=_AT_ONCE)
    while page := store.list_scores(wanted):
        yield from page
        wanted = replace(wanted, before=(page[-1].at_ns, page[-1].id))


def _copy_scores(source: Store, target: Store, copied: Copied) -> None:
    for project in source.projects():
        scores = _scores(source, project)
        while some := list(islice(scores, _AT_ONCE)):
            target.put_scores(some)
            copied.scores += len(some)


def _score_differences(one: Store, other: Store, project: str) -> Iterator[str]:
    counts = [store.count_scores(ScoreFilter(project=project)) for store in (one, other)]
    if counts[0] != counts[1]:
        yield f"project {project}: {counts[0]} scores here and {counts[1]} there"
        return
    for mine, theirs in zip(_scores(one, project), _scores(other, project), strict=False):
        if mine != theirs:
            yield f"project {project}: the score {mine.id} is not the same"
            return


def _without_number(made: Repricing) -> Repricing:
    # Versions that died leave their numbers out, in each store other ones.
    return replace(made, version=0)


def _copy_repricings(source: Store, target: Store, copied: Copied) -> None:
    """Every version of costs that the target does not have, in the order in which they were made."""
    one, other = repricer(source), repricer(target)
    there = [_without_number(each) for each in other.versions()]
    for made in one.versions():
        if _without_number(made) in there:
            continue
        version = other.begin(lists=made.lists, asked=made.asked, made_ns=made.made_ns)
        for costs in one.kept(made.version):
            other.keep(version, costs)
            copied.repriced += len(costs)
        other.finish(version)


def _media(store: Store, project: str) -> Iterator[Media]:
    after = ""
    while page := store.list_media(project, after=after):
        yield from page
        after = page[-1].id


def _copy_media(source: Store, target: Store, copied: Copied) -> None:
    for project in source.projects():
        for media in _media(source, project):
            content = source.media_content(project, media.id)
            if content is not None:  # else it was deleted meanwhile, and the comparison says so
                target.put_media(media, content)
                copied.media += 1


def _media_differences(one: Store, other: Store, project: str) -> Iterator[str]:
    for mine, theirs in zip_longest(_media(one, project), _media(other, project)):
        if mine != theirs:
            yield f"project {project}: the file {(mine or theirs).id} is not the same"
            return
        if one.media_content(project, mine.id) != other.media_content(project, mine.id):
            yield f"project {project}: the file {mine.id} has another content"
            return
