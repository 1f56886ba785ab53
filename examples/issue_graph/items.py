"""GitHub's answers as values: issues, pull requests, comments, and what a timeline says about links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from examples.issue_graph.github import Json
from examples.issue_graph.links import Ref, ref_of_page


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An issue or a pull request."""

    ref: Ref
    title: str
    body: str
    author: str
    state: str
    """`open`, `closed`, and for pull requests `merged` or `draft`; with the reason where GitHub tells one."""
    is_pull: bool
    created: str
    """The day, as in 2026-04-30."""
    url: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """In words."""
        return "pull request" if self.is_pull else "issue"


class Comment(NamedTuple):
    """What somebody added."""

    author: str
    created: str
    body: str
    url: str


class Crossing(NamedTuple):
    """An entry of a timeline by which something else mentions this issue."""

    item: Item
    author: str
    created: str


def item_of(answer: Json) -> Item:
    """An issue as the REST API has it; a pull request is one with more fields.

    Raises:
        ValueError: it is none.
    """
    url = _text(answer.get("html_url"))
    ref = ref_of_page(url)
    if ref is None:
        raise ValueError(f"html_url is {url!r}, which is no issue's page")
    pull = answer.get("pull_request")
    return Item(
        ref=ref,
        title=_text(answer.get("title")).strip() or "(no title)",
        body=_text(answer.get("body")),
        author=author_of(answer),
        state=_state(answer, pull),
        is_pull=isinstance(pull, dict),
        created=_day(answer.get("created_at")),
        url=url,
        labels=tuple(
            _text(label.get("name")) for label in answer.get("labels") or () if isinstance(label, dict)
        ),
    )


def comment_of(answer: Json) -> Comment:
    """A comment of an issue."""
    return Comment(
        author=author_of(answer),
        created=_day(answer.get("created_at")),
        body=_text(answer.get("body")),
        url=_text(answer.get("html_url")),
    )


def crossing_of(event: Json) -> Crossing | None:
    """The item that an entry of a timeline links with; None for entries about anything else."""
    source = event.get("source")
    issue = source.get("issue") if isinstance(source, dict) else None
    if event.get("event") != "cross-referenced" or not isinstance(issue, dict):
        return None
    return Crossing(item_of(issue), author_of(event), _day(event.get("created_at")))


def author_of(answer: Json) -> str:
    """Who wrote it; GitHub calls those who deleted their account ghost."""
    user = answer.get("user") or answer.get("actor")
    return _text(user.get("login")) if isinstance(user, dict) else "ghost"


def _state(answer: Json, pull: Any) -> str:
    state = _text(answer.get("state"))
    if isinstance(pull, dict):
        if pull.get("merged_at"):
            return "merged"
        return "draft" if answer.get("draft") and state == "open" else state
    reason = answer.get("state_reason")
    return f"{state} ({reason.replace('_', ' ')})" if state == "closed" and isinstance(reason, str) else state


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _day(value: object) -> str:
    return _text(value)[:10]
