"""Saved views: kept by the collector for a project, through restarts, and for nobody else."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from everyspan.errors import SettingsError
from everyspan.server import running
from everyspan.web.views import MOST_VIEWS, Views
from tests.collector_requests import get


def put(url: str, content: Any, **headers: str) -> tuple[int, Any]:
    sent = urllib.request.Request(url, json.dumps(content).encode(), dict(headers), method="PUT")
    try:
        with urllib.request.urlopen(sent) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_a_view_is_saved_replaced_and_forgotten_and_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        views = f"{server.url}/api/v1/views"
        put(f"{views}/beta%20testers", {"query": "tag=beta"})
        put(f"{views}/a%2Fb", {"query": "user=ada"})
        answer = put(f"{views}/beta%20testers", {"query": "errors=yes&tag=beta"})
        put(f"{views}/a%2Fb", {"query": ""})

    assert answer == (
        200,
        {
            "views": [
                {"name": "a/b", "query": "user=ada"},
                {"name": "beta testers", "query": "errors=yes&tag=beta"},
            ]
        },
    )
    assert stat.S_IMODE((tmp_path / "views.json").stat().st_mode) == 0o600
    with running(tmp_path) as server:
        assert get(f"{server.url}/api/v1/views").json == {
            "views": [{"name": "beta testers", "query": "errors=yes&tag=beta"}]
        }


def test_a_project_sees_and_changes_its_own_views_alone(tmp_path: Path) -> None:
    with running(tmp_path, keys=["shop:s1", "desk:s2"]) as server:
        views = f"{server.url}/api/v1/views"
        put(f"{views}/mine", {"query": "tag=a"}, authorization="Bearer s1")
        put(f"{views}/mine", {"query": "tag=b"}, authorization="Bearer s2")
        refused, _ = put(f"{views}/mine", {"query": "tag=c"})

        seen = get(views, authorization="Bearer s1").json

    assert refused == 401
    assert seen == {"views": [{"name": "mine", "query": "tag=a"}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x" * 81, {"query": "tag=a"}),
        ("%00", {"query": "tag=a"}),
        ("%20", {"query": "tag=a"}),
        ("fine", {"query": "x" * 2001}),
        ("fine", {"query": "nothing"}),
        ("fine", {"query": 5}),
        ("fine", ["tag=a"]),
        ("fine", {"query": "tag=" + "a" * 20_000}),
    ],
)
def test_what_is_no_view_is_refused_with_the_reason(tmp_path: Path, name: str, content: Any) -> None:
    with running(tmp_path) as server:
        status, said = put(f"{server.url}/api/v1/views/{name}", content)

        kept = get(f"{server.url}/api/v1/views").json

    assert (status, sorted(said)) == (400, ["error", "message"])
    assert kept == {"views": []}


def test_a_project_keeps_so_many_views_and_no_more(tmp_path: Path) -> None:
    views = Views(tmp_path / "views.json")
    for number in range(MOST_VIEWS):
        views.keep("shop", f"view {number}", "tag=a")

    with pytest.raises(SettingsError, match="forget one first"):
        views.keep("shop", "one more", "tag=a")

    assert len(views.keep("shop", "view 0", "tag=b").views) == MOST_VIEWS
    assert len(views.keep("desk", "one more", "tag=a").views) == 1


def test_a_file_that_holds_something_else_is_said_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "views.json").write_text("[1]")

    with running(tmp_path) as server:
        read = get(f"{server.url}/api/v1/views")
        status, _ = put(f"{server.url}/api/v1/views/mine", {"query": "tag=a"})

    assert (read.status, status) == (503, 503)
    assert "views.json" in read.json["error"]
    assert (tmp_path / "views.json").read_text() == "[1]"
