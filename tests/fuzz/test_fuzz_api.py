"""Schemathesis against a whole server with two projects: no 5xx, no crash, nothing of the other project.

`make fuzz` runs it: pytest -m fuzz. The environment is made on first use; EVERYSPAN_FUZZ_EXAMPLES says how many
requests are made up for each operation.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from everyspan.server import Server, running
from tests.clients.environments import python_with
from tests.collector_requests import TRACE_ID, body, generation, get, post, settled
from tests.fuzz.langfuse_api import document

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(7200)]

SCHEMATHESIS = "schemathesis==4.32.5"
EXAMPLES = os.environ.get("EVERYSPAN_FUZZ_EXAMPLES", "100")
MOST_GROWTH_MIB = 300
A, B = "Bearer sk-a", "Bearer sk-b"


@pytest.fixture
def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


@pytest.fixture
def server(tmp_path: Path, canary: str) -> Iterator[Server]:
    with running(tmp_path / "data", keys=("pk-a:sk-a", "pk-b:sk-b")) as opened:
        marked = dict.fromkeys(("user.id", "session.id", "input.value", "langfuse.environment"), canary)
        post(f"{opened.url}/v1/traces", body(generation(1, **marked), service=canary), authorization=B)
        score = {"id": canary, "name": canary, "value": canary, "traceId": TRACE_ID, "comment": canary}
        post(
            f"{opened.url}/api/public/scores",
            json.dumps(score).encode(),
            "application/json",
            authorization=B,
        )
        post(f"{opened.url}/v1/traces", body(generation(2, **{"user.id": "mine"})), authorization=A)
        settled(opened.url, Authorization=A)
        yield opened


@pytest.mark.parametrize("which", ["doors", "api"])
def test_no_request_makes_the_server_fail_or_shows_another_projects_data(
    server: Server, canary: str, tmp_path: Path, which: str
) -> None:
    schema = tmp_path / "openapi.json"
    asked = get(f"{server.url}/api/v1/openapi.json", Authorization=A).json if which == "api" else document()
    schema.write_text(json.dumps(asked))
    before_mib = resident_mib()

    done = subprocess.run(
        [
            *(python_with(SCHEMATHESIS), "-m", "schemathesis.cli", "run", str(schema), "--url", server.url),
            *(
                "--header",
                f"Authorization: {A}",
                "--max-examples",
                EXAMPLES,
                "--phases",
                "examples,coverage,fuzzing",
            ),
            *("--checks", "not_a_server_error,no_other_projects_data", "--continue-on-failure", "--no-color"),
            *("--suppress-health-check", "all", "--request-timeout", "20"),
        ],
        cwd=Path(__file__).parent,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "EVERYSPAN_FUZZ_CANARY": canary, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )

    print(done.stdout[-3000:], file=sys.stderr)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    health = settled(server.url, Authorization=A)
    assert (health["failures"], health["quarantined"]) == (0, 0)
    assert canary in get(f"{server.url}/api/v1/traces", Authorization=B).body.decode()
    assert resident_mib() - before_mib < MOST_GROWTH_MIB


def resident_mib() -> int:
    """What this process, which the server is in, holds in memory."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) // 1024
