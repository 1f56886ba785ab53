"""The example that reads a GitHub issue: which links it finds, what it says of what it cannot read."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from examples.issue_graph.github import Api, Folder, GitHubError
from examples.issue_graph.graph import Graph, read_graph
from examples.issue_graph.links import Mention, Ref, mentions, ref_of_page
from examples.issue_graph.report import Making, render
from examples.issue_graph.summaries import Summaries

SAVED = Path("examples/issue_graph/saved")
HOME = Ref("harbour/quay", 42)
MAKING = Making(model="claude", calls=7, took_s=1.5, trace_id="ab" * 16, cost=Decimal("0.0123"))


def saved_graph(*, depth: int = 1, limit: int = 40) -> Graph:
    return asyncio.run(read_graph(Folder(SAVED), HOME, depth=depth, limit=limit))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see #17 and GH-18", [("harbour/quay", 17, False), ("harbour/quay", 18, False)]),
        ("harbour/Pier#8.", [("harbour/pier", 8, False)]),
        ("https://github.com/harbour/pier/pull/8/files#r1", [("harbour/pier", 8, False)]),
        ("Fixes #3, resolves: harbour/pier#4", [("harbour/quay", 3, True), ("harbour/pier", 4, True)]),
        ("#5 here, and later: closes #5", [("harbour/quay", 5, True)]),
        ("itself is #42, and harbour/quay#42", []),
        ("`#6` and\n```\n#7\n```\nand <!-- #8 --> but #9", [("harbour/quay", 9, False)]),
        ("```\n#7 in a fence that nobody closes", []),
        ("a colour: &#123; and page.html#12 and x#13", []),
    ],
)
def test_a_text_mentions_what_github_would_link(text: str, found: list[tuple[str, int, bool]]) -> None:
    expected = [Mention(Ref(repository, number), closes) for repository, number, closes in found]

    assert mentions(text, home=HOME) == expected


def test_the_page_of_an_issue_names_it_and_other_pages_name_none() -> None:
    assert ref_of_page("https://github.com/Harbour/quay/issues/42#issuecomment-1") == HOME
    assert ref_of_page("https://github.com/harbour/quay") is None


def test_links_are_found_in_the_text_the_comments_and_the_timeline() -> None:
    graph = saved_graph()

    how = {link.target if link.source == HOME else link.source: link.how for link in reversed(graph.links)}
    assert {ref.number for ref in graph.linked} == {17, 8, 51, 49, 60}
    assert how[Ref("harbour/pier", 8)] == "text of harbour/quay#42"
    assert how[Ref("harbour/quay", 51)].startswith("comment by jonasp")
    assert how[Ref("harbour/quay", 49)].startswith("timeline: mentioned by tidewatch")
    assert [link.source.number for link in graph.links if link.closes] == [51, 60]
    assert [graph.linked[Ref("harbour/quay", number)].state for number in (49, 51, 60)] == [
        "closed",
        "merged",
        "draft",
    ]


def test_a_second_step_follows_what_linked_items_mention() -> None:
    assert Ref("harbour/quay", 11) not in saved_graph(depth=1).linked
    assert Ref("harbour/quay", 11) in saved_graph(depth=2).linked


def test_what_cannot_be_read_and_what_is_beyond_the_limit_is_named_in_the_report() -> None:
    whole, limited = (render(saved_graph(limit=limit), Summaries(), MAKING) for limit in (40, 4))

    assert "- harbour/ledger#230: repos/harbour/ledger/issues/230 was not saved" in whole
    assert "(`--limit`): harbour/pier#8, harbour/ledger#230" in limited


def test_a_models_words_can_not_break_the_shape_of_the_report() -> None:
    graph = saved_graph()
    made = Summaries(whole="# I am the title\n\n| and | a table |\n@everyone", issue="fine")
    made.failed["harbour/quay#17"] = "RateLimitError: wait"

    report = render(graph, made, MAKING)

    outside = [line for line in report.splitlines() if not line.startswith(">")]
    assert not [line for line in outside if "I am the title" in line or "@everyone" in line]
    assert "*No summary: RateLimitError: wait*" in report
    assert "| cost | $0.0123 |" in report


class GitHub(BaseHTTPRequestHandler):
    """Answers as GitHub does when a list has two pages, and when the hour's requests are used up."""

    def do_GET(self) -> None:
        if "limited" in self.path:
            self.send_response(403)
            self.send_header("x-ratelimit-remaining", "0")
            self.send_header("x-ratelimit-reset", "1780000000")
            body = b"{}"
        else:
            self.send_response(200)
            if "page=2" not in self.path:
                here = f"http://{self.headers['host']}"
                self.send_header("link", f'<{here}{self.path}&page=2>; rel="next"')
            body = json.dumps([{"at": self.path}]).encode()
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_pages_are_put_together_and_kept_and_a_used_up_limit_says_until_when(tmp_path: Path) -> None:
    async def ask(url: str) -> list[str]:
        async with Api(keep_in=Folder(tmp_path), url=url) as api:
            found = [str(each["at"]) for each in await api.many("repos/a/b/issues/1/comments")]
            with pytest.raises(GitHubError, match=r"no more before \d\d:\d\d UTC; set GITHUB_TOKEN"):
                await api.one("repos/a/limited/issues/1")
        return found

    with HTTPServer(("127.0.0.1", 0), GitHub) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        found = asyncio.run(ask(f"http://127.0.0.1:{server.server_address[1]}"))
        server.shutdown()
        thread.join()

    path = "/repos/a/b/issues/1/comments?per_page=100"
    assert found == [path, f"{path}&page=2"]
    kept = asyncio.run(Folder(tmp_path).many("repos/a/b/issues/1/comments"))
    assert [each["at"] for each in kept] == found
