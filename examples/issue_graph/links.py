"""Issues and pull requests that a text of GitHub's mentions."""

from __future__ import annotations

import re
from typing import NamedTuple

_CODE = re.compile(
    r"(?ms)^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1[`~]*[ \t]*$|\Z)|(`+)(?!`).+?(?<!`)\2(?!`)|<!--.*?-->"
)
_MENTION = re.compile(
    r"""(?ix)
    (?:\b(?P<closes>close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b:?\s+)?
    (?:
        https?://(?:www\.)?github\.com/(?P<at>[\w-]+/[\w.-]+)/(?:issues|pull)/(?P<there>\d+)
      | (?<![\w/.-])(?P<of>[\w-]+/[\w.-]+)\#(?P<theirs>\d+)\b
      | (?<![\w/\#&.-])(?:\#|GH-)(?P<own>\d+)\b
    )
    """
)
_PAGE = re.compile(
    r"https?://(?:www\.)?github\.com/([\w-]+/[\w.-]+)/(?:issues|pull)/(\d+)(?:[/?#].*)?", re.IGNORECASE
)


class Ref(NamedTuple):
    """An issue or a pull request; GitHub numbers both in one row."""

    repository: str
    """`owner/name`, in small letters: GitHub makes no difference."""
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"


class Mention(NamedTuple):
    """A place in a text that names one."""

    ref: Ref
    closes: bool
    """It says that this is how that one ends: `fixes #12`."""


def ref_of_page(url: str) -> Ref | None:
    """The issue or pull request whose page this is; None when it is no such page."""
    found = _PAGE.fullmatch(url.strip())
    return Ref(found[1].lower(), int(found[2])) if found else None


def mentions(text: str, *, home: Ref) -> list[Mention]:
    """What `text` mentions, each once, in the order of the text; `home` is where it stands, and is left out.

    What stands in code or in a comment of HTML is no mention: GitHub does not link it either.
    """
    found: dict[Ref, bool] = {}
    for match in _MENTION.finditer(_CODE.sub(" ", text)):
        repository = match["at"] or match["of"] or home.repository
        ref = Ref(repository.lower(), int(match["there"] or match["theirs"] or match["own"]))
        if ref != home:
            found[ref] = found.get(ref, False) or match["closes"] is not None
    return [Mention(ref, closes) for ref, closes in found.items()]
