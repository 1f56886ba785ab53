"""An issue, what its texts and its timeline link it with, and how."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple

from examples.issue_graph.github import GitHubError, Source
from examples.issue_graph.items import Comment, Item, comment_of, crossing_of, item_of
from examples.issue_graph.links import Mention, Ref, mentions


class Link(NamedTuple):
    """One item names another."""

    source: Ref
    target: Ref
    how: str
    closes: bool = False


@dataclass(slots=True, kw_only=True)
class Graph:
    """What was found; links may lead to items that could not be read."""

    issue: Item
    comments: tuple[Comment, ...]
    linked: dict[Ref, Item] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    unread: dict[Ref, str] = field(default_factory=dict)
    """Linked items that could not be had, and why."""
    left_out: list[Ref] = field(default_factory=list)
    """Linked items beyond the limit."""

    def links_of(self, ref: Ref) -> list[Link]:
        """The links that lead from or to an item."""
        return [link for link in self.links if ref in (link.source, link.target)]


async def read_graph(source: Source, start: Ref, *, depth: int, limit: int) -> Graph:
    """Read the issue and whatever is linked with it.

    Args:
        depth: 1 follows the issue's own links, 2 also those in the texts of what it is linked with, and so on.
        limit: most linked items; those that are beyond it are named in the graph.

    Raises:
        GitHubError: the issue itself, its comments or its timeline can not be had.
    """
    path = _path(start)
    # Saved in this order: an issue that has moved is answered with the page it has now.
    issue, comments, timeline = await asyncio.gather(
        source.one(path), source.many(f"{path}/comments"), source.many(f"{path}/timeline")
    )
    graph = Graph(issue=_item(issue, start), comments=tuple(map(comment_of, comments)))
    home = graph.issue.ref
    _add_mentions(graph, graph.issue)
    for comment in graph.comments:
        for mention in mentions(comment.body, home=home):
            how = f"comment by {comment.author}, {comment.created}"
            _add(graph, Link(home, mention.ref, how, mention.closes))
    for event in timeline:
        crossing = crossing_of(event)
        if crossing is not None and crossing.item.ref != home:
            _keep(graph, crossing.item, limit)
            how = f"timeline: mentioned by {crossing.author}, {crossing.created}"
            closes = any(mention.ref == home and mention.closes for mention in _mentions_in(crossing.item))
            _add(graph, Link(crossing.item.ref, home, how, closes))
    for level in range(depth):
        await _read_targets(source, graph, limit)
        if level + 1 < depth:
            for item in list(graph.linked.values()):
                _add_mentions(graph, item)
    return graph


async def _read_targets(source: Source, graph: Graph, limit: int) -> None:
    """Read what links lead to and nobody has read yet, all at once."""
    ends = (ref for link in graph.links for ref in (link.source, link.target))
    seen = {graph.issue.ref, *graph.linked, *graph.unread, *graph.left_out}
    wanted = [ref for ref in dict.fromkeys(ends) if ref not in seen]
    room = max(0, limit - len(graph.linked))
    graph.left_out += wanted[room:]
    answers = await asyncio.gather(*(_read(source, ref) for ref in wanted[:room]))
    for ref, answer in zip(wanted[:room], answers, strict=True):
        if isinstance(answer, str):
            graph.unread[ref] = answer
            continue
        if answer.ref != ref:  # it has moved; the links follow it
            graph.links = [_moved(link, ref, answer.ref) for link in graph.links]
        if answer.ref != graph.issue.ref:
            graph.linked[answer.ref] = answer


async def _read(source: Source, ref: Ref) -> Item | str:
    """The item, or why it can not be had."""
    try:
        return _item(await source.one(_path(ref)), ref)
    except GitHubError as error:
        return str(error)


def _item(answer: object, asked: Ref) -> Item:
    try:
        return item_of(answer)  # type: ignore[arg-type]  # foreign data; what is no issue raises
    except ValueError as error:
        raise GitHubError(f"the answer for {asked} is no issue: {error}") from error


def _keep(graph: Graph, item: Item, limit: int) -> None:
    if item.ref in graph.linked or len(graph.linked) < limit:
        graph.linked[item.ref] = item
    elif item.ref not in graph.left_out:
        graph.left_out.append(item.ref)


def _add_mentions(graph: Graph, item: Item) -> None:
    for mention in _mentions_in(item):
        _add(graph, Link(item.ref, mention.ref, f"text of {item.ref}", mention.closes))


def _mentions_in(item: Item) -> list[Mention]:
    return mentions(item.body, home=item.ref)


def _add(graph: Graph, link: Link) -> None:
    if link.source != link.target and link not in graph.links:
        graph.links.append(link)


def _moved(link: Link, old: Ref, new: Ref) -> Link:
    source = new if link.source == old else link.source
    return link._replace(source=source, target=new if link.target == old else link.target)


def _path(ref: Ref) -> str:
    return f"repos/{ref.repository}/issues/{ref.number}"
