"""What an operator's machines ask and set: probes, figures, and how long traces are kept."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest

from everyspan.collector.issued import KeyFile, Scope
from everyspan.collector.limits import Limits
from everyspan.collector.retention import Retention, days_by_project
from everyspan.errors import SettingsError
from everyspan.server import Server, running
from everyspan.store.reads import TraceFilter
from everyspan.store.store import open_store
from everyspan.store.upkeep import Deleted
from tests.collector_requests import body, generation, get, post, settled
from tests.store_rows import DAY_NS, NOON_NS, call

SERIES = re.compile(r'([a-z_]+)(\{[a-z]+="[^"]*"\})? ([0-9.e+-]+)')


def figures(server: Server, **headers: str) -> dict[str, float]:
    lines = get(f"{server.url}/metrics", **headers).body.decode().splitlines()
    series = [SERIES.fullmatch(line) for line in lines if not line.startswith("# ")]
    assert all(series), lines
    return {match[1] + (match[2] or ""): float(match[3]) for match in series if match}


def test_the_figures_tell_what_came_and_what_became_of_it(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        before = figures(server)
        for _ in range(2):
            post(f"{server.url}/v1/traces", body(generation()))
        post(f"{server.url}/v1/traces", b"\xff")
        settled(server.url)
        after = figures(server)

    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown.pop("everyspan_inbox_syncs_total") >= 1
    assert grown.pop("everyspan_inbox_sync_seconds_total") > 0
    assert grown == {
        "everyspan_requests_total": 3,
        "everyspan_refused_requests_total": 1,
        "everyspan_taken_spans_total": 2,
        "everyspan_stored_spans_total": 1,
        "everyspan_known_spans_total": 1,
    }


def test_figures_of_all_projects_are_for_an_admin_and_probes_for_everybody(tmp_path: Path) -> None:
    file = KeyFile(tmp_path)
    _, user = file.create(project="a", scopes=[Scope.INGEST, Scope.READ], requests_per_minute=1)
    _, admin = file.create(project="a", scopes=[Scope.ADMIN])
    with running(tmp_path) as server:
        probes = [get(f"{server.url}{path}").status for path in ("/healthz", "/readyz")]
        asked = [get(f"{server.url}/metrics", Authorization=f"Bearer {each}").status for each in ("", user)]
        throttled = get(f"{server.url}/metrics", Authorization=f"Bearer {user}").status
        found = figures(server, Authorization=f"Bearer {admin}")

    assert (probes, asked, throttled) == ([200, 200], [401, 403], 403)
    assert found["everyspan_faults_total"] == 0


def test_a_server_whose_inbox_is_full_lives_and_is_not_ready(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(inbox_bytes=0)) as server:
        refused = post(f"{server.url}/v1/traces", body(generation()))
        alive, ready = get(f"{server.url}/healthz"), get(f"{server.url}/readyz")

    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (alive.status, ready.status) == (200, 503)
    assert b"inbox is full" in ready.body


def test_traces_go_when_their_project_keeps_them_no_longer(store_url: str) -> None:
    old, young = call(1), call(2, start_ns=NOON_NS + 5 * DAY_NS, end_ns=NOON_NS + 5 * DAY_NS)
    other, third = call(3, project="other"), call(4, project="third")
    with closing(open_store(store_url)) as store:
        store.insert([old, young, other, third])
        retention = Retention(
            store, days_by_project(["default=3d", "other=30d", "8"]), now=lambda: NOON_NS + 10 * DAY_NS
        )

        retention.run_once()

        left = store.list_traces(TraceFilter())
        assert {(each.project, each.trace_id) for each in left} == {(other.project, other.trace_id)}
        assert retention.deleted == Deleted(traces=3, spans=3)


def test_a_server_that_is_told_how_long_to_keep_deletes_by_itself(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "spans.db")) as store:
        store.insert([call(1)])

    with running(tmp_path, retain={"default": 1}) as server:
        while not figures(server)["everyspan_retention_deleted_spans_total"]:
            pass
        assert get(f"{server.url}/api/v1/traces").json["traces"] == []


def test_a_retention_that_fails_is_counted_and_tried_again(tmp_path: Path) -> None:
    store = open_store(tmp_path / "spans.db")
    store.insert([call(1)])
    store.close()
    retention = Retention(store, {"*": 1})

    retention.run_once()
    retention.run_once()

    assert (retention.failures, retention.deleted) == (2, Deleted())


@pytest.mark.parametrize("said", ["", "soon", "p=", "=30d", "p=0d", "p=-1", "p=1h", "p=1.5d"])
def test_a_time_to_keep_that_means_nothing_is_refused(said: str) -> None:
    with pytest.raises(SettingsError, match="30d"):
        days_by_project([said])
    with pytest.raises(SettingsError, match="two times"):
        days_by_project(["p=30d", "p=40d"])
