"""`everyspan audit --langfuse`: is every call at a Langfuse, by the stamps that it kept on the observations?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.model.ids import Seq, WriterId
from everyspan.query.stamped import audit_stamps
from everyspan.server import Server, running
from everyspan.store.upkeep import Deletion
from everyspan.wire.stamp import Stamp
from tests.collector_requests import body, generation, post, settled

KEY = "Bearer sk-a"
PROGRAM = """
import everyspan
everyspan.init()
for number in range(3):
    with everyspan.span(f"outer {number}"):
        with everyspan.span("inner"):
            pass
everyspan.flush()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data", keys=("pk-a:sk-a",)) as opened:
        yield opened


def ran(server: Server, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "EVERYSPAN" not in name}
    environment |= {
        "LANGFUSE_BASE_URL": server.url,
        "LANGFUSE_PUBLIC_KEY": "pk-a",
        "LANGFUSE_SECRET_KEY": "sk-a",
        "EVERYSPAN_SPOOL_DIR": str(directory / "spool"),
    }
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def audited(server: Server, directory: Path) -> tuple[int, dict[str, object]]:
    done = ran(server, directory, "-m", "everyspan.cli.main", "audit", "--langfuse", "--json")
    return done.returncode, json.loads(done.stdout)


def test_what_a_program_sent_to_a_langfuse_is_proven_there_and_what_is_lost_there_is_noticed(
    server: Server, tmp_path: Path
) -> None:
    assert ran(server, tmp_path, "-c", PROGRAM).returncode == 0
    post(f"{server.url}/v1/traces", body(generation(1)), authorization=KEY)
    settled(server.url, Authorization=KEY)

    whole = audited(server, tmp_path)
    lost = server.store.read_spans().rows[0]
    server.store.delete(Deletion(project="pk-a", trace_id=lost.trace_id))
    less = audited(server, tmp_path)
    shown = ran(server, tmp_path, "-m", "everyspan.cli.main", "audit", "--langfuse")

    assert (whole[0], whole[1]["verdict"], whole[1]["unstamped"]) == (0, "complete", 1)
    assert (less[0], less[1]["verdict"]) == (1, "incomplete")
    assert shown.returncode == 1
    assert "still open, or were dropped or lost" in shown.stdout


def test_a_server_that_does_not_let_us_in_is_an_error_that_says_so(server: Server, tmp_path: Path) -> None:
    environment = {**os.environ, "LANGFUSE_BASE_URL": server.url, "LANGFUSE_PUBLIC_KEY": "pk-a"}
    done = subprocess.run(
        [sys.executable, "-m", "everyspan.cli.main", "audit", "--langfuse"],
        env={**environment, "LANGFUSE_SECRET_KEY": "sk-wrong"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "wants another key" in done.stderr
    assert "sk-wrong" not in done.stderr


WRITER = WriterId("0000042-aaaaaaaaaaaa")


@pytest.mark.parametrize(
    ("numbers", "verdict", "absent"),
    [
        ((2,), "complete", (0, 0)),
        ((3, 4), "complete", (0, 0)),
        ((2, 4, 6), "complete", (0, 0)),
        ((2, 6), "incomplete", (1, 2)),
        ((2, 5), "incomplete", (1, 1)),
        ((6,), "incomplete", (2, 4)),
        ((2, 2), "doubled", (0, 0)),
        ((1,), "incomplete", (0, 0)),
        ((), "unproven", None),
    ],
)
def test_numbers_tell_how_many_calls_have_no_span(
    numbers: tuple[int, ...], verdict: str, absent: tuple[int, int] | None
) -> None:
    found = audit_stamps([None, *(Stamp(WRITER, Seq(number)) for number in numbers)])

    assert (found.verdict, found.unstamped) == (verdict, 1)
    assert [each.absent for each in found.writers] == ([absent] if absent is not None else [])
