"""Langfuse's public API over real sockets: what its clients may rely on, and what nobody may see or break."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everyspan.server import Server, running
from everyspan.web.langfuse import observations, score_lists, traces
from tests.collector_requests import TRACE_ID, Answer, body, generation, get, post, settled, span

KEYS = ("pk-a:sk-a", "pk-b:sk-b")
A, B = "Bearer sk-a", "Bearer sk-b"
TIME = "2025-11-22T10:00:00.000Z"
LATER = "2025-11-22T10:00:05.000Z"


@pytest.fixture
def server(tmp_path: Path, store_url: str) -> Iterator[Server]:
    with running(tmp_path / "data", keys=KEYS, store=store_url) as opened:
        yield opened


def sent(server: Server, path: str, content: object, *, key: str = A) -> Answer:
    return post(
        f"{server.url}/api/public/{path}", json.dumps(content).encode(), "application/json", authorization=key
    )


def asked(server: Server, path: str, *, key: str = A) -> Answer:
    return get(f"{server.url}/api/public/{path}", Authorization=key)


def event(number: int, kind: str, at: str = TIME, **content: Any) -> dict[str, Any]:
    return {"id": f"event-{number}", "type": kind, "timestamp": at, "body": content}


CALL = [
    event(1, "trace-create", id="order 17", name="checkout", userId="u-1", tags=["a"]),
    event(
        2, "generation-create", id="call 1", traceId="order 17", name="answer", model="gpt-4o", startTime=TIME
    ),
    event(3, "generation-update", LATER, id="call 1", endTime=LATER, usage={"input": 1000, "output": 100}),
    event(4, "trace-create", LATER, id="order 17", output="bye"),
]


def test_an_observation_and_its_later_changes_are_one_row_whatever_their_order(tmp_path: Path) -> None:
    answers = []

    for index, order in enumerate(itertools.permutations(CALL)):
        if index % 5 == 0:  # five of twenty-four
            with running(tmp_path / str(index), keys=KEYS) as server:
                for each in (*order, order[0]):
                    sent(server, "ingestion", {"batch": [each]})
                trace = asked(server, "traces/order%2017").json
                trace["observations"][0].pop("createdAt"), trace["observations"][0].pop("updatedAt")
                answers.append(trace)

    (observation,) = answers[0]["observations"]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0]["name"], answers[0]["output"], answers[0]["totalCost"]) == ("checkout", "bye", 0.0035)
    assert (observation["id"], observation["endTime"], observation["latency"]) == ("call 1", LATER, 5.0)


def test_a_trace_of_langfuse_2_is_none_of_its_observations(server: Server) -> None:
    sent(server, "ingestion", {"batch": CALL})
    query = {"view": "observations", "metrics": [{"measure": "count", "aggregation": "count"}]}

    listed = asked(server, "observations").json
    counted = asked(server, f"metrics?query={quote(json.dumps(query))}").json["data"]
    days = asked(server, "metrics/daily").json["data"]

    assert [each["id"] for each in listed["data"]] == ["call 1"]
    assert listed["meta"]["totalItems"] == counted[0]["count_count"] == days[0]["countObservations"] == 1


def test_a_batch_says_of_each_event_what_became_of_it(server: Server) -> None:
    answer = sent(
        server,
        "ingestion",
        {
            "batch": [
                *CALL[:1],
                event(7, "score-create", name="quality", value=1, traceId="order 17"),
                event(8, "sdk-log", log="x"),
                event(9, "score-create", name="quality", value="high", traceId="t", dataType="NUMERIC"),
                event(10, "dataset-create", id="x"),
                event(11, "span-create", id="x", startTime="yesterday"),
                "nonsense",
            ]
        },
    )

    assert answer.status == 207
    assert [each["id"] for each in answer.json["successes"]] == ["event-1", "event-7", "event-8"]
    assert [each["status"] for each in answer.json["errors"]] == [400] * 4
    assert "yesterday" in answer.json["errors"][2]["message"]


def test_the_same_batch_twice_changes_nothing(server: Server) -> None:
    for _ in range(2):
        sent(server, "ingestion", {"batch": CALL})

    costs = get(f"{server.url}/api/v1/costs", Authorization=A).json["total"]
    assert (costs["calls"], Decimal(costs["cost"])) == (1, Decimal("0.0035"))


@pytest.mark.parametrize(
    ("said", "data_type", "value", "text"),
    [
        ({"value": 0.5}, "NUMERIC", 0.5, None),
        ({"value": 1, "dataType": "BOOLEAN"}, "BOOLEAN", 1, "True"),
        ({"value": "good"}, "CATEGORICAL", 0, "good"),
        ({"value": "so so", "dataType": "TEXT"}, "TEXT", 0, "so so"),
    ],
)
def test_a_score_keeps_its_type(
    server: Server, said: dict[str, Any], data_type: str, value: float, text: str | None
) -> None:
    answer = sent(
        server, "scores", {"id": "s-1", "name": "n", "traceId": TRACE_ID, "metadata": {"k": 1}, **said}
    )

    found = asked(server, f"scores?traceId={TRACE_ID}").json["data"][0]
    current = asked(server, "v3/scores").json["data"][0]
    assert (answer.status, answer.json) == (200, {"id": "s-1"})
    assert (found["dataType"], found["value"], found["stringValue"], found["metadata"]) == (
        data_type,
        value,
        text,
        {"k": 1},
    )
    assert current["value"] == (True if data_type == "BOOLEAN" else text or value)
    assert current["subject"] == {"kind": "trace", "id": TRACE_ID}


def test_a_list_of_scores_is_taken_as_far_as_it_is_good(server: Server) -> None:
    good = [{"name": "n", "value": number, "sessionId": "s-1", "id": f"s-{number}"} for number in range(3)]

    accepted = sent(server, "scores", good)
    mixed = sent(server, "scores", [{**good[0], "value": 7}, {"name": "n", "value": 1}, "nonsense"])

    assert (accepted.status, accepted.json) == (202, {"message": "Accepted"})
    assert (mixed.status, mixed.json["accepted"], mixed.json["rejected"]) == (207, 1, 2)
    assert [each["value"] for each in asked(server, "scores?scoreIds=s-0").json["data"]] == [7]


def test_pages_with_a_cursor_hold_everything_once(server: Server) -> None:
    post(
        f"{server.url}/v1/traces",
        body(*(span(number, name="same") for number in range(1, 12))),
        authorization=A,
    )
    sent(
        server,
        "scores",
        [{"name": "n", "value": 1, "sessionId": "s", "id": f"{number}"} for number in range(11)],
    )
    settled(server.url, Authorization=A)

    for path in ("v2/observations", "v3/scores"):
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = asked(server, f"{path}?limit=4&cursor={quote(cursor)}").json
            seen += [each["id"] for each in page["data"]]
            cursor = page["meta"].get("cursor")
        assert len(seen) == len(set(seen)) == 11


def test_metrics_are_those_of_the_cost_report(server: Server) -> None:
    post(f"{server.url}/v1/traces", body(generation(1), generation(2, **{"user.id": "u-1"})), authorization=A)
    settled(server.url, Authorization=A)
    query = {
        "view": "observations",
        "dimensions": [{"field": "userId"}],
        "metrics": [
            {"measure": "totalCost", "aggregation": "sum"},
            {"measure": "count", "aggregation": "count"},
        ],
        "orderBy": [{"field": "userId", "direction": "desc"}],
    }

    rows = asked(server, f"v2/metrics?query={quote(json.dumps(query))}").json["data"]

    assert rows == [
        {"userId": "u-1", "sum_totalCost": 0.0035, "count_count": 1.0},
        {"userId": None, "sum_totalCost": 0.0035, "count_count": 1.0},
    ]


@pytest.mark.parametrize(
    "path", ["v2/prompts/movie-critic", "v2/datasets", "datasets/x", "evaluators", "models", "media/x"]
)
def test_what_is_not_here_is_a_404_in_langfuses_words(server: Server, path: str) -> None:
    answer = asked(server, path)

    assert (answer.status, answer.json["error"]) == (404, "LangfuseNotFoundError")


ROUTES = [
    "projects",
    "v2/observations",
    "observations",
    "observations/{id}",
    "traces",
    "traces/{id}",
    "sessions",
    "sessions/{id}",
    "scores",
    "v2/scores",
    "v3/scores",
    "scores/{id}",
    "v2/metrics",
]
TAKES = {
    "v2/observations": observations.TAKES,
    "observations": observations.LEGACY_TAKES,
    "traces": traces.TAKES,
    "traces/{id}": ("fields",),
    "sessions": traces.SESSIONS_TAKE,
    **dict.fromkeys(("scores", "v2/scores"), score_lists.LEGACY_TAKES),
    "v3/scores": score_lists.CURRENT_TAKES,
    "v2/metrics": ("query",),
}
CANARY = "canary-of-b"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, module_store_url: str) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("shared"), keys=KEYS, store=module_store_url) as opened:
        marked = {
            "user.id": CANARY,
            "session.id": CANARY,
            "input.value": CANARY,
            "langfuse.environment": CANARY,
        }
        post(f"{opened.url}/v1/traces", body(generation(1, **marked)), authorization=B)
        score = {"id": CANARY, "name": CANARY, "value": CANARY, "traceId": TRACE_ID, "comment": CANARY}
        assert sent(opened, "scores", score, key=B).status == 200
        settled(opened.url, Authorization=B)
        yield opened


VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [CANARY, TRACE_ID, "0000000000000001", "' OR 1=1 --", "1", "-1", "9" * 30, "2025-11-22T10:00:00Z"]
    ),
    st.sampled_from(
        [
            '{"view":"observations"}',
            "[]",
            "{}",
            "0.x",
            "name.asc",
            "release.desc",
            ">=",
            "NUMERIC",
            "BOOLEAN",
            "99999999999999999999.x",
            "2026-13-01",
            "generation",
        ]
    ),
)


def asked_of(route: str) -> st.SearchStrategy[tuple[str, dict[str, str]]]:
    """A route, with parameters that it takes: any other is a 400 before it is looked at."""
    names = st.sampled_from(TAKES.get(route, ("limit",)))
    return st.tuples(st.just(route), st.dictionaries(names, VALUES, max_size=4))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ROUTES).flatmap(asked_of), VALUES)
def test_no_question_gets_another_projects_answer_or_makes_the_server_fail(
    shared: Server, said: tuple[str, dict[str, str]], name: str
) -> None:
    route, parameters = said
    question = "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items())
    path = route.replace("{id}", quote(name, safe="") or "x")

    answer = asked(shared, f"{path}?{question}")

    told = answer.body.decode()
    for value in (name, quote(name), *parameters.values()):
        told = told.replace(value, "") if value else told  # an error may repeat what was asked
    assert answer.status in (200, 400, 404)
    assert CANARY not in told


def test_the_owner_of_the_canary_does_see_it(shared: Server) -> None:
    for route in ("v2/observations", "observations", "traces", "sessions", "scores", "v3/scores"):
        assert CANARY in asked(shared, route, key=B).body.decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["batch", "id", "type", "timestamp", "body", "name", "value", "traceId", "dataType", "usage"]
            ),
            inner | st.sampled_from(["trace-create", "generation-create", "score-create", "BOOLEAN", TIME]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["ingestion", "scores"]),
    JSON | st.fixed_dictionaries({"batch": st.lists(JSON, max_size=3)}),
)
def test_no_content_makes_the_server_fail(shared: Server, path: str, content: object) -> None:
    assert sent(shared, path, content).status in (200, 202, 207, 400)


SDK_5 = """
import json, time
from langfuse import Langfuse, propagate_attributes

langfuse = Langfuse()
assert langfuse.auth_check()
with langfuse.start_as_current_observation(name="checkout", input="hi") as root, propagate_attributes(user_id="u-1"):
    with langfuse.start_as_current_observation(name="answer", as_type="generation", model="gpt-4o") as generation:
        generation.update(output="hello", usage_details={"input": 1000, "output": 100}, metadata={"k": "1"})
    trace_id, observation_id = root.trace_id, generation.id
langfuse.create_score(trace_id=trace_id, name="quality", value=0.5)
langfuse.create_score(trace_id=trace_id, observation_id=observation_id, name="good", value=1, data_type="BOOLEAN")
langfuse.flush()
deadline = time.monotonic() + 20
while True:
    fields = "core,basic,io,usage,metadata,model"
    observations = langfuse.api.observations.get_many(trace_id=trace_id, fields=fields).data
    scores = langfuse.api.scores.get_many(trace_id=trace_id).data
    if len(observations) == 2 and len(scores) == 2:
        break
    assert time.monotonic() < deadline, (observations, scores)
    time.sleep(0.05)
answer = next(each for each in observations if each.name == "answer")
measures = ("totalCost", "inputCost", "outputCost", "countScores")
query = {"view": "observations", "metrics": [{"measure": each, "aggregation": "sum"} for each in measures]}
print(json.dumps({
    "model": answer.model, "cost": answer.total_cost, "costs": answer.cost_details, "user": answer.user_id,
    "usage": answer.usage_details,
    "output": answer.output, "metadata": answer.metadata, "parent": answer.parent_observation_id is not None,
    "scores": {each.name: each.value for each in scores},
    "sum": langfuse.api.metrics.metrics(query=json.dumps(query)).data,
}))
langfuse.shutdown()
"""


def test_the_current_sdk_reads_back_what_it_sent(server: Server) -> None:
    environment = {**os.environ, "LANGFUSE_HOST": server.url}
    environment |= {"LANGFUSE_PUBLIC_KEY": "pk-a", "LANGFUSE_SECRET_KEY": "sk-a"}

    done = subprocess.run(
        [sys.executable, "-c", SDK_5],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert (read["model"], read["cost"], read["user"], read["output"]) == ("gpt-4o", 0.0035, "u-1", "hello")
    assert read["costs"] == {"input": 0.0025, "output": 0.001, "total": 0.0035}
    assert read["usage"] == {"input": 1000, "output": 100, "total": 1100}
    assert (read["metadata"], read["parent"]) == ({"k": "1"}, True)
    assert read["scores"] == {"quality": 0.5, "good": True}
    assert [list(row.values()) for row in read["sum"]] == [[0.0035, 0.0025, 0.001, 1]]
