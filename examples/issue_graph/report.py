"""The report, in Markdown as GitHub shows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from examples.issue_graph.graph import Graph, Link
from examples.issue_graph.items import Item
from examples.issue_graph.links import Ref
from examples.issue_graph.summaries import Summaries

_SPECIAL = re.compile(r"([\\`*_\[\]<>|])")
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What it took to make the report, as the collector has it."""

    model: str
    calls: int
    took_s: float
    trace_id: str
    cost: Decimal | None = None
    """US dollars; None when nobody could tell."""
    input_tokens: int = 0
    output_tokens: int = 0
    link: str = ""
    """The trace's page."""
    note: str = ""
    """What is not as it should be."""


def render(graph: Graph, made: Summaries, making: Making) -> str:
    """The whole report."""
    issue = graph.issue
    pulls = [item for item in graph.linked.values() if item.is_pull]
    issues = [item for item in graph.linked.values() if not item.is_pull]
    parts = [
        f"# {issue.ref}: {_escaped(issue.title)}",
        _about(graph),
        "## How things stand",
        _quoted(made.whole, made.failed.get("the whole")),
        f"## The {issue.kind}",
        _quoted(made.issue, made.failed.get(str(issue.ref))),
        *_section("Linked pull requests", pulls, graph, made),
        *_section("Linked issues", issues, graph, made),
        "## The graph",
        _mermaid(graph),
        *_missing(graph),
        "## What this report took",
        _bill(making),
    ]
    return "\n\n".join(parts) + "\n"


def _about(graph: Graph) -> str:
    issue = graph.issue
    facts = [
        f"**{issue.state}**",
        f"opened by {_escaped(issue.author)} on {issue.created}",
        _counted(len(graph.comments), "comment"),
        _counted(len(graph.linked), "linked item"),
    ]
    if issue.labels:
        facts.append("labels: " + ", ".join(_escaped(label) for label in issue.labels))
    return f"{' · '.join(facts)} · <{issue.url}>"


def _section(title: str, items: Sequence[Item], graph: Graph, made: Summaries) -> Iterable[str]:
    if not items:
        return
    yield f"## {title}"
    rows = [_row(item) for item in items]
    yield "\n".join(["| | title | state | by | opened |", "|---|---|---|---|---|", *rows])
    for item in items:
        yield f"### {item.ref}: {_escaped(item.title)}"
        yield _quoted(made.linked.get(item.ref, ""), made.failed.get(str(item.ref)))
        yield "\n".join(f"- {_link(link)}" for link in graph.links_of(item.ref))


def _row(item: Item) -> str:
    author = _escaped(item.author)
    return f"| [{item.ref}]({item.url}) | {_escaped(item.title)} | {item.state} | {author} | {item.created} |"


def _link(link: Link) -> str:
    verb = "closes" if link.closes else "mentions"
    return f"{link.source} {verb} {link.target} ({_escaped(link.how)})"


def _mermaid(graph: Graph) -> str:
    items = {graph.issue.ref: graph.issue, **graph.linked}
    names = {ref: f"n{number}" for number, ref in enumerate(items)}
    lines = ["graph LR"]
    for ref, item in items.items():
        opening, closing = ("([", "])") if item.is_pull else ("[", "]")
        lines.append(f'  {names[ref]}{opening}"{ref}<br/>{_label(item)}"{closing}')
    arrows: dict[tuple[Ref, Ref], bool] = {}
    for link in graph.links:
        if link.source in names and link.target in names:
            ends = (link.source, link.target)
            arrows[ends] = arrows.get(ends, False) or link.closes
    for (source, target), closes in arrows.items():
        lines.append(f"  {names[source]} {'==>|closes|' if closes else '-->'} {names[target]}")
    return "\n".join(["```mermaid", *lines, "```"])


def _label(item: Item) -> str:
    title = item.title if len(item.title) <= _LONGEST_LABEL else f"{item.title[: _LONGEST_LABEL - 1]}…"
    # Mermaid's own way to write what has a meaning in it.
    kept = "".join(
        letter if letter.isalnum() or letter in " .,:-…" else f"#{ord(letter)};" for letter in title
    )
    return f"{kept} ({item.state})"


def _missing(graph: Graph) -> Iterable[str]:
    rows = [f"- {ref}: {_escaped(why)}" for ref, why in graph.unread.items()]
    if graph.left_out:
        left_out = ", ".join(map(str, graph.left_out))
        rows.append(f"- beyond the limit of linked items (`--limit`): {left_out}")
    if rows:
        yield "## What is missing"
        yield "\n".join(rows)


def _bill(making: Making) -> str:
    rows = ["| cost | not known |"]
    if making.cost is not None:
        rows = [
            f"| cost | ${making.cost:f} |",
            f"| tokens | {making.input_tokens:,} in, {making.output_tokens:,} out |",
        ]
    rows += [
        f"| calls of `{making.model}` | {making.calls} |",
        f"| time | {making.took_s:.1f} s |",
        f"| trace | {f'[{making.trace_id}]({making.link})' if making.link else making.trace_id} |",
    ]
    table = "\n".join(["| | |", "|---|---|", *rows])
    return f"{table}\n\n{_escaped(making.note)}" if making.note else table


def _quoted(text: str, failure: str | None) -> str:
    """A model's words, or a failure, in a quotation: whatever they hold, the report keeps its shape."""
    if failure is not None:
        return f"*No summary: {_escaped(failure)}*"
    if not text:
        return "*No summary: the model said nothing.*"
    return "\n".join(f"> {line}".rstrip() for line in text.replace("@", "@\u200b").splitlines())


def _escaped(text: str) -> str:
    """On one line, without a meaning in Markdown, and without waking anybody up."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("@", "@\u200b")


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
