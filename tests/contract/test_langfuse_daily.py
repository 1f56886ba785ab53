"""What each day brought, as Langfuse's SDK 2 asks it, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from everyspan.server import Server
from tests.collector_requests import Answer, get
from tests.langfuse_traces import A, judged_traces


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, module_store_url: str) -> Iterator[Server]:
    with judged_traces(tmp_path_factory.mktemp("data"), module_store_url) as opened:
        yield opened


def daily(server: Server, **parameters: Any) -> Answer:
    return get(f"{server.url}/api/public/metrics/daily?{urlencode(parameters, doseq=True)}", Authorization=A)


def test_each_day_tells_its_traces_and_what_each_model_cost(server: Server) -> None:
    answer = daily(server)

    used = {"inputUsage": 4000, "outputUsage": 400, "totalUsage": 4400}
    (day,) = answer.json["data"]
    assert (day["date"], day["countTraces"], day["countObservations"]) == ("2025-11-22", 4, 4)
    assert day["totalCost"] == pytest.approx(0.014)
    assert day["usage"] == [
        {"model": "gpt-4o", **used, "countTraces": 4, "countObservations": 4, "totalCost": day["totalCost"]}
    ]
    assert answer.json["meta"] == {"page": 1, "limit": 50, "totalItems": 1, "totalPages": 1}


@pytest.mark.parametrize(
    ("parameters", "traces"),
    [
        ({"userId": "ann"}, 1),
        ({"traceName": "job"}, 4),
        ({"tags": "x"}, 2),
        ({"tags": ["x", "y"]}, 1),
        ({"environment": ["default", "test"]}, 4),
        ({"environment": "test"}, 0),
        ({"fromTimestamp": "2025-11-22T08:28:00Z"}, 2),
        ({"toTimestamp": "2025-11-22T08:28:00Z"}, 2),
        ({"page": 2}, 0),
    ],
    ids=str,
)
def test_each_parameter_of_the_days_narrows_them(
    server: Server, parameters: dict[str, Any], traces: int
) -> None:
    found = daily(server, **parameters).json["data"]

    assert (
        sum(day["countTraces"] for day in found) == sum(day["countObservations"] for day in found) == traces
    )


@pytest.mark.parametrize(
    "parameters", [{"sessionId": "s"}, {"page": 0}, {"fromTimestamp": "yesterday"}], ids=str
)
def test_what_the_days_cannot_be_narrowed_by_is_named(server: Server, parameters: dict[str, Any]) -> None:
    answer = daily(server, **parameters)

    assert answer.status == 400
    assert next(iter(parameters)) in answer.json["message"]
