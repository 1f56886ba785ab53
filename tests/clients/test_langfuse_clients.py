"""Langfuse's SDKs of older majors and litellm's callbacks, unmodified, each in an environment of its own.

`make test-clients` runs them: pytest -m clients. The environments are made on first use.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.server import Server, running
from tests.clients.environments import python_with
from tests.clients.programs import LANGFUSE_2, LANGFUSE_3, LANGFUSE_4, LITELLM, MEDIA
from tests.collector_requests import get, settled

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

KEY = "pk-lf-1:sk-lf-1"
BEARER = {"Authorization": "Bearer sk-lf-1"}
SDK = {
    "2": (("langfuse==2.60.10",), LANGFUSE_2),
    "3": (("langfuse==3.15.0",), LANGFUSE_3),
    "4": (("langfuse==4.14.3",), LANGFUSE_4),
}
PATIENCE_S = 8
"""litellm sends from threads of its own and says nobody when it is done."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, keys=(KEY,)) as opened:
        yield opened


def ran(python: str, program: str, server: Server) -> str:
    public, _, secret = KEY.partition(":")
    environment = {**os.environ, "LANGFUSE_HOST": server.url, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment |= {"LANGFUSE_PUBLIC_KEY": public, "LANGFUSE_SECRET_KEY": secret, "OPENAI_API_KEY": "x"}
    done = subprocess.run(
        [python, "-c", program], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("major", SDK)
def test_an_sdk_takes_us_for_home_and_reads_back_what_it_sent(server: Server, major: str) -> None:
    packages, program = SDK[major]

    read = json.loads(ran(python_with(*packages), program, server))

    observations = ["answer", "clicked", "retrieve"] if major == "2" else ["answer", "checkout"]
    assert read["observations"] == observations
    assert (read["name"], read["user"], read["tags"], read["output"]) == (
        "checkout",
        "u-1",
        ["a", "b"],
        "bye",
    )
    assert (read["scores"], read["usage"], read["cost"]) == (["mood", "quality"], [[1000, 100]], 0.0035)
    assert (read["listed"], read["sessions"]) == ([read["trace"]], ["s-1"])
    if major == "2":  # the only one that has it
        days = [[1, 3, 0.0035, [[None, 0, 0, 0, 1, 2], ["gpt-4o", 1000, 100, 1100, 1, 1]]]]
        assert (read["daily"], read["by_type"]) == (days, ["answer"])
        assert read["every_observation"] == observations
    else:
        (measured,) = read["measured"]
        sums = [measured[f"sum_{name}"] for name in ("inputCost", "outputCost", "totalCost", "countScores")]
        assert (measured["name"], sums, len(measured)) == ("answer", [0.0025, 0.001, 0.0035, 1], 14)


@pytest.mark.parametrize("major", SDK)
def test_an_sdk_uploads_a_picture_and_reads_it_back(server: Server, major: str) -> None:
    read = json.loads(ran(python_with(*SDK[major][0]), MEDIA.format(picture=b"picture " * 99), server))

    settled(server.url, Authorization=BEARER["Authorization"])
    trace = get(f"{server.url}/api/public/traces/{read['trace']}", **BEARER).json
    assert (read["same"], read["type"]) == (True, "image/png")
    assert read["id"] in json.dumps(trace["input"])


@pytest.mark.parametrize(
    ("callback", "packages"),
    [
        ("langfuse", ("langfuse==4.14.3", "litellm==1.106.2")),
        ("langfuse_otel", ("langfuse==4.14.3", "litellm==1.106.2")),
    ],
)
def test_litellms_callback_delivers_and_every_call_is_billed_once(
    server: Server, callback: str, packages: tuple[str, ...]
) -> None:
    ran(python_with(*packages), LITELLM.format(callback=callback, patience=PATIENCE_S), server)

    settled(server.url, Authorization=BEARER["Authorization"])
    total = get(f"{server.url}/api/v1/costs", **BEARER).json["total"]
    # `langfuse_otel` loses all calls but the first when they share one metadata dict: an error of litellm's.
    calls = 3 if callback == "langfuse" else 1
    assert total["calls"] == calls
    traces: list[dict[str, Any]] = get(f"{server.url}/api/v1/traces", **BEARER).json["traces"]
    assert {trace["name"] for trace in traces} >= {"shared"}
